"""What a training step takes in each precision here, and the precision that a training takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from gancompress.bars import say_above
from gancompress.tasks.base import Batch, Task
from gancompress.training import distributed
from gancompress.training.precisions import (
    SECONDS,
    candidates,
    settle_precision,
    step_times,
    without_effect,
)
from gancompress.training.steps import Training, backward, parts_of

TIMED_IMAGES = 4  # A precision is timed on as few as every discriminator takes.
TIMED_STEPS = 4


def with_precision(
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
            parts = parts_of(batch, index, tried, distributed.current().rank)
            for phase in task.phases:
                if phase.has_turn(index, how.steps):
                    backward(task, nets, parts, phase, scaler, tried)

    with without_effect(nets):
        found = step_times(how.device, tried_in, known or candidates(how.device))
    return {precision: seconds / len(set(spread)) for precision, seconds in found.items()}
