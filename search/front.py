"""The Pareto front: the archs to which no other is preferable in both MACs and score."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gancompress.search.study import Measured


def signed(one: Measured, objective: str, better: str) -> float:
    """The objective of a measured arch, turned so that lower is better."""
    return one.scores[objective] if better == "min" else -one.scores[objective]


def best_of(measured: Iterable[Measured], objective: str, better: str) -> Measured:
    """The best by `objective`; among equals the cheaper, then by name."""
    return min(measured, key=lambda m: (signed(m, objective, better), m.macs, m.arch.key))


def front(measured: Iterable[Measured], objective: str, better: str) -> list[Measured]:
    """Every arch that no other beats in MACs or score without losing in the other; cheap first.

    An arch that was measured several times (in studies of several budgets) appears once.
    """
    unique = {one.arch.key: one for one in measured}.values()
    ordered = sorted(unique, key=lambda m: (m.macs, signed(m, objective, better), m.arch.key))
    kept: list[Measured] = []
    for one in ordered:
        score = signed(one, objective, better)
        last = signed(kept[-1], objective, better) if kept else float("inf")
        if score < last or (score == last and one.macs == kept[-1].macs):
            kept.append(one)
    return kept


def front_json(
    measured: Iterable[Measured],
    *,
    objective: str,
    better: str,
    about: Mapping[str, Any] | None = None,
) -> str:
    """The front as JSON text; the same bytes for the same figures, in whatever order they came.

    `about` (plain JSON: number of images, convention of the MACs …) is copied in. Each
    point's "arch" is what `Arch.from_json` reads.
    """
    points = [
        {
            "arch": {"family": one.arch.family, "slots": one.arch.values},
            "macs": one.macs,
            "scores": dict(sorted(one.scores.items())),
        }
        for one in front(measured, objective, better)
    ]
    content = {"objective": objective, "better": better, **(about or {}), "points": points}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
