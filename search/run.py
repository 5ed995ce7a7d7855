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
from gancompress.search.record import Claim, Measured, Progress, Setting, StudyIdentity
from gancompress.search.study import Studies, Study

# The search's stream of random numbers: default_rng([seed, stream, archs claimed so far]).
SEARCH_STREAM = 5
WAIT_SECONDS = 0.5  # between looks at what other workers are still measuring
Score = Callable[[Arch], Mapping[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """How archs are scored.

    score: all figures of an arch by name; the one named `objective` decides, "min" or "max" being
    `better`. supernet, judging: hashes of what it depends on beside the arch; figures of other
    studies with the same two are used again.
    """

    score: Score
    objective: str
    better: str
    supernet: str
    judging: str

    def signed(self, one: Measured) -> float:
        """The objective, turned so that lower is better."""
        return signed(one, self.objective, self.better)


@dataclass(frozen=True)
class StudyConfig:
    """One study: how many archs the sampler proposes, and by what they are judged.

    weighed: the cost that is minimised beside the score, if any. settings: what else decides which
    archs come, such as the budget.
    """

    name: str
    sampler: Sampler
    candidates: int
    judging: Evaluation
    weighed: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def values(self, one: Measured) -> tuple[float, ...]:
        """What a sampler is told of a measured arch: values to be minimised."""
        score = self.judging.signed(one)
        return (score,) if self.weighed is None else (score, one.costs[self.weighed])

    @property
    def kept(self) -> StudyIdentity:
        objectives = [(self.judging.objective, self.judging.better)]
        objectives += [(self.weighed, "min")] if self.weighed is not None else []
        how = self.judging
        return StudyIdentity(tuple(objectives), how.supernet, how.judging, self.settings)


@dataclass(frozen=True)
class SearchResult:
    """What one study found."""

    trials: tuple[Measured, ...]  # in the order in which they were claimed
    exhausted: bool  # the sampler had no more archs before `candidates` were measured
    scored: int  # archs that this process itself measured
    reused: int  # archs whose figures it took from another study


def search(
    studies: Studies,
    space: SearchSpace,
    costs: Costs,
    quest: StudyConfig,
    *,
    seed: int,
    progress: bool = True,
) -> SearchResult:
    """Measures `quest.candidates` archs of `space`, together with all workers of the study.

    With one worker the archs and their order depend on the arguments alone, not on interruptions
    nor on what other studies know. What a killed worker had claimed is taken up first. With more
    candidates a finished search goes on, with fewer it is cut.

    Raises:
        RunError: the study was made with other arguments. CheckpointError: the storage fails.
        MetricError: a figure is missing or not finite.
    """
    study = studies.study(quest.name, space, quest.kept)
    known = studies.known(quest.judging.supernet, quest.judging.judging)
    scored = reused = 0
    seen = study.look()
    bar = bars.progress(
        desc=quest.name,
        total=quest.candidates,
        initial=min(len(seen.done), quest.candidates),
        unit="arch",
        disable=not progress,
    )
    with bar:
        while True:
            _show(bar, quest, seen)
            arch = _next(quest, seen, seed)
            if arch is None:
                if not seen.pending:
                    break
                time.sleep(WAIT_SECONDS)  # one of them may die, or teach the sampler something
            elif (claim := study.claim(arch, costs(arch), quest.candidates)) is not None:
                scores = known.get(arch.key)
                reused += scores is not None
                scored += scores is None
                with _held(study, claim):
                    study.record(claim, quest.judging.score(arch) if scores is None else scores)
            seen = study.look()
    trials = seen.done[: quest.candidates]
    return SearchResult(trials, len(trials) < quest.candidates, scored, reused)


def _next(quest: StudyConfig, seen: Progress, seed: int) -> Arch | None:
    """What to measure now; None if there is nothing, at least until others are done."""
    claimed = len(seen.done) + len(seen.pending)
    if claimed >= quest.candidates:
        return None
    if seen.abandoned:
        return seen.abandoned[0]
    rng = np.random.default_rng([seed, SEARCH_STREAM, claimed])
    history: History = [(one.arch, quest.values(one)) for one in seen.done]
    return quest.sampler.propose(rng, history, seen.pending)


@contextmanager
def _held(study: Study, claim: Claim) -> Iterator[None]:
    """Gives the claimed arch back where measuring it fails."""
    try:
        yield
    except (Exception, KeyboardInterrupt):  # others need not find out that nobody measures it
        with suppress(CheckpointError):
            study.give_back(claim)
        raise


def _show(bar: tqdm[Never], quest: StudyConfig, seen: Progress) -> None:
    done: Sequence[Measured] = seen.done[: quest.candidates]
    bar.n = len(done)
    if done:
        best = best_of(done, quest.judging.objective, quest.judging.better)
        figure = f"best {quest.judging.objective} {best.scores[quest.judging.objective]:.4g}"
        others = f", {len(seen.pending)} with others" if seen.pending else ""
        bar.set_postfix_str(figure + others, refresh=False)
    bar.refresh()
