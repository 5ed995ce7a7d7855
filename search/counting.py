"""How many archs of a space keep some limits: counted where they are few, estimated otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.archs.slots import Value
from gancompress.errors import ArchError
from gancompress.search.extremes import ceiling, has_few_combinations
from gancompress.search.feasible import LISTED_ARCHS, FeasibleSampler, Slot
from gancompress.search.limits import Constraint, Costs, utilisation

SHARE_STREAM = 6  # The stream of random numbers of the estimate.
# The standard error is 0.035 for a fraction of 0.5, and 5 % of a fraction of 0.001.
DRAWS = 200
PILOT = 20  # draws that say whether the fraction is large
PLAIN_FROM = 0.1  # fraction of the pilot from which they need fewer costs for the same error
# The weight of the proposal towards narrow widths; 2 gave the smallest error on the ResNet space (0
# to 3 tried).
TILT = 2.0


@dataclass(frozen=True)
class FeasibleFraction:
    """The fraction of a space's archs that fits, its standard error, and how many they are."""

    value: float
    count: float
    error: float
    is_exact: bool

    @property
    def count_error(self) -> float:
        return self.error * self.count / self.value if self.value else 0.0


def feasible_fraction(
    space: SearchSpace, costs: Costs, limits: Sequence[Constraint], seed: int = 0
) -> FeasibleFraction:
    """The fraction of the archs of `space` that keep all `limits`.

    Exact where they are few enough to be listed, or where all keep them; otherwise `estimate`.

    Raises: BudgetError if none does.
    """
    feasible = FeasibleSampler(space, costs, limits, list_up_to=0)
    if _all_fit(feasible):
        return FeasibleFraction(1.0, space.size, 0.0, True)
    found = estimate(feasible, seed)
    if found.count - 3 * found.count_error <= LISTED_ARCHS:
        count = FeasibleSampler(space, costs, limits).count
        if count is not None:
            return FeasibleFraction(count / space.size, count, 0.0, True)
    return found


def estimate(feasible: FeasibleSampler, seed: int = 0) -> FeasibleFraction:
    """An unbiased estimate of the fraction that fits, at some 10 000 costs; the same for a seed.

    The fraction of uniform draws; where a first few say that it is small, the mean of what random
    descents stand for (Knuth 1975, "Estimating the efficiency of backtrack programs"). Which of
    the two it is, other draws decide than those that it is made of.
    """
    space = feasible.space
    rng = np.random.default_rng([seed, SHARE_STREAM])
    pilot = sum(feasible.fits(space.sample(rng)) for _ in range(PILOT))
    if pilot >= PLAIN_FROM * PILOT:
        hits = sum(feasible.fits(space.sample(rng)) for _ in range(DRAWS))
        value = hits / DRAWS
        likely = (hits + 0.5) / (DRAWS + 1)  # so that the error is not 0 where all of them fit
        error = math.sqrt(likely * (1 - likely) / DRAWS)
    else:
        weights = _descents(feasible, rng)
        value = float(weights.mean()) / space.size
        error = float(weights.std(ddof=1)) / math.sqrt(DRAWS) / space.size
    return FeasibleFraction(value, value * space.size, error, False)


def _all_fit(feasible: FeasibleSampler) -> bool:
    def most(cost: str) -> float:
        return ceiling(feasible.space, lambda arch: feasible.costs(arch)[cost])[1]

    return all(most(limit.cost) <= limit.most for limit in feasible.limits)


def _descents(feasible: FeasibleSampler, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unbiased estimates of how many archs fit, (DRAWS,), each by one random descent."""
    narrow, limits = feasible.smallest, feasible.limits

    def highest_utilisation(slot: Slot) -> float:
        values = feasible.space.fitting(slot[0], narrow.values)
        return utilisation(
            feasible.costs(narrow.replace({slot[0]: max(values, key=_width)})), limits
        )

    # Slots that cost little first: the dear ones then have few choices left, and the numbers of
    # choices on the way differ less from one descent to the next.
    order = sorted(feasible.widths, key=highest_utilisation)
    starts = _starts(feasible)
    return np.array([_descent(feasible, starts, order, rng) for _ in range(DRAWS)])


def _starts(feasible: FeasibleSampler) -> list[tuple[Arch, float]]:
    """Narrowest archs that fit, with their chances to be drawn; empty if they are too many.

    The more room there is, the more archs have these operators and bands.
    """
    if not has_few_combinations(feasible.space):
        return []
    room = [1 / utilisation(feasible.costs(arch), feasible.limits) for arch in feasible.starts]
    return [(arch, r / sum(room)) for arch, r in zip(feasible.starts, room, strict=True)]


def _descent(
    feasible: FeasibleSampler,
    starts: Sequence[tuple[Arch, float]],
    order: Sequence[Slot],
    rng: np.random.Generator,
) -> float:
    """One over the chance of the arch that a descent ends at; its mean is the number of archs."""
    if starts:
        place = int(rng.choice(len(starts), p=[chance for _, chance in starts]))
        arch, ways = starts[place][0], 1 / starts[place][1]
    else:
        categories = feasible.space.categories
        ways = float(math.prod(map(len, categories.values())))
        drawn = {s: values[int(rng.integers(len(values)))] for s, values in categories.items()}
        try:
            arch = feasible.space.narrowest(drawn)
        except ArchError:
            return 0.0
        if not feasible.fits(arch):
            return 0.0
    for slot, all_values in order:
        values = feasible.fitting(arch, (slot, all_values))
        chances = np.exp(-TILT / len(all_values) * np.arange(len(values)))
        chances /= chances.sum()
        place = int(rng.choice(len(values), p=chances))
        arch, ways = arch.replace({slot: values[place]}), ways / chances[place]
    return ways


def _width(value: Value) -> int:
    assert isinstance(value, int), "a width slot"
    return value
