"""The search loop: propose an arch, claim it, measure it, record it; many workers can do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Never

import numpy as np
from tqdm import tqdm

from gancompress import bars
from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import CheckpointError
from gancompress.search.front import best_of, signed
from gancompress.search.limits import Costs
from gancompress.search.proposals import History, Sampler
from gancompress.search.record import Claim, Progress, Setting, StudyIdentity
from gancompress.search.results import Measured
from gancompress.search.study import Studies, Study

# The search's stream of random numbers: default_rng([seed, stream, archs claimed so far]).
SEARCH_STREAM = 5
WAIT_SECONDS = 0.5  # between looks at what other workers are still measuring
Score = Callable[[Arch], Mapping[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """How archs are scored.

    score: all values of an arch by name; the one named `objective` decides, "min" or "max" being
    `better`. supernet, images: hashes of what it depends on beside the arch; scores of other
    studies with the same two are used again.
    """

    score: Score
    objective: str
    better: str
    supernet: str
    images: str

    def signed(self, one: Measured) -> float:
        """The objective, turned so that lower is better."""
        return signed(one, self.objective, self.better)


@dataclass(frozen=True)
class StudyConfig:
    """One study: how many archs the sampler proposes, and by what they are evaluated.

    weighed: the cost that is minimised beside the score, if any. settings: what else decides which
    archs come, such as the budget.
    """

    name: str
    sampler: Sampler
    candidates: int
    evaluation: Evaluation
    weighed: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def values(self, one: Measured) -> tuple[float, ...]:
        """What a sampler is told of a measured arch: values to be minimised."""
        score = self.evaluation.signed(one)
        return (score,) if self.weighed is None else (score, one.costs[self.weighed])

    @property
    def kept(self) -> StudyIdentity:
        objectives = [(self.evaluation.objective, self.evaluation.better)]
        objectives += [(self.weighed, "min")] if self.weighed is not None else []
        how = self.evaluation
        return StudyIdentity(tuple(objectives), how.supernet, how.images, self.settings)


@dataclass(frozen=True)
class SearchResult:
    """What one study found."""

    trials: tuple[Measured, ...]  # in the order in which they were claimed
    exhausted: bool  # the sampler had no more archs before `candidates` were measured
    scored: int  # archs that this process itself measured
    reused: int  # archs whose values it took from another study


def search(
    studies: Studies,
    space: SearchSpace,
    costs: Costs,
    config: StudyConfig,
    *,
    seed: int,
    progress: bool = True,
) -> SearchResult:
    """Measures `config.candidates` archs of `space`, together with all workers of the study.

    With one worker the archs and their order depend on the arguments alone, not on interruptions
    nor on what other studies know. What a killed worker had claimed is taken up first. With more
    candidates a finished search goes on, with fewer it is cut.

    Raises:
        RunError: the study was made with other arguments. CheckpointError: the storage fails.
        MetricError: a value is missing or not finite.
    """
    study = studies.study(config.name, space, config.kept)
    known = studies.known(config.evaluation.supernet, config.evaluation.images)
    scored = reused = 0
    seen = study.look()
    bar = bars.progress(
        desc=config.name,
        total=config.candidates,
        initial=min(len(seen.done), config.candidates),
        unit="arch",
        disable=not progress,
    )
    with bar:
        while True:
            _show(bar, config, seen)
            arch = _next(config, seen, seed)
            if arch is None:
                if not seen.pending:
                    break
                time.sleep(WAIT_SECONDS)  # one of them may die, or teach the sampler something
            elif (claim := study.claim(arch, costs(arch), config.candidates)) is not None:
                scores = known.get(arch.key)
                reused += scores is not None
                scored += scores is None
                with _held(study, claim):
                    study.record(claim, config.evaluation.score(arch) if scores is None else scores)
            seen = study.look()
    trials = seen.done[: config.candidates]
    return SearchResult(trials, len(trials) < config.candidates, scored, reused)


def _next(config: StudyConfig, seen: Progress, seed: int) -> Arch | None:
    """What to measure now; None if there is nothing, at least until others are done."""
    claimed = len(seen.done) + len(seen.pending)
    if claimed >= config.candidates:
        return None
    if seen.abandoned:
        return seen.abandoned[0]
    rng = np.random.default_rng([seed, SEARCH_STREAM, claimed])
    history: History = [(one.arch, config.values(one)) for one in seen.done]
    return config.sampler.propose(rng, history, seen.pending)


@contextmanager
def _held(study: Study, claim: Claim) -> Iterator[None]:
    """Gives the claimed arch back where measuring it fails."""
    try:
        yield
    except (Exception, KeyboardInterrupt):  # others need not find out that nobody measures it
        with suppress(CheckpointError):
            study.give_back(claim)
        raise


def _show(bar: tqdm[Never], config: StudyConfig, seen: Progress) -> None:
    done: Sequence[Measured] = seen.done[: config.candidates]
    bar.n = len(done)
    if done:
        best = best_of(done, config.evaluation.objective, config.evaluation.better)
        figure = (
            f"best {config.evaluation.objective} {best.scores[config.evaluation.objective]:.4g}"
        )
        others = f", {len(seen.pending)} with others" if seen.pending else ""
        bar.set_postfix_str(figure + others, refresh=False)
    bar.refresh()
