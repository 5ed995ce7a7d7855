"""The one training loop: teacher, supernet and every later kind of training go through `fit`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.bars import progress, say_above
from gancompress.errors import DivergedError
from gancompress.interrupts import Terminated, is_asked_to_stop
from gancompress.storage.runs import STAGES, MetricsLog
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.training import distributed
from gancompress.training.health import HealthMonitor, is_look_due, values_of, variety
from gancompress.training.precisions import (
    AUTOCAST,
    SECONDS,
    candidates,
    settle_precision,
    step_times,
    without_effect,
)
from gancompress.training.state import TrainingState

TIMED_IMAGES = 4  # A precision is timed on as few as every discriminator takes.
TIMED_STEPS = 4
STREAM_STEP = 3  # the streams 1 and 2 of the run's seed belong to the data


@dataclass(frozen=True)
class Optimisation:
    """Adam for every phase; the learning rate is constant, then falls linearly to zero."""

    lr: float = 2e-4
    lr_discriminator: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    decay_from: float = 0.5  # the fraction of the steps after which the rate falls
    ema: float = 0.0  # decay per step of the averaged weights; 0 keeps none

    def rate(self, phase: str, step: int, steps: int) -> float:
        """The learning rate of `phase` at `step` of `steps`."""
        base = (
            self.lr_discriminator
            if phase == "discriminator" and self.lr_discriminator is not None
            else self.lr
        )
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
    precision: str  # a key of AUTOCAST, or AUTO: what is fastest here
    state_path: Path  # The state that a resumed training begins with.
    log: MetricsLog
    log_every: int = 50  # steps
    save_seconds: float = 60.0
    accumulate: int = 1  # parts that each batch is worked through in
    stops_unhealthy: bool = False  # or goes on with a warning


def fit(
    task: Task,
    nets: Mapping[str, nn.Module],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    title: str,
) -> None:
    """Trains `nets` in place, going on from `how.state_path` if it is there.

    batches: first step -> the batches from that step on; of several processes (see
    `training.distributed`) each gives its fraction. All read the state, one writes it. On the same
    machine, thread and process count the weights are the same, to the last bit on CPU, however
    often training was stopped.
    Raises: DivergedError on values that are not finite; UnhealthyError as `how` says; the latter,
    and KeyboardInterrupt after Ctrl-C or SIGTERM in any process, once the step is finished and
    saved; RunError if processes see different states.
    """
    ours = distributed.current()
    distributed.broadcast_nets(nets.values())
    how = _settled(task, nets, batches, how, title)
    optimisation, steps = how.optimisation, how.steps
    optimisers = {phase.name: _adam(phase, nets, optimisation) for phase in task.phases}
    averaged = [p.detach().clone() for p in _target(task, nets)] if optimisation.ema else []
    scaler = torch.amp.GradScaler(how.device.type, enabled=how.precision == "fp16")
    trained = {name: nets[name] for phase in task.phases for name in phase.trains}
    findings = MetricsLog(how.log.path.with_name("health.jsonl"))
    monitor = HealthMonitor(task.discriminator_output, title, findings, say_above)
    rates = (optimisation.lr, optimisation.lr_discriminator)
    state = TrainingState(trained, optimisers, averaged, scaler, monitor, rates)
    start = distributed.together(lambda: state.load(how.state_path))
    start = distributed.assert_equal_across_ranks(start, str(how.state_path))
    if ours.is_main_process:
        how.log.truncate_after(start)
        findings.truncate_after(start)
    saved, done = time.monotonic(), start
    bar = progress(
        total=steps, initial=start, desc=title, unit="step", dynamic_ncols=True,
        disable=not ours.is_main_process,
    )  # fmt: skip
    with _finish_step_on_signal() as stopping, bar:
        steps_left = zip(range(start, steps), distributed.in_step(batches(start)), strict=False)
        for index, batch in steps_left:
            parts = _parts(batch, index, how, ours.rank)
            monitor.keep(parts[0][0])
            for phase in task.phases:
                optimiser = optimisers[phase.name]
                if phase.restarts_at(index, steps):
                    optimiser.state.clear()
                if phase.has_turn(index, steps):
                    turn = partial(_turn, task, nets, parts, phase)
                    try:
                        state.add(turn(optimiser=optimiser, scaler=scaler, how=how))
                    except DivergedError as error:
                        raise DivergedError(f"{error}; {_calmer(title, how)}") from None
            if averaged:
                with torch.no_grad():  # the target may be the network that trained last
                    torch._foreach_lerp_(averaged, _target(task, nets), 1 - optimisation.ema)
            bar.update()
            done = index + 1
            monitor.see(done, [step.outputs for _, step in parts])
            if is_look_due(done):
                share, values = distributed.broadcast_from_main(
                    partial(_looked, task, nets, monitor.fixed, step=parts[0][1], how=how)
                )
                monitor.look(done, share)
                monitor.measure(done, values)
            if done % how.log_every == 0 or done == steps:
                means = state.take_means()
                if ours.is_main_process:
                    how.log.write(done, **means)
                bar.set_postfix({n: f"{v:.3g}" for n, v in means.items()}, refresh=False)
            is_ill = how.stops_unhealthy and monitor.is_ill
            is_stopped = distributed.agree(bool(stopping) or is_asked_to_stop() or is_ill)
            is_due = is_stopped or time.monotonic() - saved > how.save_seconds
            if ours.is_main_process and is_due and done < steps:
                state.save(how.state_path, done)
                saved = time.monotonic()
            if is_stopped and done < steps:
                distributed.wait()  # for the state: who leaves first may have the others killed
                if is_ill:
                    raise monitor.refusal(done)
                raise Terminated if signal.SIGTERM in stopping else KeyboardInterrupt
    assert done >= steps, f"batches ended after {done} of {steps} steps"
    if averaged:
        with torch.no_grad():
            torch._foreach_copy_(_target(task, nets), averaged)


Parts = list[tuple[Batch, Step]]


def _settled(
    task: Task,
    nets: Mapping[str, nn.Module],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    title: str,
) -> Training:
    """`how` with a precision in place of AUTO, which `how.state_path`'s folder then records."""

    def times() -> dict[str, float]:
        return batch_times(task, nets, next(iter(batches(0))), how)

    def speak(text: str) -> None:
        if distributed.current().is_main_process:
            say_above(f"{title}: {text}")

    folder = how.state_path.parent
    chosen = settle_precision(folder, how.precision, how.device, times, speak)
    return replace(how, precision=chosen)


