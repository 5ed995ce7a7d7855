"""The search's stage: candidates measured by all workers, the front, a random search beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gancompress.artefacts import evaluator_of
from gancompress.budgets import costs_of, rows_of
from gancompress.filelock import alone
from gancompress.fronts import BASELINE, Say, inside, write_front
from gancompress.judging import Judges
from gancompress.recipe import Recipe
from gancompress.runs import Run, StageDir
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Costs, Limit
from gancompress.search.record import Setting
from gancompress.search.run import Quest
from gancompress.search.rungs import PROBES, Rungs, climb
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.surrogate import need_scikit_learn
from gancompress.search.workers import Worker


@dataclass(frozen=True)
class Hunt:
    """One search and what it is for: the rows of the final table whose winners come from it.

    algorithm: of `SAMPLERS`. limits: what every candidate keeps. candidates: how many. rows: the
    limits of each row, where it is for several.
    """

    name: str
    algorithm: str
    limits: tuple[Limit, ...]
    candidates: int
    rows: tuple[tuple[Limit, ...], ...] = ()


def search_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    """Measures candidates, together with whoever gives the same command; one writes the front."""
    judges = Judges(recipe, run)
    costs, section = costs_of(recipe, run), recipe.search
    rows = rows_of(recipe, run)
    place: Path | str = section.storage or stage.path / "study.db"
    prefix = f"{recipe.name}/" if section.storage else ""  # a server keeps those of many runs
    found: dict[str, Rungs] = {}
    with (
        Storage(place) as storage,
        Worker(stage.path / "workers", section.silence_seconds) as worker,
    ):
        studies = Studies(storage, worker, prefix, say)
        for hunt in _hunts(recipe, rows):
            found[hunt.name] = _hunted(recipe, studies, judges, costs, hunt)
        for row in (row for row, limits in rows.items() if not inside(found, limits)):
            hunt = Hunt(f"{row}, more", "evolution", rows[row], section.population)
            found[hunt.name] = _hunted(recipe, studies, judges, costs, hunt)
        worker.sweep()
    with alone(stage.root / f".{stage.name}-report.lock"):
        if not stage.is_finished():
            write_front(recipe, stage, judges, rows, found, say)


def check_search(recipe: Recipe, run: Run) -> None:
    """Finds what would stop the search, before anything is trained: images, packages, storage.

    Raises: MetricError, RecipeError or CheckpointError.
    """
    section = recipe.search
    evaluator_of(recipe, "search", run, images=section.images)
    if section.surrogate:
        need_scikit_learn()
    if section.storage:
        with Storage(section.storage):
            pass


def _hunts(recipe: Recipe, rows: Mapping[str, tuple[Limit, ...]]) -> Iterator[Hunt]:
    """The searches: one for all rows, or one for each; then as many archs at random."""
    section = recipe.search
    each = -(-section.candidates // len(rows))  # of a random search for one row of several
    if section.algorithm == "pareto":
        widest = max(rows.values(), key=lambda limits: limits[0].most)
        yield Hunt("search", "pareto", widest, section.candidates, tuple(rows.values()))
    else:
        each = section.candidates
        for row, limits in rows.items():
            yield Hunt(row, section.algorithm, limits, section.candidates)
    if section.baseline and section.algorithm != BASELINE:
        for row, limits in rows.items():
            yield Hunt(f"{row}, {BASELINE}", BASELINE, limits, each)


def _hunted(recipe: Recipe, studies: Studies, judges: Judges, costs: Costs, hunt: Hunt) -> Rungs:
    section = recipe.search
    feasible = FeasibleSampler(judges.space, costs, hunt.limits)
    weighed = section.cost if hunt.algorithm == "pareto" else None
    sampler = make_sampler(
        hunt.algorithm,
        feasible,
        section.population,
        section.mutation,
        section.surrogate and hunt.algorithm != BASELINE,
        section.cost,
    )
    settings: dict[str, Setting] = {
        "algorithm": hunt.algorithm, "population": section.population, "seed": recipe.seed,
        "mutation": section.mutation, "surrogate": section.surrogate,
        **{f"most {limit.unit}": limit.most for limit in hunt.limits},
    }  # fmt: skip
    quest = Quest(hunt.name, sampler, hunt.candidates, judges.full, weighed, settings)
    return climb(
        studies,
        judges.space,
        costs,
        quest,
        judges.first,
        section.survivors,
        rows=hunt.rows,
        probes=0 if hunt.algorithm == BASELINE else PROBES,
        seed=recipe.seed,
    )
