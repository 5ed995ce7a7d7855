"""The search loop: propose an arch, measure it, record it; stopped at any moment, it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gancompress.arch import Arch, SearchSpace
from gancompress.errors import RecipeError
from gancompress.search.feasible import Cost, FeasibleSampler
from gancompress.search.front import best_of, signed
from gancompress.search.samplers import SAMPLERS
from gancompress.search.study import Measured, Setting, StudyFile

SEARCH_STREAM = 5  # of random numbers: default_rng([seed, stream, number of archs measured])
Score = Callable[[Arch], Mapping[str, float]]


@dataclass(frozen=True)
class SearchResult:
    """What one search found."""

    trials: tuple[Measured, ...]  # in the order in which they were proposed
    best: Measured  # by the objective; among equals the cheapest
    exhausted: bool  # every arch inside the budget was measured before `candidates` were
    scored: int  # archs that this call itself had measured
    reused: int  # archs whose scores this call took from another study of the same context
    feasible: int | None  # number of archs inside the budget; None: more than could be listed


def search(
    space: SearchSpace,
    cost: Cost,
    score: Score,
    budget: int,
    *,
    objective: str,
    candidates: int,
    seed: int,
    storage: Path,
    study_name: str,
    context: str,
    better: str = "min",
    algorithm: str = "evolution",
    population: int = 20,
    mutation: float = 0.3,
    where: str = "search.budget_macs",
    unit: str = "true MACs",
    progress: bool = True,
) -> SearchResult:
    """Measures `candidates` archs of `space` whose cost is at most `budget`; the best wins.

    Args:
        cost: integer cost of an arch, in `unit`; never falls when a width grows.
        score: all figures of an arch by name; the one named `objective` decides, lower being
            better unless `better` is "max".
        storage: the SQLite file; one study in it per `study_name`.
        context: a hash of whatever `score` depends on beside the arch (supernet, images,
            features): figures of other studies with the same context are used again.
        where: what the message about an impossible budget names.

    The archs and their order depend on the arguments alone, not on interruptions nor on what
    other studies know. With more `candidates` a finished search goes on, with fewer it is cut.

    Raises:
        BudgetError: no arch fits. RecipeError: unknown algorithm. RunError: the study was made
            with other arguments, or another process works on it. CheckpointError: `storage`
            cannot be used. MetricError: a figure is missing or not finite.
    """
    assert candidates >= 1 and better in ("min", "max")
    if algorithm not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        raise RecipeError(f"search.algorithm: {algorithm!r} is not known; one of {known}")
    feasible = FeasibleSampler(space, cost, budget, where=where, unit=unit)
    sampler = SAMPLERS[algorithm](feasible, population=population, mutation=mutation)
    settings: dict[str, Setting] = {
        "algorithm": algorithm, "better": better, "budget": budget, "context": context,
        "mutation": mutation, "objective": objective, "population": population, "seed": seed,
        "unit": unit,
    }  # fmt: skip

    with StudyFile(storage) as file:
        study = file.study(study_name, space, settings)
        trials = study.measured()[:candidates]
        history = [(one.arch, signed(one, objective, better)) for one in trials]
        known_scores = file.known(context)
        scored = reused = 0
        bar = tqdm(
            desc=study_name, total=candidates, initial=len(trials), unit="arch",
            disable=not progress,
        )  # fmt: skip
        with bar:
            while len(trials) < candidates:
                rng = np.random.default_rng([seed, SEARCH_STREAM, len(trials)])
                arch = sampler.propose(rng, history)
                if arch is None:
                    break  # every arch inside the budget was measured

                claim = study.claim(arch, cost(arch))
                earlier = known_scores.get(arch.key)
                if earlier is not None:
                    scores: Mapping[str, float] = earlier.scores
                    reused += 1
                else:
                    scores = score(arch)
                    scored += 1
                one = study.record(claim, scores)

                trials.append(one)
                history.append((arch, signed(one, objective, better)))
                best = best_of(trials, objective, better)
                figure = f"best {objective} {best.scores[objective]:.4g}"
                bar.set_postfix_str(figure, refresh=False)
                bar.update()

    return SearchResult(
        trials=tuple(trials),
        best=best_of(trials, objective, better),
        exhausted=len(trials) < candidates,
        scored=scored,
        reused=reused,
        feasible=feasible.count,
    )
