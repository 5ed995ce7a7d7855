"""The search's stage: candidates measured by all workers, the front, a random search beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gancompress.archs.arch import Arch
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.front import best_of
from gancompress.search.limits import Constraint, Costs
from gancompress.search.record import Setting
from gancompress.search.run import StudyConfig
from gancompress.search.rungs import PROBES, Rungs, search_in_rungs
from gancompress.search.samplers import WIDENED, Sampler, Widened, make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.surrogate import need_scikit_learn
from gancompress.search.workers import Worker
from gancompress.stages.archevaluation import ArchEvaluator
from gancompress.stages.budgets import costs_of, rows_of
from gancompress.stages.fronts import BASELINE, Say, inside, write_front
from gancompress.storage.filelock import alone
from gancompress.storage.stagedir import StageDir

WIDEN = "widened"  # The name of searches that widen the best arch so far.


@dataclass(frozen=True)
class SearchPlan:
    """One search and what it is for: the rows of the final table whose winners come from it.

    algorithm: of `SAMPLERS`. limits: what every candidate keeps. candidates: how many. rows: the
    limits of each row, where it is for several. start: the arch that is widened.
    """

    name: str
    algorithm: str
    limits: tuple[Constraint, ...]
    candidates: int
    rows: tuple[tuple[Constraint, ...], ...] = ()
    start: Arch | None = None


def search_stage(project: Project, stage: StageDir, say: Say) -> None:
    """Measures candidates, together with whoever gives the same command; one writes the front."""
    evaluator = ArchEvaluator(project)
    costs, section = costs_of(project), project.recipe.search
    rows = rows_of(project)
    place: Path | str = section.storage or stage.path / "study.db"
    prefix = f"{project.name}/" if section.storage else ""  # a server keeps those of many runs
    found: dict[str, Rungs] = {}
    with (
        Storage(place) as storage,
        Worker(stage.path / "workers", section.silence_seconds) as worker,
    ):
        studies = Studies(storage, worker, prefix, say)
        for plan in chain(
            _plans(project, rows),
            _further(project, rows, found),
            _widened(rows, found, evaluator),
        ):
            found[plan.name] = search_in_rungs(
                studies,
                project.space,
                costs,
                _study_config(project, evaluator, costs, plan),
                evaluator.first,
                section.survivors,
                rows=plan.rows,
                probes=0 if plan.algorithm in (BASELINE, WIDEN) else PROBES,
                seed=project.recipe.seed,
            )
        worker.sweep()
    with alone(stage.root / f".{stage.name}-report.lock"):
        if not stage.is_finished():
            write_front(project, stage, evaluator, rows, found, say)


def check_search(project: Project) -> None:
    """Finds what would stop the search, before anything is trained: images, packages, storage.

    Raises: MetricError, RecipeError or CheckpointError.
    """
    section = project.recipe.search
    evaluator_of(project, "search", images=section.images)
    if section.surrogate:
        need_scikit_learn()
    if section.storage:
        with Storage(section.storage):
            pass


def _plans(project: Project, rows: Mapping[str, tuple[Constraint, ...]]) -> Iterator[SearchPlan]:
    """The searches: one for all rows, or one for each; then as many archs at random."""
    section = project.recipe.search
    # Candidates of the random search of one row.
    each = -(-section.candidates // len(rows)) + WIDENED
    if section.algorithm == "pareto":
        widest = max(rows.values(), key=lambda limits: limits[0].most)
        yield SearchPlan("search", "pareto", widest, section.candidates, tuple(rows.values()))
    else:
        each = section.candidates + WIDENED
        for row, limits in rows.items():
            yield SearchPlan(row, section.algorithm, limits, section.candidates)
    if section.baseline and section.algorithm != BASELINE:
        for row, limits in rows.items():
            yield SearchPlan(f"{row}, {BASELINE}", BASELINE, limits, each)


def _further(
    project: Project, rows: Mapping[str, tuple[Constraint, ...]], found: Mapping[str, Rungs]
) -> Iterator[SearchPlan]:
    """A search for each row that `found`, which grows meanwhile, has nothing for."""
    for row, limits in rows.items():
        if not inside(found, limits):
            yield SearchPlan(f"{row}, more", "evolution", limits, project.recipe.search.population)


def _widened(
    rows: Mapping[str, tuple[Constraint, ...]], found: Mapping[str, Rungs], evaluator: ArchEvaluator
) -> Iterator[SearchPlan]:
    """For each row, archs above the best that the searches in `found` have for it."""
    own = {name: rungs for name, rungs in found.items() if not name.endswith(BASELINE)}
    for row, limits in rows.items():
        # What chance found is not widened: it is there to be compared with.
        if measured := inside(own, limits):
            best = best_of(measured, evaluator.full.objective, evaluator.full.better)
            yield SearchPlan(f"{row}, {WIDEN}", WIDEN, limits, WIDENED, start=best.arch)


def _study_config(
    project: Project, evaluator: ArchEvaluator, costs: Costs, plan: SearchPlan
) -> StudyConfig:
    """The study of a search: what proposes archs and what scores them."""
    section = project.recipe.search
    feasible = FeasibleSampler(project.space, costs, plan.limits)
    weighed = section.cost if plan.algorithm == "pareto" else None
    if plan.start is not None:
        sampler: Sampler = Widened(feasible, plan.start)
    else:
        sampler = make_sampler(
            plan.algorithm,
            feasible,
            section.population,
            section.mutation,
            section.surrogate and plan.algorithm != BASELINE,
            section.cost,
        )
    settings: dict[str, Setting] = {
        "algorithm": plan.algorithm, "population": section.population,
        "seed": project.recipe.seed, "mutation": section.mutation, "surrogate": section.surrogate,
        **{f"most {limit.unit}": limit.most for limit in plan.limits},
    }  # fmt: skip
    return StudyConfig(plan.name, sampler, plan.candidates, evaluator.full, weighed, settings)
