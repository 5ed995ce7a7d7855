"""The Pareto front: the archs to which no other is preferable in both cost and score."""

from __future__ import annotations

from collections.abc import Iterable

from gancompress.search.results import Measured


def signed(one: Measured, objective: str, better: str) -> float:
    """The objective of a measured arch, turned so that lower is better."""
    return one.scores[objective] if better == "min" else -one.scores[objective]


def best_of(
    measured: Iterable[Measured], objective: str, better: str, cost: str = "macs"
) -> Measured:
    """The best by `objective`; among equals the cheaper, then by name."""
    return min(measured, key=lambda m: (signed(m, objective, better), m.costs[cost], m.arch.key))


def front(
    measured: Iterable[Measured], objective: str, better: str, cost: str = "macs"
) -> list[Measured]:
    """Every arch that no other beats in cost or score without losing in the other; cheap first.

    An arch that was measured several times (in several studies) appears once.
    """
    unique = {one.arch.key: one for one in measured}.values()
    ordered = sorted(
        unique, key=lambda m: (m.costs[cost], signed(m, objective, better), m.arch.key)
    )
    kept: list[Measured] = []
    for one in ordered:
        score = signed(one, objective, better)
        last = signed(kept[-1], objective, better) if kept else float("inf")
        if score < last or (score == last and one.costs[cost] == kept[-1].costs[cost]):
            kept.append(one)
    return kept
