"""What fine-tuning costs beside the supernet's training."""

from __future__ import annotations

import pytest

from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.finetuningcost import (
    row_fractions,
    steps_of_finetuning,
    supernet_steps_of_finetuning,
)


def project(*overrides: str) -> Project:
    """Of pairs at toy size, whose students learn from kept answers without a discriminator."""
    return Project(
        load_recipe("maps", [
            "family.blocks=1", "teacher={width: 8, steps: 1}", "space={widths: [8, 4]}",
            "search={reduction: 4, more_reductions: [16]}", "supernet.kept_answers=8",
            "supernet.losses={l1: 1}", "supernet.target=teacher", "supernet.archs=uniform",
            "finetune.steps=64", *overrides,
        ])
    )  # fmt: skip


def test_a_step_costs_what_its_row_may_of_the_mean_arch() -> None:
    first, second = row_fractions(project())
    assert 0 < second < first < 1 and first == pytest.approx(4 * second, rel=1e-3)
    assert row_fractions(project("supernet.kept_answers=0")) == (1.0, 1.0)
    assert row_fractions(project("supernet.losses={l1: 1, gan: 1}")) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("overrides", "of_first", "of_second", "steps"),
    [
        ((), 1.0, 0.0, 64),
        (("finetune.archs=2",), 1.0, 1.0, 128),
        (("finetune.archs=3",), 2.0, 1.0, 192),  # The third may cost as much as the first row's.
        (("finetune.finalists=4",), 1.5, 0.0, 96),  # Four of an eighth, two of another.
        (("finetune.archs=3", "finetune.finalists=4"), 2.5, 1.5, 256),
    ],
)
def test_all_that_is_finetuned_is_counted(
    overrides: tuple[str, ...], of_first: float, of_second: float, steps: int
) -> None:
    made = project(*overrides)
    first, second = row_fractions(made)
    expected = of_first * first + of_second * second
    assert supernet_steps_of_finetuning(made) == pytest.approx(expected)
    assert steps_of_finetuning(made) == steps
