"""The search's stage: candidates measured by all workers, the front, a random search beside it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.arch import Arch, SearchSpace
from gancompress.artefacts import Subnets, evaluator_of, teacher_net
from gancompress.budgets import costs_of, rows_of
from gancompress.checkpoint import write_json
from gancompress.filelock import FileLock
from gancompress.metrics import METRICS
from gancompress.metrics.firstlook import FirstLook, Forecast
from gancompress.recipe import Recipe
from gancompress.runs import Run, StageDir
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.front import best_of, front, plain
from gancompress.search.limits import Costs, Limit, admitted
from gancompress.search.run import Judging, Quest
from gancompress.search.rungs import Rungs, agreement, climb
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Measured, Setting, Studies
from gancompress.search.surrogate import need_scikit_learn
from gancompress.search.workers import Worker

Say = Callable[[str], None]
BASELINE = "random"  # of a study's name
WAIT_SECONDS = 0.5


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
    judges = _Judges(recipe, run)
    costs, section = costs_of(recipe, run), recipe.search
    rows = rows_of(recipe, run)
    place: Path | str = section.storage or stage.path / "study.db"
    prefix = f"{recipe.name}/" if section.storage else ""  # a server keeps those of many runs
    found: dict[str, Rungs] = {}
    with (
        Storage(place) as storage,
        Worker(stage.path / "workers", section.silence_seconds) as worker,
    ):
        studies = Studies(storage, worker, prefix)
        for hunt in _hunts(recipe, rows):
            found[hunt.name] = _hunted(recipe, studies, judges, costs, hunt)
        for row in (row for row, limits in rows.items() if not _inside(found, limits)):
            hunt = Hunt(f"{row}, more", "evolution", rows[row], section.population)
            found[hunt.name] = _hunted(recipe, studies, judges, costs, hunt)
        worker.sweep()
    with _alone(stage):
        if not stage.is_finished():
            _report(recipe, stage, judges, rows, found, say)


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


def _hunted(recipe: Recipe, studies: Studies, judges: _Judges, costs: Costs, hunt: Hunt) -> Rungs:
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
        seed=recipe.seed,
    )


class _Judges:
    """What archs are scored by: the first look, if the recipe has one, and in full."""

    def __init__(self, recipe: Recipe, run: Run) -> None:
        section = recipe.search
        self.subnets = Subnets(recipe, run)
        self.evaluator = evaluator_of(recipe, "search", run, images=section.images)
        self._weights = run.stage("supernet").hash()
        self._features = recipe.metrics.features
        self.full = self._judging(self._figures, section.objective, self.evaluator.n)
        self.first = None
        if 0 < section.first_images < self.evaluator.n:
            look = FirstLook(self.evaluator, teacher_net(recipe, run), section.first_images)
            self.first = self._judging(
                lambda arch: look.score(self.subnets.plain(arch)), section.objective, look.n
            )

    @property
    def space(self) -> SearchSpace:
        return self.subnets.supernet.space

    def _figures(self, arch: Arch) -> Mapping[str, float]:
        figures = self.evaluator.score(self.subnets.plain(arch))
        return {name: figure.value for name, figure in figures.items()}

    def _judging(
        self, score: Callable[[Arch], Mapping[str, float]], objective: str, images: int
    ) -> Judging:
        better = METRICS[objective].better if objective in METRICS else "min"
        seen = [self.evaluator.content_hash, self._features, self.evaluator.n, images]
        told = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
        return Judging(score, objective, better, self._weights, told)


@contextmanager
def _alone(stage: StageDir) -> Iterator[None]:
    """One worker of this run at a time; the others wait."""
    lock = FileLock(stage.root / f".{stage.name}-report.lock")
    while lock.acquire() is not None:
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        lock.release()


def _report(
    recipe: Recipe,
    stage: StageDir,
    judges: _Judges,
    rows: Mapping[str, tuple[Limit, ...]],
    found: Mapping[str, Rungs],
    say: Say,
) -> None:
    """Writes the front and everything measured, and says who won."""
    section, how = recipe.search, judges.full
    everything = [one for rungs in found.values() for one in rungs.full.trials]
    winners = [_winner(row, limits, found, how) for row, limits in rows.items()]
    looks = [one for rungs in found.values() if rungs.first for one in rungs.first.trials]
    alike = agreement(looks, everything, (judges.first, how)) if judges.first else None
    about = {
        "objective": how.objective,
        "better": how.better,
        "cost": section.cost,
        "convention": section.convention,
        "features": recipe.metrics.features,
        "images": judges.evaluator.n,
        "first_images": section.first_images,
        "algorithm": section.algorithm,
        "first_look": alike and {"kendall_tau": alike.tau, "n": alike.n},
        "winners": winners,
    }
    points = [plain(one) for one in front(everything, how.objective, how.better, section.cost)]
    forecast = _forecast(looks, everything, how.objective)
    told = [_told(name, rungs, forecast) for name, rungs in found.items()]
    write_json(stage.path / "trials.json", told)
    write_json(stage.path / "front.json", {**about, "points": points})
    stage.finish("front.json")
    for winner in winners:
        say(_said(winner, how.objective))
    if alike is not None:
        say(
            f"  first look on {section.first_images} images ranks as the full score does with "
            f"Kendall's tau {alike.tau:.2f} (n={alike.n})"
        )


def _winner(
    row: str, limits: Sequence[Limit], found: Mapping[str, Rungs], how: Judging
) -> dict[str, Any]:
    """The best of what was measured inside the row's limits, and the best that chance found."""
    searched = _inside({n: rungs for n, rungs in found.items() if not _is_baseline(n)}, limits)
    drawn = _inside({n: rungs for n, rungs in found.items() if _is_baseline(n)}, limits)

    def best(measured: list[Measured]) -> dict[str, Any] | None:
        return plain(best_of(measured, how.objective, how.better)) if measured else None

    chosen = best(searched + drawn)
    assert chosen is not None, "every row was searched"
    return {
        "row": row,
        "budget_macs": int(limits[0].most),
        "limits": {limit.cost: limit.most for limit in limits},
        **chosen,
        "by_search": best(searched),
        "by_chance": best(drawn),
    }


