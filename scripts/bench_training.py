"""python scripts/bench_training.py RECIPE [KEY=VALUE …]: what a supernet's training step takes.

Steps of the recipe's own networks, images and losses, with random weights, in parts: reading the
images, asking the teacher and the forward pass with its losses, the backward pass, the optimiser.
Then images a second, the floating point operations of these steps (counted by torch), and which
part of the rate they reach that one large product of matrices has here in the same precision, on
as many threads (`threads=1`). `precision=float32` or `bf16` says in which; auto is the recipe's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gancompress.distill.answers import Draws, ask
from gancompress.distill.supernet import Teacher, student_of
from gancompress.errors import GanCompressError
from gancompress.project import Project
from gancompress.project.training import (
    batches_of,
    drawn_once,
    draws_of,
    training_of,
)
from gancompress.recipe.reading import load_recipe
from gancompress.stages.distilling import distilling_of
from gancompress.supernet.supernet import named_tensors
from gancompress.tasks.base import Batch, Task
from gancompress.training.precisions import AUTO, AUTOCAST, fastest
from gancompress.training.steps import Training, optimiser_of, parts_of
from gancompress.training.steptimes import batch_times

STEPS, WARM = 12, 2  # Steps that are timed, after some that make kernels ready.
SIDE, PRODUCTS = 1536, 6  # The sides of matrices whose product is timed, and how often it is.
KEPT = 64  # Answers that are kept where the recipe keeps any: all batches are made of these.


class Clock:
    """Seconds by part, of every step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds what is done inside to the part."""
        begun = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - begun)


def student(project: Project) -> tuple[Task, dict[str, nn.Module], Iterator[Batch]]:
    """The supernet's task, its networks, and as many batches as are needed."""
    recipe, family, task = project.recipe, project.family, project.task
    arch = project.planned_arch
    teacher = family.build(arch).eval()
    tensors = {task.target: {name: t.detach() for name, t in named_tensors(teacher)}}
    found, nets = student_of(
        task,
        project.untrained_supernet(arch),
        family.build,
        Teacher(arch, {} if recipe.teacher.is_absent else tensors),
        distilling=replace(distilling_of(project, arch), init="random"),
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        seed=recipe.seed,
    )
    dataset = drawn_once(project)
    draws = draws_of(project, dataset)
    if draws is not None:
        few = Draws(draws.count, draws.batch, draws.batch_size)  # No file keeps them.
        answers = ask(teacher, task.inputs, project.distilled_layers, few, project.device)
        found = found.answered_by(answers)
    for name, net in nets.items():
        net.to(project.device).train(name != "teacher")
    section = recipe.supernet.model_copy(update={"steps": 1 + WARM + 2 * STEPS})
    return found, nets, iter(batches_of(project, dataset, section)(0))


def step(
    task: Task,
    nets: Mapping[str, nn.Module],
    batches: Iterator[Batch],
    index: int,
    how: Training,
    clock: Clock,
) -> None:
    """One step as `training.loop` makes it, in parts."""
    dtype = AUTOCAST[how.precision]
    with clock.part("data"):
        parts = parts_of(next(batches), index, how, rank=0)
    for phase in task.phases:
        optimiser = optimiser_of(task, phase, nets, how.optimisation)
        for name, net in nets.items():
            net.requires_grad_(name in phase.trains)
        for batch, state in parts:
            autocast = torch.autocast(how.device.type, dtype=dtype, enabled=dtype is not None)
            with clock.part(f"{phase.name}, forward"), autocast:
                losses = task.losses(nets, batch, phase.name, state)
                loss = torch.stack([one.float() for one in losses.values()]).sum()
            with clock.part(f"{phase.name}, backward"):
                loss.backward()
        scaler = torch.amp.GradScaler(how.device.type, enabled=False)
        optimiser.step(scaler)  # makes its state
        with clock.part(f"{phase.name}, optimiser"):
            optimiser.step(scaler)
        optimiser.zero_grad()


def rate(dtype: torch.dtype) -> float:
    """Floating point operations a second of one product of large matrices."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(PRODUCTS):
        begun = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - begun)
    return 2 * SIDE**3 / min(seconds)


def measure(project: Project) -> list[str]:
    """The table, a line each."""
    recipe = project.recipe
    torch.set_num_threads(recipe.threads or torch.get_num_threads())
    task, nets, batches = student(project)
    nowhere = project.run.stage("supernet")
    how = training_of(project, recipe.supernet, nowhere)
    if how.precision == AUTO:
        how = replace(how, precision=fastest(batch_times(task, nets, next(batches), how)))
    for index in range(WARM):
        step(task, nets, batches, index, how, Clock())
    clock = Clock()
    for index in range(WARM, WARM + STEPS):
        step(task, nets, batches, index, how, clock)
    with FlopCounterMode(display=False) as counter:
        for index in range(WARM, WARM + STEPS):
            step(task, nets, batches, index, how, Clock())
    total = sum(sum(times) for times in clock.seconds.values())
    lines = [f"{'part':<28} {'ms a step':>9} {'share':>6}"]
    for name, times in clock.seconds.items():
        of_all = sum(times) / total
        lines.append(f"{name:<28} {1000 * statistics.median(times):9.1f} {100 * of_all:5.0f}%")
    images = recipe.supernet.batch_size * STEPS / total
    dtype = AUTOCAST[how.precision] or torch.float32
    reached, most = counter.get_total_flops() / total, rate(dtype)
    lines += [
        f"{images:.1f} images a second, batch {recipe.supernet.batch_size}, {how.precision}, "
        f"{torch.get_num_threads()} threads",
        f"{reached / 1e9:.0f} G operations a second, {100 * reached / most:.0f}% of the "
        f"{most / 1e9:.0f} G of a product of matrices in {how.precision}",
    ]
    return lines


def main() -> None:
    """Prints the table of a recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", help="a recipe file or the name of a packaged recipe")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    options = parser.parse_args()
    try:
        recipe = load_recipe(options.recipe, options.overrides)
        if recipe.supernet.kept_answers:
            few = max(KEPT, recipe.supernet.batch_size, recipe.finetune.batch_size)
            recipe = load_recipe(
                options.recipe, [*options.overrides, f"supernet.kept_answers={few}"]
            )
        print("\n".join(measure(Project(recipe))))
    except GanCompressError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
