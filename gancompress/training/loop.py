"""The one training loop: teacher, supernet and every later kind of training go through `fit`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Never

import torch
from torch import nn
from tqdm import tqdm

from gancompress.bars import progress, say_above
from gancompress.errors import DivergedError
from gancompress.interrupts import Terminated, is_asked_to_stop
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagenames import STAGES
from gancompress.tasks.base import Batch, Step, Task
from gancompress.training import distributed
from gancompress.training.health import HealthMonitor, is_look_due, values_of, variety
from gancompress.training.precisions import AUTOCAST
from gancompress.training.state import TrainingState
from gancompress.training.steps import (
    Parts,
    Training,
    optimiser_of,
    parts_of,
    take_turn,
    target_parameters,
)
from gancompress.training.steptimes import with_precision


def fit(
    task: Task,
    nets: Mapping[str, nn.Module],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
    title: str,
) -> None:
    """Trains `nets` in place, going on from `how.state_path` if it is there.

    batches: first step -> the batches from that step on; of several processes (see
    `training.distributed`) each gives its part. All read the state, one writes it. On the same
    machine, thread and process count the weights are the same, to the last bit on CPU, however
    often training was stopped.
    Where `how.until` stops it, its state is kept, and the nets have the weights that they would end
    with now: averaged ones where `how` averages.
    Raises: DivergedError on values that are not finite; UnhealthyError as `how` says; the latter,
    and KeyboardInterrupt after Ctrl-C or SIGTERM in any process, once the step is finished and
    saved; RunError if processes see different states.
    """
    distributed.broadcast_nets(nets.values())
    _Loop(task, nets, with_precision(task, nets, batches, how, title), title).run(batches)


class _Loop:
    """One training in this process, between two interruptions."""

    def __init__(
        self, task: Task, nets: Mapping[str, nn.Module], how: Training, title: str
    ) -> None:
        self._task, self._nets, self._how, self._title = task, nets, how, title
        optimisation = how.optimisation
        self._optimisers = {
            phase.name: optimiser_of(task, phase, nets, optimisation) for phase in task.phases
        }
        self._averaged = (
            [p.detach().clone() for p in target_parameters(task, nets)] if optimisation.ema else []
        )
        self._scaler = torch.amp.GradScaler(how.device.type, enabled=how.precision == "fp16")
        trained = {name: nets[name] for phase in task.phases for name in phase.trains}
        self._findings = MetricsLog(how.log.path.with_name("health.jsonl"))
        self._monitor = HealthMonitor(task.discriminator_output, title, self._findings, say_above)
        rates = (optimisation.lr, optimisation.lr_discriminator)
        self._state = TrainingState(
            trained, self._optimisers, self._averaged, self._scaler, self._monitor, rates
        )

    def run(self, batches: Callable[[int], Iterable[Batch]]) -> None:
        """Makes all steps that are left. Raises: as `fit`."""
        how, ours = self._how, distributed.current()
        done = start = self._resumed()
        self._saved = time.monotonic()
        bar = progress(
            total=how.last_step, initial=start, desc=self._title, unit="step", dynamic_ncols=True,
            disable=not ours.is_main_process,
        )  # fmt: skip
        with _finish_step_on_signal() as stopping, bar:
            left = zip(
                range(start, how.last_step), distributed.in_step(batches(start)), strict=False
            )
            for index, batch in left:
                parts = parts_of(batch, index, how, ours.rank)
                self._monitor.keep(parts[0][0])
                self._train(parts, index)
                bar.update()
                done = index + 1
                self._watch(parts, done)
                self._report(bar, done)
                if how.preview is not None and ours.is_main_process:
                    how.preview(done, self._nets)
                self._save_or_stop(stopping, done)
        assert done >= how.last_step, f"batches ended after {done} of {how.last_step} steps"
        if start < done < how.steps and ours.is_main_process:
            self._state.save(how.state_path, done)
        if self._averaged:
            with torch.no_grad():
                torch._foreach_copy_(target_parameters(self._task, self._nets), self._averaged)

    def _resumed(self) -> int:
        """The step to go on with, everything as it was then."""
        path = self._how.state_path
        start = distributed.together(lambda: self._state.load(path))
        start = distributed.assert_equal_across_ranks(start, str(path))
        if distributed.current().is_main_process:
            self._how.log.truncate_after(start)
            self._findings.truncate_after(start)
        return start

    def _train(self, parts: Parts, index: int) -> None:
        """One step: the turns of all phases that have one, then the average of the weights."""
        how = self._how
        for phase in self._task.phases:
            optimiser = self._optimisers[phase.name]
            if phase.restarts_at(index, how.steps):
                optimiser.forget()
            if phase.has_turn(index, how.steps):
                turn = partial(take_turn, self._task, self._nets, parts, phase)
                try:
                    self._state.add(turn(optimiser=optimiser, scaler=self._scaler, how=how))
                except DivergedError as error:
                    raise DivergedError(f"{error}; {_calmer(self._title, how)}") from None
        if self._averaged:
            with torch.no_grad():  # the target may be the network that trained last
                weights = target_parameters(self._task, self._nets)
                torch._foreach_lerp_(self._averaged, weights, 1 - how.optimisation.ema)

    def _watch(self, parts: Parts, done: int) -> None:
        """Shows the health monitor what discriminators answered, and images when that is due."""
        self._monitor.see(done, [step.outputs for _, step in parts])
        if is_look_due(done):
            look = partial(_looked, self._task, self._nets, self._monitor.fixed)
            share, values = distributed.broadcast_from_main(
                partial(look, step=parts[0][1], how=self._how)
            )
            self._monitor.look(done, share)
            self._monitor.measure(done, values)

    def _report(self, bar: tqdm[Never], done: int) -> None:
        """Writes the losses' means to the log and the bar, every so many steps."""
        if done % self._how.log_every == 0 or done == self._how.steps:
            means = self._state.take_means()
            if distributed.current().is_main_process:
                self._how.log.write(done, **means)
            bar.set_postfix({n: f"{v:.3g}" for n, v in means.items()}, refresh=False)

    def _save_or_stop(self, stopping: Sequence[int], done: int) -> None:
        """Saves the state when that is due, and stops when that is asked for in any process."""
        how = self._how
        is_ill = how.stops_unhealthy and self._monitor.is_ill
        is_stopped = distributed.agree(bool(stopping) or is_asked_to_stop() or is_ill)
        is_due = is_stopped or time.monotonic() - self._saved > how.save_seconds
        if distributed.current().is_main_process and is_due and done < how.steps:
            self._state.save(how.state_path, done)
            self._saved = time.monotonic()
        if is_stopped and done < how.steps:
            distributed.wait()  # for the state: who leaves first may have the others killed
            if is_ill:
                raise self._monitor.refusal(done)
            raise Terminated if signal.SIGTERM in stopping else KeyboardInterrupt


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
