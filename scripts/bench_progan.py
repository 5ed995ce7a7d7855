"""python scripts/bench_progan.py [--recipe progan-maps] [--seconds 20] [--threads 1]

Training time of a progressive GAN level by level, dense against separable 3x3 convolutions in both
networks: one step of the generator and one of the discriminator with its gradient penalty, as
`gancompress train-teacher` takes them. The two take turns, so that other work on the machine slows
both alike; the ratio is the figure to look at. With one thread processor time is measured, which
other programs blur less than the time on the wall; with more, the latter.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from gancompress.nets.layers.blocks import INITS
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.tasks.base import Step
from gancompress.tasks.unconditional import Unconditional
from gancompress.training.steps import step_rng

OPERATORS = ("dense", "separable")


def stepper(recipe: Recipe, op: str, level: int) -> Callable[[], float]:
    """A function that trains both networks for a step at `level`, faded in; seconds it took."""
    task, family = Project(recipe).task, Project(recipe).family
    assert isinstance(task, Unconditional) and task.context.grows
    task = replace(task, options=task.options.model_copy(update={"discriminator_op": op}))
    nets = task.teacher_nets(lambda: family.build(family.uniform(recipe.teacher.width, op)))
    for net in nets.values():
        INITS[task.init](net, torch.Generator().manual_seed(0))
        net.train()
    section, size = recipe.teacher, recipe.data.image_size
    optimisers = {
        phase.name: torch.optim.Adam(
            [p for name in phase.trains for p in nets[name].parameters()],
            lr=section.lr,
            betas=(section.beta1, section.beta2),
            foreach=True,
        )
        for phase in task.phases
    }
    total = 1000
    ends = [*task.plan.starts[1:], 1.0]
    index = round(ends[level] * total) - 1  # the last step of the level
    n = section.batch_size
    batch = {
        "input": torch.randn(n, task.in_channels, 1, 1),
        "target": torch.rand(n, task.out_channels, *size).mul(2).sub(1),
    }
    batch = {k: v.contiguous(memory_format=torch.channels_last) for k, v in batch.items()}

    def step() -> float:
        clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
        start = clock()
        now = Step(index, step_rng(0, index), total=total)
        for phase in task.phases:
            for name, net in nets.items():
                net.requires_grad_(name in phase.trains)
            optimisers[phase.name].zero_grad(set_to_none=True)
            terms = task.losses(nets, batch, phase.name, now)
            torch.stack(list(terms.values())).sum().backward()
            optimisers[phase.name].step()
        return clock() - start

    return step


def medians(steps: list[Callable[[], float]], seconds: float) -> list[float]:
    """The median time of each, in turn for `seconds` in all, after one call that is not counted."""
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 3:
        for seen, step in zip(times, steps, strict=True):
            seen.append(step())
    return [float(np.median(seen)) for seen in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="progan-maps")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each level")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = load_recipe(given.recipe, given.overrides)
    task = Project(recipe).task
    assert isinstance(task, Unconditional)
    n = recipe.teacher.batch_size
    print(f"{given.recipe}, width {recipe.teacher.width}, batch {n}, {given.threads} thread(s)")
    print("seconds for 1 000 images, one step of either network each; the median")
    print(f"| {'level':>5} | {'dense':>7} | {'separable':>9} | {'faster':>6} |")
    print("| ----: | ------: | --------: | -----: |")
    totals = [0.0, 0.0]
    weights = [w / sum(task.plan.weights) for w in task.plan.weights]
    for level, weight in enumerate(weights):
        steps = [stepper(recipe, op, level) for op in OPERATORS]
        found = [1000 * seconds / n for seconds in medians(steps, given.seconds)]
        totals = [t + weight * f for t, f in zip(totals, found, strict=True)]
        row(f"{4 * 2**level}", *found)
    row("all", *totals)
    print(f"all: weighed by the steps that each level is trained, {list(task.plan.weights)}")


def row(level: str, dense: float, separable: float) -> None:
    print(f"| {level:>5} | {dense:>7.2f} | {separable:>9.2f} | {dense / separable:>5.2f}x |")


if __name__ == "__main__":
    main()