def batch_times(
    task: Task,
    nets: Mapping[str, nn.Module],
    batch: Batch,
    how: Training,
    known: Sequence[str] | None = None,
) -> dict[str, float]:
    """Seconds that a step of all of `batch` takes in each precision; see `precision_times`.

    Timed on TIMED_IMAGES first, and then on as many as are computed at once, where the first says
    that two rounds of that take no longer than SECONDS: few images do not fill the processor, and
    a precision that gains nothing with 4 of them may gain a quarter with 16.
    """
    count = len(next(iter(batch.values())))
    at_once = count // how.accumulate
    first = min(TIMED_IMAGES, at_once)
    few = {name: values[:first] for name, values in batch.items()}
    seconds = {
        n: s * at_once / first for n, s in precision_times(task, nets, few, how, known).items()
    }
    if at_once > first and 2 * sum(seconds.values()) <= SECONDS:
        part = {name: values[:at_once] for name, values in batch.items()}
        seconds = precision_times(task, nets, part, how, known, steps=1)
    return {name: s * how.accumulate for name, s in seconds.items()}


def precision_times(
    task: Task,
    nets: Mapping[str, nn.Module],
    batch: Batch,
    how: Training,
    known: Sequence[str] | None = None,
    *,
    steps: int = TIMED_STEPS,
) -> dict[str, float]:
    """Mean seconds of a training step of `batch` in each precision that may be fast here.

    Of `steps` steps spread over the training: the archs of a supernet differ in cost, and some
    tasks grow. known: the precisions to time. Leaves no trace in the networks.
    """
    # One further each time: what has a turn at every third step has it at some of them.
    spread = [min(how.steps * i // steps + i, how.steps - 1) for i in range(steps)]

    def tried_in(precision: str) -> None:
        tried = replace(how, precision=precision, accumulate=1)
        scaler = torch.amp.GradScaler(how.device.type, enabled=False)
        for index in dict.fromkeys(spread):
            parts = _parts(batch, index, tried, distributed.current().rank)
            for phase in task.phases:
                if phase.has_turn(index, how.steps):
                    _backward(task, nets, parts, phase, scaler, tried)

    with without_effect(nets):
        found = step_times(how.device, tried_in, known or candidates(how.device))
    return {precision: seconds / len(set(spread)) for precision, seconds in found.items()}


def _parts(batch: Batch, index: int, how: Training, rank: int) -> Parts:
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


def _target(task: Task, nets: Mapping[str, nn.Module]) -> list[Tensor]:
    return list(nets[task.target].parameters())


def _adam(phase: Phase, nets: Mapping[str, nn.Module], how: Optimisation) -> torch.optim.Adam:
    parameters = [p for name in phase.trains for p in nets[name].parameters()]
    return torch.optim.Adam(parameters, lr=how.lr, betas=(how.beta1, how.beta2), foreach=True)


def _turn(
    task: Task,
    nets: Mapping[str, nn.Module],
    parts: Parts,
    phase: Phase,
    *,
    optimiser: torch.optim.Adam,
    scaler: torch.amp.GradScaler,
    how: Training,
) -> dict[str, Tensor]:
    """One phase of one step; returns the losses, means over parts and processes."""
    optimiser.zero_grad(set_to_none=True)
    means = _backward(task, nets, parts, phase, scaler, how)
    step = parts[-1][1]
    _check_losses(means, step, phase)
    distributed.average_gradients([p for g in optimiser.param_groups for p in g["params"]])
    for group in optimiser.param_groups:
        group["lr"] = how.optimisation.rate(phase.name, step.index, how.steps)
    if not scaler.is_enabled():  # the scaler looks for itself, and skips the step
        _check_gradients(optimiser, step, phase)
    scaler.step(optimiser)
    scaler.update()
    return means


def _backward(
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


def _looked(
    task: Task, nets: Mapping[str, nn.Module], batch: Batch, *, step: Step, how: Training
) -> tuple[float | None, Mapping[str, float] | None]:
    """How much the target's images of a batch differ, and their values; leaves no trace."""
    target, dtype = nets[task.target], AUTOCAST[how.precision]
    was_training = target.training
    target.eval()
    on_device = {name: values.to(how.device) for name, values in batch.items()}
    autocast = torch.autocast(how.device.type, dtype=dtype, enabled=dtype is not None)
    with torch.no_grad(), autocast:
        pictures = task.pictures(nets, on_device, step)
    target.train(was_training)
    return (None, None) if pictures is None else (variety(*pictures), values_of(*pictures))


def _check_losses(losses: Mapping[str, Tensor], step: Step, phase: Phase) -> None:
    if not torch.isfinite(torch.stack(list(losses.values())).sum()):
        shown = ", ".join(f"{name} {float(loss):.3g}" for name, loss in losses.items())
        raise DivergedError(f"step {step.index}, {phase.name}: the loss is not finite ({shown})")


def _check_gradients(optimiser: torch.optim.Adam, step: Step, phase: Phase) -> None:
    gradients = [p.grad for g in optimiser.param_groups for p in g["params"] if p.grad is not None]
    if not torch.isfinite(torch.nn.utils.get_total_norm(gradients, foreach=True)):
        raise DivergedError(f"step {step.index}, {phase.name}: a gradient is not finite")


def _calmer(title: str, how: Training) -> str:
    """What an unfinished training goes on with, after values that were not finite."""
    section, rates = title.split(" ")[0], how.optimisation
    named = {"lr": rates.lr, "lr_discriminator": rates.lr_discriminator}
    lower = " and ".join(f"{section}.{k} (now {r:g})" for k, r in named.items() if r is not None)
    other = "" if how.precision == "float32" else ", or precision=float32"
    command = f"gancompress {STAGES.get(section, section)} … --redo"
    return (
        f"give the same command again with a lower {lower}{other}; if it ends so again, what was "
        f"saved is too far gone: begin anew with that, {command}"
    )


@contextmanager
def _finish_step_on_signal() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM as they come, so that no step is left half done."""
    stopping: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # signals belong to the main thread
        return
    before = {
        sign: signal.signal(sign, lambda number, _: stopping.append(number))
        for sign in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopping
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
