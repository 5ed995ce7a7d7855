"""Which archs a training step of the supernet trains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace

ENDS_FRACTION = 0.25  # The fraction of weighted draws that are the largest or the smallest arch.


def uniform(space: SearchSpace, rng: np.random.Generator) -> list[Arch]:
    """One arch, uniform over the space (Cai et al. 2020; Li et al. 2020)."""
    return [space.sample(rng)]


def sandwich(space: SearchSpace, rng: np.random.Generator) -> list[Arch]:
    """The largest, the smallest and a uniform one (Yu and Huang 2019)."""
    return [space.largest, space.smallest, space.sample(rng)]


def weighted(space: SearchSpace, rng: np.random.Generator) -> list[Arch]:
    """One arch: uniform, but the ends of the space, rare among those, get a fixed fraction."""
    drawn = rng.random()
    if drawn < ENDS_FRACTION:
        return [space.largest if drawn < ENDS_FRACTION / 2 else space.smallest]
    return [space.sample(rng)]


ARCH_DRAWS: dict[str, Callable[[SearchSpace, np.random.Generator], list[Arch]]] = {
    "uniform": uniform,
    "sandwich": sandwich,
    "weighted": weighted,
}
