"""How a recipe's supernet learns: the archs that its steps train, and what those cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gancompress.archs.arch import Arch
from gancompress.distill.draws import RowDraw, draw_named
from gancompress.distill.supernet import Distilling
from gancompress.project import Project
from gancompress.search.feasible import FeasibleSampler
from gancompress.stages.budgets import costs_of, rows_of

SAMPLED = 64  # draws of archs that stand for all
ROW_ARCHS = 1024  # archs of each row that are trained, at most


def distilling_of(project: Project, arch: Arch | None = None) -> Distilling:
    """How a supernet learns. arch: the teacher's; None for that of the run.

    Raises: BudgetError if no generator of the space keeps a row's limits.
    """
    section = project.recipe.supernet
    return Distilling(
        section.init,
        draw_named(section.archs, row_draws(project, arch) if section.archs == "rows" else ()),
        section.target,
        {str(name): weight for name, weight in section.losses.items()},
        section.discriminator_every,
    )


def row_draws(project: Project, arch: Arch | None = None) -> tuple[RowDraw, ...]:
    """What draws archs of each row of the final table: they use up its budget.

    Milliseconds count where they were measured before.
    """
    space, costs = project.space, costs_of(project, must_time=False)
    known = costs(space.smallest)
    samplers = [
        FeasibleSampler(space, costs, [limit for limit in limits if limit.cost in known])
        for limits in rows_of(project, arch).values()
    ]
    return tuple(map(_OfRow, samplers))


def mean_macs(project: Project, arch: Arch | None = None) -> float:
    """Of the archs of a step, in the recipe's convention."""
    return float(np.mean([macs for _, macs in _sampled(project, distilling_of(project, arch))]))


def of_mean_cost(project: Project, how: Distilling) -> Distilling:
    """`how` with the same archs at every step: those of usual cost, for a step to be timed."""
    sampled = _sampled(project, how)
    mean = np.mean([macs for _, macs in sampled])
    archs, _ = min(sampled, key=lambda one: abs(one[1] - mean))
    return replace(how, draw=lambda space, rng: archs)


def _sampled(project: Project, how: Distilling) -> list[tuple[list[Arch], float]]:
    """Draws that stand for all, with their MACs."""
    rng, convention = np.random.default_rng(0), project.recipe.search.convention
    draws = [how.draw(project.space, rng) for _ in range(SAMPLED)]
    return [
        (archs, float(sum(project.cost_model(one).macs(convention) for one in archs)))
        for archs in draws
    ]


class _OfRow:
    """Archs of one row, drawn from ROW_ARCHS that are each made once.

    To make one takes up to a second where costs are not known yet, and some milliseconds then.
    """

    def __init__(self, sampler: FeasibleSampler) -> None:
        self._sampler = sampler
        self._made: dict[int, Arch] = {}

    def __call__(self, rng: np.random.Generator) -> Arch:
        number = int(rng.integers(ROW_ARCHS))
        if number not in self._made:
            own = np.random.default_rng(number)
            self._made[number] = self._sampler.widened(self._sampler.draw(own), own)
        return self._made[number]