def _inside(found: Mapping[str, Rungs], limits: Sequence[Limit]) -> list[Measured]:
    """What was measured in full and keeps the limits."""
    return [o for rungs in found.values() for o in rungs.full.trials if admitted(o.costs, limits)]


def _is_baseline(name: str) -> bool:
    return name.endswith(BASELINE)


def _said(winner: Mapping[str, Any], objective: str) -> str:
    arch = Arch.of(winner["arch"]["family"], winner["arch"]["slots"])
    score, chance = winner["scores"][objective], winner["by_chance"]
    beside = f"; at random {chance['scores'][objective]:.4g}" if chance else ""
    return f"  {winner['row']}: {arch.compact}, {objective} {score:.4g} on split search{beside}"


def _forecast(looks: Sequence[Measured], full: Sequence[Measured], objective: str) -> Forecast:
    """What first looks foretell of full scores, told from those of which both are known."""
    scores = {one.arch: one.scores[objective] for one in full}
    both = {one.arch: one for one in looks if one.arch in scores}.values()
    return Forecast.fitted(
        objective, [one.scores for one in both], [scores[one.arch] for one in both]
    )


def _told(name: str, rungs: Rungs, forecast: Forecast) -> dict[str, Any]:
    """All that one search measured, in order, as plain JSON."""
    first = [
        {**plain(one), "forecast": forecast(one.scores)}
        for one in (rungs.first.trials if rungs.first else ())
    ]
    return {
        "name": name,
        "is_baseline": _is_baseline(name),
        "first_look": first or None,
        "full": [plain(one) for one in rungs.full.trials],
    }
