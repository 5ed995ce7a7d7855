"""Which archs a training step of the supernet trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace

ENDS_FRACTION = 0.25  # The fraction of weighted draws that are the largest or the smallest arch.
ANY_FRACTION = 1 / 3  # The fraction of draws for the rows that may be any arch of the space.

# Draws an arch that uses up the budget of one row of the final table, as far as it can.
RowDraw = Callable[[np.random.Generator], Arch]
Rows = Sequence[RowDraw]
ArchDraw = Callable[[SearchSpace, np.random.Generator], list[Arch]]


def uniform(space: SearchSpace, rng: np.random.Generator, rows: Rows) -> list[Arch]:
    """One arch, uniform over the space (Cai et al. 2020; Li et al. 2020)."""
    del rows
    return [space.sample(rng)]


def sandwich(space: SearchSpace, rng: np.random.Generator, rows: Rows) -> list[Arch]:
    """The largest, the smallest and a uniform one (Yu and Huang 2019)."""
    del rows
    return [space.largest, space.smallest, space.sample(rng)]


def weighted(space: SearchSpace, rng: np.random.Generator, rows: Rows) -> list[Arch]:
    """One arch: uniform, but the ends of the space, rare among those, get a fixed fraction."""
    del rows
    drawn = rng.random()
    if drawn < ENDS_FRACTION:
        return [space.largest if drawn < ENDS_FRACTION / 2 else space.smallest]
    return [space.sample(rng)]


def of_rows(space: SearchSpace, rng: np.random.Generator, rows: Rows) -> list[Arch]:
    """One arch of a row of the final table, each as often; every third one is uniform.

    Of uniform archs nearly all cost about as much as their mean, and one that is small enough for a
    further row may never be drawn.
    """
    if not rows or rng.random() < ANY_FRACTION:
        return [space.sample(rng)]
    return [rows[int(rng.integers(len(rows)))](rng)]


_Named = Callable[[SearchSpace, np.random.Generator, Rows], list[Arch]]
ARCH_DRAWS: dict[str, _Named] = {
    "rows": of_rows,
    "uniform": uniform,
    "sandwich": sandwich,
    "weighted": weighted,
}


def draw_named(name: str, rows: Rows = ()) -> ArchDraw:
    """The one called `name` in `ARCH_DRAWS`. rows: what "rows" draws from."""

    def draw(space: SearchSpace, rng: np.random.Generator) -> list[Arch]:
        return ARCH_DRAWS[name](space, rng, rows)

    return draw
