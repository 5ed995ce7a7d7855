"""How a recipe's supernet learns: which archs its steps train."""

from __future__ import annotations

import numpy as np
import pytest

from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.budgets import budgets_of
from gancompress.stages.distilling import distilling_of, mean_macs, of_mean_cost, row_draws


def project(*overrides: str) -> Project:
    return Project(
        load_recipe("maps", [
            "family.blocks=2", "teacher={width: 16, steps: 1}",
            "space={widths: [16, 12, 8, 6, 4, 2], ops: [dense, separable]}",
            "search={reduction: 4, more_reductions: [16]}", "supernet.archs=rows", *overrides,
        ])
    )  # fmt: skip


def test_archs_of_a_row_keep_its_budget_and_use_it_up() -> None:
    made = project()
    arch, rng = made.planned_arch, np.random.default_rng(0)
    budgets = budgets_of(made, arch).values()
    for draw, most in zip(row_draws(made, arch), budgets, strict=True):
        archs = [draw(rng) for _ in range(12)]
        macs = [made.cost(one).macs_true for one in archs]
        assert max(macs) <= most and np.mean(macs) > 0.85 * most
        assert len(set(archs)) > 6


def test_archs_of_rows_are_drawn_as_archs_says() -> None:
    of_rows, of_all = project(), project("supernet.archs=uniform")
    arch = of_rows.planned_arch
    most = min(budgets_of(of_rows, arch).values())

    def small(made: Project) -> int:
        draw, rng = distilling_of(made, arch).draw, np.random.default_rng(1)
        drawn = [one for _ in range(60) for one in draw(made.space, rng)]
        return sum(made.cost(one).macs_true <= most for one in drawn)

    assert small(of_all) == 0 and 10 <= small(of_rows) <= 30  # A third of the draws are expected.


@pytest.mark.parametrize(("archs", "count"), [("rows", 1), ("uniform", 1), ("sandwich", 3)])
def test_the_archs_of_mean_cost_stand_for_all(archs: str, count: int) -> None:
    made = project(f"supernet.archs={archs}")
    arch = made.planned_arch
    mean, rng = mean_macs(made, arch), np.random.default_rng(2)
    draw = of_mean_cost(made, distilling_of(made, arch)).draw
    drawn = draw(made.space, rng)
    assert drawn == draw(made.space, rng) and len(drawn) == count
    macs = sum(made.cost(one).macs_true for one in drawn)
    assert macs == pytest.approx(mean, rel=0.1)
