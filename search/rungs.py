"""A search in two rungs: all archs are evaluated on few images, the best of them then on all.

Successive halving with one halving (Jamieson and Talwalkar 2016): what low-fidelity evaluations
cost is small, and what wins was measured in full.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.evenly import evenly
from gancompress.ranks import RankAgreement, rank_agreement
from gancompress.search.limits import Constraint, Costs, admitted
from gancompress.search.proposals import History, seen_in
from gancompress.search.results import Measured
from gancompress.search.run import Evaluation, SearchResult, StudyConfig, search
from gancompress.search.study import Studies

# The number of eliminated archs that are evaluated fully anyway, spread over the ranking, to
# estimate the low-fidelity error.
PROBES = 8
ROW_SURVIVORS = 2  # The least number of survivors of each row, however small the fraction.
FIRST_LOOK = " first look"  # The ending of the name of a study of low-fidelity evaluations.


@dataclass(frozen=True)
class Rungs:
    """What the low-fidelity evaluations found, if there were any, and the full measurements."""

    first: SearchResult | None
    full: SearchResult


class GivenArchs:
    """Proposes given archs, in their order."""

    def __init__(self, archs: Sequence[Arch]) -> None:
        self._archs = tuple(archs)

    def propose(
        self, rng: np.random.Generator, history: History, pending: Collection[Arch] = ()
    ) -> Arch | None:
        seen = seen_in(history, pending)
        return next((arch for arch in self._archs if arch not in seen), None)

    def order(self, history: History) -> list[int]:
        return list(range(len(history)))


def search_in_rungs(
    studies: Studies,
    space: SearchSpace,
    costs: Costs,
    config: StudyConfig,
    first: Evaluation | None,
    survivors: float,
    *,
    rows: Sequence[Sequence[Constraint]] = (),
    probes: int = PROBES,
    seed: int,
    progress: bool = True,
) -> Rungs:
    """`config`, whose archs are all evaluated by `first` before a fraction of them is in full.

    survivors: that fraction, in (0, 1]. rows: limits that winners are looked for within; of each
    the best survive. probes: how many others are evaluated in full too. Without `first` all are, at
    once.
    Raises: as `search`.
    """

    if first is None:
        return Rungs(None, search(studies, space, costs, config, seed=seed, progress=progress))
    low_fidelity = replace(config, name=config.name + FIRST_LOOK, evaluation=first)
    first_rung = search(studies, space, costs, low_fidelity, seed=seed, progress=progress)
    archs = chosen(first_rung.trials, replace(config, evaluation=first), survivors, rows, probes)
    listed = replace(config, sampler=GivenArchs(archs), candidates=len(archs))
    return Rungs(first_rung, search(studies, space, costs, listed, seed=seed, progress=progress))


def chosen(
    trials: Sequence[Measured],
    config: StudyConfig,
    survivors: float,
    rows: Sequence[Sequence[Constraint]] = (),
    probes: int = PROBES,
) -> list[Arch]:
    """The best fraction of what was evaluated, each row's best, and some probes of the rest."""
    history: History = [(one.arch, config.values(one)) for one in trials]
    order = [trials[i] for i in config.sampler.order(history)]
    kept = [one.arch for one in order[: math.ceil(survivors * len(order))]]
    for limits in rows:
        inside = [one for one in order if admitted(one.costs, limits)]
        best = sorted(inside, key=lambda one: (config.evaluation.signed(one), one.arch.key))
        kept += [one.arch for one in best[: max(ROW_SURVIVORS, math.ceil(survivors * len(best)))]]
    kept = list(dict.fromkeys(kept))
    rest = [one.arch for one in order if one.arch not in set(kept)]
    return kept + [rest[i] for i in evenly(len(rest), probes)]


def agreement(
    one: Sequence[Measured], other: Sequence[Measured], by: tuple[Evaluation, Evaluation]
) -> RankAgreement | None:
    """Of archs that both hold; None for fewer than three, or where all scores are equal."""
    left = {m.arch: by[0].signed(m) for m in one}
    right = {m.arch: by[1].signed(m) for m in other}
    both = [arch for arch in left if arch in right]
    found = rank_agreement([left[arch] for arch in both], [right[arch] for arch in both])
    return None if found.kendall_tau is None else found
