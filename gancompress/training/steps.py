"""One step of a training: its batch in parts, and the turn that each phase takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.errors import DivergedError
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.training import distributed
from gancompress.training.optimisers import Optimiser
from gancompress.training.precisions import AUTOCAST

STREAM_STEP = 3  # the streams 1 and 2 of the run's seed belong to the data

Parts = list[tuple[Batch, Step]]


@dataclass(frozen=True)
class Optimisation:
    """Adam for every phase; the learning rate rises, is constant, then falls linearly to zero.

    optimiser: "muon" changes the matrices of the generator to compress by Muon, see `optimisers`.
    """

    lr: float = 2e-4
    lr_discriminator: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    decay_from: float = 0.5  # the fraction of the steps after which the rate falls
    ema: float = 0.0  # decay per step of the averaged weights; 0 keeps none
    optimiser: str = "adam"
    warmup: float = 0.0  # the fraction of the steps in which the rate rises linearly

    def rate(self, phase: str, step: int, steps: int) -> float:
        """The learning rate of `phase` at `step` of `steps`."""
        base = (
            self.lr_discriminator
            if phase == "discriminator" and self.lr_discriminator is not None
            else self.lr
        )
        left = (steps - step) / max(1.0, steps * (1 - self.decay_from))
        risen = (step + 1) / max(1.0, steps * self.warmup)
        return base * min(1.0, left, risen)


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one training step: the same however often the run was stopped."""
    return np.random.default_rng([seed, STREAM_STEP, step])


@dataclass(frozen=True)
class Training:
    """How long, how, where and with what kept on disk a training runs."""

    steps: int
    optimisation: Optimisation
    seed: int
    device: torch.device
    precision: str  # a key of AUTOCAST, or AUTO: what is fastest here
    state_path: Path  # The state that a resumed training begins with.
    log: MetricsLog
    log_every: int = 50  # steps
    save_seconds: float = 60.0
    accumulate: int = 1  # parts that each batch is worked through in
    until: int | None = None  # The training stops after so many steps, to be gone on with later.
    stops_unhealthy: bool = False  # or goes on with a warning
    # Called by the process that writes, with the number of finished steps and the networks.
    preview: Callable[[int, Mapping[str, nn.Module]], None] | None = None

    @property
    def last_step(self) -> int:
        """How many steps are made before it ends, or stops."""
        return self.steps if self.until is None else min(self.until, self.steps)


def parts_of(batch: Batch, index: int, how: Training, rank: int) -> Parts:
    """The batch on its device in equal parts, each with a Step that draws the same archs."""
    batch = {
        name: values.to(how.device, memory_format=torch.channels_last)
        for name, values in batch.items()
    }
    rngs = [step_rng(how.seed, index) for _ in range(how.accumulate)]
    seeds = [int(rng.integers(2**62)) for rng in rngs]  # drawn from each, so that they stay alike
    torch.manual_seed(seeds[0] + rank)  # dropout
    cut = {name: values.chunk(how.accumulate) for name, values in batch.items()}
    assert all(len(pieces) == how.accumulate for pieces in cut.values())
    return [
        ({name: pieces[i] for name, pieces in cut.items()}, Step(index, rng, total=how.steps))
        for i, rng in enumerate(rngs)
    ]


def target_parameters(task: Task, nets: Mapping[str, nn.Module]) -> list[Tensor]:
    """The weights of the network to compress."""
    return list(nets[task.target].parameters())


def optimiser_of(
    task: Task, phase: Phase, nets: Mapping[str, nn.Module], how: Optimisation
) -> Optimiser:
    """A new optimiser of all that the phase trains."""
    weights = [p for name in phase.trains for p in nets[name].parameters()]
    has_muon = how.optimiser == "muon" and task.target in phase.trains
    return Optimiser(weights, how.lr, (how.beta1, how.beta2), has_muon=has_muon)


def take_turn(
    task: Task,
    nets: Mapping[str, nn.Module],
    parts: Parts,
    phase: Phase,
    *,
    optimiser: Optimiser,
    scaler: torch.amp.GradScaler,
    how: Training,
) -> dict[str, Tensor]:
    """One phase of one step; returns the losses, means over parts and processes."""
    optimiser.zero_grad()
    means = backward(task, nets, parts, phase, scaler, how)
    step = parts[-1][1]
    _check_losses(means, step, phase)
    distributed.average_gradients(optimiser.weights)
    optimiser.set_rate(how.optimisation.rate(phase.name, step.index, how.steps))
    if not scaler.is_enabled():  # the scaler looks for itself, and skips the step
        _check_gradients(optimiser, step, phase)
    optimiser.step(scaler)
    scaler.update()
    return means


def backward(
    task: Task,
    nets: Mapping[str, nn.Module],
    parts: Parts,
    phase: Phase,
    scaler: torch.amp.GradScaler,
    how: Training,
) -> dict[str, Tensor]:
    """Adds one phase's gradients; returns the losses, means over parts and processes."""
    for name, net in nets.items():
        net.requires_grad_(name in phase.trains)  # no weight gradients that nobody uses
    seen = []
    for batch, step in parts:
        names, losses = _forward(task, nets, batch, phase, step, how)
        scaler.scale(losses.sum() / len(parts)).backward()
        seen.append(losses.detach())
    return dict(zip(names, distributed.average(torch.stack(seen).mean(0)), strict=True))


def _forward(
    task: Task,
    nets: Mapping[str, nn.Module],
    batch: Batch,
    phase: Phase,
    step: Step,
    how: Training,
) -> tuple[list[str], Tensor]:
    """The names of the losses of one part, and the losses (L,)."""
    dtype = AUTOCAST[how.precision]
    with torch.autocast(how.device.type, dtype=dtype, enabled=dtype is not None):
        losses = task.losses(nets, batch, phase.name, step)
        return list(losses), torch.stack([loss.float() for loss in losses.values()])


def _check_losses(losses: Mapping[str, Tensor], step: Step, phase: Phase) -> None:
    if not torch.isfinite(torch.stack(list(losses.values())).sum()):
        shown = ", ".join(f"{name} {float(loss):.3g}" for name, loss in losses.items())
        raise DivergedError(f"step {step.index}, {phase.name}: the loss is not finite ({shown})")


def _check_gradients(optimiser: Optimiser, step: Step, phase: Phase) -> None:
    gradients = [p.grad for p in optimiser.weights if p.grad is not None]
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients, foreach=True)):
        raise DivergedError(f"step {step.index}, {phase.name}: a gradient is not finite")
