"""The one training loop: teacher, supernet and every later kind of training go through `fit`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.checkpoint import load_state, save_state
from gancompress.errors import CheckpointError, DivergedError
from gancompress.runs import MetricsLog
from gancompress.tasks.base import Batch, Phase, Step, Task

AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
STREAM_STEP = 3  # the streams 1 and 2 of the run's seed belong to the data


@dataclass(frozen=True)
class Optimisation:
    """Adam for every phase; the learning rate is constant, then falls linearly to zero."""

    lr: float = 2e-4
    lr_critic: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    decay_from: float = 0.5  # the fraction of the steps after which the rate falls
    ema: float = 0.0  # decay per step of the averaged weights; 0 keeps none

    def rate(self, phase: str, step: int, steps: int) -> float:
        """The learning rate of `phase` at `step` of `steps`."""
        base = self.lr_critic if phase == "critic" and self.lr_critic is not None else self.lr
        left = (steps - step) / max(1.0, steps * (1 - self.decay_from))
        return base * min(1.0, left)


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
    precision: str  # a key of AUTOCAST
    state_path: Path  # what a resumed training goes on from
    log: MetricsLog
    log_every: int = 50  # steps
    save_seconds: float = 60.0


def fit(
    task: Task,
    nets: Mapping[str, nn.Module],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    title: str,
) -> None:
    """Trains `nets` in place, going on from `how.state_path` if it is there.

    batches: first step -> the batches from that step on. On the same machine and thread count the
    weights are the same, to the last bit on CPU, however often training was stopped.
    Raises: DivergedError on values that are not finite; KeyboardInterrupt after Ctrl-C or SIGTERM,
    once the step is finished and saved.
    """
    optimisation, steps, device = how.optimisation, how.steps, how.device
    optimisers = {phase.name: _adam(phase, nets, optimisation) for phase in task.phases}
    averaged = [p.detach().clone() for p in _target(task, nets)] if optimisation.ema else []
    scaler = torch.amp.GradScaler(device.type, enabled=how.precision == "fp16")
    trained = {name: nets[name] for phase in task.phases for name in phase.trains}
    state = _State(trained, optimisers, averaged, scaler)
    start = state.load(how.state_path)
    how.log.truncate_after(start)
    saved, done = time.monotonic(), start
    bar = tqdm(total=steps, initial=start, desc=title, unit="step", dynamic_ncols=True)
    with _finish_step_on_signal() as stopping, bar:
        for index, batch in zip(range(start, steps), batches(start), strict=False):
            rng = step_rng(how.seed, index)
            torch.manual_seed(int(rng.integers(2**62)))  # dropout
            step = Step(index, rng)
            batch = {k: v.to(device, memory_format=torch.channels_last) for k, v in batch.items()}
            for phase in task.phases:
                if index % phase.every:
                    continue
                losses = _turn(
                    task, nets, batch, phase, step, optimisers[phase.name], scaler,
                    rate=optimisation.rate(phase.name, index, steps), precision=how.precision,
                )  # fmt: skip
                for name, loss in losses.items():
                    state.sums[name] = state.sums.get(name, 0) + loss
                    state.turns[name] = state.turns.get(name, 0) + 1
            if averaged:
                with torch.no_grad():  # the target may be the network that trained last
                    torch._foreach_lerp_(averaged, _target(task, nets), 1 - optimisation.ema)
            bar.update()
            done = index + 1
            if done % how.log_every == 0 or done == steps:
                means = {name: float(x) / state.turns[name] for name, x in state.sums.items()}
                how.log.write(done, **means)
                bar.set_postfix({n: f"{v:.3g}" for n, v in means.items()}, refresh=False)
                state.sums, state.turns = {}, {}
            if done < steps and (stopping.is_set() or time.monotonic() - saved > how.save_seconds):
                state.save(how.state_path, done)
                saved = time.monotonic()
            if stopping.is_set() and done < steps:
                raise KeyboardInterrupt
    assert done >= steps, f"batches ended after {done} of {steps} steps"
    if averaged:
        with torch.no_grad():
            torch._foreach_copy_(_target(task, nets), averaged)


def _target(task: Task, nets: Mapping[str, nn.Module]) -> list[Tensor]:
    return list(nets[task.target].parameters())


def _adam(phase: Phase, nets: Mapping[str, nn.Module], how: Optimisation) -> torch.optim.Adam:
    parameters = [p for name in phase.trains for p in nets[name].parameters()]
    return torch.optim.Adam(parameters, lr=how.lr, betas=(how.beta1, how.beta2), foreach=True)


def _turn(
    task: Task,
    nets: Mapping[str, nn.Module],
    batch: Batch,
    phase: Phase,
    step: Step,
    optimiser: torch.optim.Adam,
    scaler: torch.amp.GradScaler,
    *,
    rate: float,
    precision: str,
) -> dict[str, Tensor]:
    """One phase of one step; returns the detached losses."""
    for name, net in nets.items():
        net.requires_grad_(name in phase.trains)  # no weight gradients that nobody uses
    device = next(iter(batch.values())).device
    dtype = AUTOCAST[precision]
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        losses = task.losses(nets, batch, phase.name, step)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
    if not torch.isfinite(total):
        shown = ", ".join(f"{name} {float(loss.detach()):.3g}" for name, loss in losses.items())
        raise DivergedError(
            f"step {step.index}, {phase.name}: the loss is not finite ({shown}); lower the "
            "learning rate or use precision=float32, then give the same command again"
        )
    optimiser.zero_grad(set_to_none=True)
    scaler.scale(total).backward()
    for group in optimiser.param_groups:
        group["lr"] = rate
    if not scaler.is_enabled():  # the scaler looks for itself, and skips the step
        _check_gradients(optimiser, step, phase)
    scaler.step(optimiser)
    scaler.update()
    return {name: loss.detach().float() for name, loss in losses.items()}


def _check_gradients(optimiser: torch.optim.Adam, step: Step, phase: Phase) -> None:
    gradients = [p.grad for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients, foreach=True)):
        raise DivergedError(
            f"step {step.index}, {phase.name}: a gradient is not finite; lower the learning rate "
            "or use precision=float32, then give the same command again"
        )


@dataclass
class _State:
    """All that a resumed training needs."""

    nets: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Adam]
    averaged: list[Tensor]
    scaler: torch.amp.GradScaler
    sums: dict[str, Tensor] = field(default_factory=dict)  # of the losses since the last log row
    turns: dict[str, int] = field(default_factory=dict)  # how many losses are in each

    def save(self, path: Path, step: int) -> None:
        state: dict[str, Any] = {
            "step": step,
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimisers": {name: opt.state_dict() for name, opt in self.optimisers.items()},
            "averaged": self.averaged,
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "turns": self.turns,
        }
        save_state(path, state)

    def load(self, path: Path) -> int:
        """The step to go on with; 0 if there is no state yet."""
        if not path.exists():
            return 0
        state = load_state(path)
        try:
            for name, net in self.nets.items():
                net.load_state_dict(state["nets"][name])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
            for have, saved in zip(self.averaged, state["averaged"], strict=True):
                have.copy_(saved)
            self.scaler.load_state_dict(state["scaler"])
            self.sums, self.turns = state["sums"], state["turns"]
            return int(state["step"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: does not fit this training ({str(error).splitlines()[0]}); "
                "delete it to begin this stage anew"
            ) from None


@contextmanager
def _finish_step_on_signal() -> Iterator[threading.Event]:
    """Turns SIGINT and SIGTERM into an event, so that no step is left half done."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # signals belong to the main thread
        return
    before = {
        sign: signal.signal(sign, lambda *_: stopping.set())
        for sign in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
