"""How alike two scores rank the same things."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 3  # A rank correlation of fewer pairs says nothing.


@dataclass(frozen=True)
class RankAgreement:
    """How alike two scores rank the same n things, see `kendall_tau`."""

    kendall_tau: float | None
    n: int


def rank_agreement(one: Sequence[float], other: Sequence[float]) -> RankAgreement:
    """Of the scores of the same things, in the same order."""
    return RankAgreement(kendall_tau(one, other), len(one))


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None as for `kendall_tau`."""
    return _correlation("spearmanr", one, other)


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b, 1 for equal orders; None of fewer than FEWEST, or where all are alike."""
    return _correlation("kendalltau", one, other)


def _correlation(name: str, one: Sequence[float], other: Sequence[float]) -> float | None:
    if len(one) < FEWEST or len(set(one)) < 2 or len(set(other)) < 2:
        return None
    stats = importlib.import_module("scipy.stats")  # here: importing it takes a second
    return float(getattr(stats, name)(one, other).statistic)
