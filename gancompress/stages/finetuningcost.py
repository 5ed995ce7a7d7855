"""How much of a recipe's time fine-tuning takes: for its estimate, and to plan its steps."""

from __future__ import annotations

from gancompress.distill.halving import steps_in_all, trainings_in_all
from gancompress.project import Project
from gancompress.stages.budgets import budgets_of
from gancompress.stages.distilling import mean_macs


def row_fractions(project: Project) -> tuple[float, ...]:
    """A step of a generator that has a row's whole budget, in steps of the supernet, row by row.

    Its MACs over the mean of those that a step of the supernet trains, at most 1; 1 where a step
    has a discriminator's or the teacher's passes too.
    """
    recipe = project.recipe
    budgets = tuple(budgets_of(project, project.planned_arch).values())
    if recipe.supernet.losses.get("gan") or not recipe.supernet.kept_answers:
        return (1.0,) * len(budgets)
    mean = mean_macs(project, project.planned_arch)
    return tuple(min(1.0, budget / mean) for budget in budgets)


def steps_of_finetuning(project: Project) -> int:
    """Those of all generators that are trained further, finalists that are given up included."""
    section = project.recipe.finetune
    rows, others = _generators(project)
    return rows * _steps_of_a_row(project) + others * section.steps


def supernet_steps_of_finetuning(project: Project) -> float:
    """So many steps of the supernet take as long as one of `finetune.steps` of all generators.

    Finalists are counted in; what else lies on the front may cost as much as the dearest row.
    """
    rows, others = _generators(project)
    fractions = row_fractions(project)
    finalists = trainings_in_all(project.recipe.finetune.finalists)
    return finalists * sum(fractions[:rows]) + others * max(fractions)


def _generators(project: Project) -> tuple[int, int]:
    """How many are fine-tuned: the rows' winners, and others of the front."""
    wanted = project.recipe.finetune.archs
    rows = min(wanted, 1 + len(project.recipe.search.more_reductions))
    return rows, wanted - rows


def _steps_of_a_row(project: Project) -> int:
    section = project.recipe.finetune
    return steps_in_all(section.finalists, section.steps) if section.steps else 0
