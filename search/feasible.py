"""Archs inside a budget: drawn, varied and listed without ever leaving it or looping endlessly."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.archs.slots import Value
from gancompress.errors import ArchError
from gancompress.search.extremes import floor, least_utilised, narrow_archs, narrow_starts
from gancompress.search.limits import Constraint, Costs, admitted

__all__ = ["FeasibleSampler", "floor"]

Slot = tuple[str, tuple[Value, ...]]
T = TypeVar("T")

LISTED_ARCHS = 10_000  # up to so many feasible archs are listed: some 20 000 costs, once, < 1 s
REJECTION_TRIES = 100  # finds an arch with 99.4 % where the budget admits a fraction of 5 %
WALK_SWEEPS = 8  # not to be told from uniform by 40 draws per arch (chi² / df 0.8 to 1.2, 0: 3751)
NEW_TRIES = 50  # draws before the archs that are left are counted out


class FeasibleSampler:
    """Draws and varies archs of `space` that keep all of `limits`.

    No cost may fall when a width grows (operators and bands may order as they like); nothing else
    is assumed of them. So of given operators and bands the narrowest arch is the cheapest in every
    cost at once, and says alone whether any arch of theirs keeps all limits. Each method costs a
    bounded number of calls of `costs`.

    Raises: BudgetError if no arch fits, see `least_utilised`.
    """

    def __init__(
        self,
        space: SearchSpace,
        costs: Costs,
        limits: Sequence[Constraint],
        *,
        list_up_to: int = LISTED_ARCHS,
    ) -> None:
        self.space = space
        self.costs = costs
        self.limits = tuple(limits)
        self.smallest = least_utilised(space, costs, self.limits)
        self._categories = list(space.categories.items())
        self.widths = _width_slots(space)
        narrow = narrow_archs(space) or [self.smallest, *narrow_starts(space)]
        self.starts = [arch for arch in narrow if self.fits(arch)]  # narrowest, of some operators
        self._listed: list[Arch] | None = None
        if math.prod(len(values) for _, values in self._categories) <= list_up_to:
            listed = list(itertools.islice(self.all(), list_up_to + 1))
            self._listed = listed if len(listed) <= list_up_to else None

    @property
    def count(self) -> int | None:
        """How many archs fit; None if more than `list_up_to`."""
        return None if self._listed is None else len(self._listed)

    def fits(self, arch: Arch) -> bool:
        """Whether `arch` keeps all limits."""
        return admitted(self.costs(arch), self.limits)

    def all(self) -> Iterator[Arch]:
        """Every arch that fits, once; never visits a combination in which none does."""
        slots = [slot for slot, _ in self._categories]
        for values in itertools.product(*(values for _, values in self._categories)):
            start = self._narrowest(dict(zip(slots, values, strict=True)), self.limits)
            if start is not None:
                yield from self._wider(start, 0)

    def _narrowest(
        self, categories: Mapping[str, Value], limits: Sequence[Constraint]
    ) -> Arch | None:
        """The arch of smallest widths with these operators and bands, if it keeps the limits."""
        try:
            arch = self.space.narrowest(categories)
        except ArchError:
            return None
        return arch if admitted(self.costs(arch), limits) else None

    def draw(self, rng: np.random.Generator) -> Arch:
        """One arch that fits; a pure function of `rng`.

        Uniform over the archs that fit where they are few enough to be listed, and where
        rejection succeeds. Otherwise (huge spaces at a budget that less than about 2 % meet) the
        end of a Gibbs walk, whose stationary distribution is uniform.
        """
        if self._listed is not None:
            return _pick(self._listed, rng)
        for _ in range(REJECTION_TRIES):
            arch = self.space.sample(rng)
            if self.fits(arch):
                return arch
        return self.walk(rng)

    def draw_new(self, rng: np.random.Generator, seen: Collection[Arch]) -> Arch | None:
        """As `draw`, but outside `seen` (better a set); None when every arch that fits is in it.

        Where too many fit to be listed and draws meet none that is new, it is one that differs from
        a seen arch in one slot, and None when there is none of these.
        """
        for _ in range(NEW_TRIES):
            arch = self.draw(rng)
            if arch not in seen:
                return arch
        if self._listed is None:
            return next((arch for arch in self._beside(seen) if arch not in seen), None)
        left = [arch for arch in self._listed if arch not in seen]
        return _pick(left, rng) if left else None

    def _beside(self, archs: Collection[Arch]) -> Iterator[Arch]:
        """The starts, and every arch that fits and differs from one of `archs` in one slot."""
        yield from self.starts
        for arch in sorted(archs, key=lambda one: one.key):
            for slot in self.widths + self._categories:
                for value in self.fitting(arch, slot):
                    yield arch.replace({slot[0]: value})

    def walk(self, rng: np.random.Generator, sweeps: int = WALK_SWEEPS) -> Arch:
        """One arch that fits, near uniform, at some 25 calls of `costs` per sweep of eight slots.

        Starts from one of the combinations of operators and bands that fit, and widens its
        smallest arch slot by slot in random order, each slot uniform over the values that leave
        the rest possible: that alone favours wide early slots. Then each slot in turn, in random
        order, is redrawn uniformly over the values that fit (Gibbs sampling of the uniform
        distribution).
        """
        arch = _pick(self.starts, rng)
        for index in rng.permutation(len(self.widths)):
            arch = self._redraw(arch, self.widths[index], rng)
        slots = self.widths + self._categories
        for _ in range(sweeps):
            for index in rng.permutation(len(slots)):
                arch = self._redraw(arch, slots[index], rng)
        return arch

    def mutate(
        self,
        arch: Arch,
        rng: np.random.Generator,
        probability: float,
        more: Sequence[Constraint] = (),
    ) -> Arch:
        """`arch` with each slot redrawn with the given probability, shrunk into the budget."""
        return self.shrink(self.space.mutate(arch, rng, probability), rng, more)

    def crossover(
        self, one: Arch, other: Arch, rng: np.random.Generator, more: Sequence[Constraint] = ()
    ) -> Arch:
        """Each slot from either parent with equal chance, shrunk into the budget."""
        return self.shrink(self.space.crossover(one, other, rng), rng, more)

    def widened(self, arch: Arch, rng: np.random.Generator) -> Arch:
        """`arch` with width slots raised, one value at a time at random, while any can be."""
        while True:
            above = ((slot[0], self._above(arch, slot)) for slot in self.widths)
            higher = [(slot, value) for slot, value in above if value is not None]
            if not higher:
                return arch
            slot, value = _pick(higher, rng)
            arch = arch.replace({slot: value})

    def shrink(self, arch: Arch, rng: np.random.Generator, more: Sequence[Constraint] = ()) -> Arch:
        """`arch` itself if it fits, otherwise with random width slots lowered until it does.

        One value at a time, so a slot with many values is not emptied at once. Operators and bands
        change, to those of `smallest`, only where they would not fit at the smallest widths.
        more: limits beside the sampler's own; `smallest` must keep them.
        """
        limits = (*self.limits, *more)
        categories = {slot: arch[slot] for slot, _ in self._categories}
        order = [slot for slot, _ in self._categories]
        while self._narrowest(categories, limits) is None:
            slot = order.pop(int(rng.integers(len(order))))
            categories[slot] = self.smallest[slot]
        values = arch.values | categories
        for slot, _ in self.widths:
            legal = self.space.fitting(slot, values)
            if values[slot] not in legal:
                values[slot] = _pick(legal, rng)
        arch = Arch.of(arch.family, values)
        while not admitted(self.costs(arch), limits):
            lower = {s: self._below(arch, s) for s, _ in self.widths}
            slot = _pick([s for s, values in lower.items() if values], rng)
            arch = arch.replace({slot: lower[slot][-1]})
        return arch

    def _above(self, arch: Arch, of: Slot) -> Value | None:
        """The next value of a width slot above that of `arch`, if `arch` fits with it."""
        now: int = arch[of[0]]  # type: ignore[assignment]  # a width
        return next((v for v in self.fitting(arch, of) if v > now), None)  # type: ignore[operator]

    def _below(self, arch: Arch, slot: str) -> list[Value]:
        """The values of a width slot below that of `arch`, ascending."""
        legal = self.space.fitting(slot, arch.values)
        return sorted(v for v in legal if v < arch[slot])  # type: ignore[operator]  # widths

    def _wider(self, arch: Arch, index: int) -> Iterator[Arch]:
        """Every arch that fits and equals `arch` in the width slots before `index`."""
        if index == len(self.widths):
            yield arch
            return
        slot = self.widths[index][0]
        for value in self.fitting(arch, self.widths[index]):
            yield from self._wider(arch.replace({slot: value}), index + 1)

    def fitting(self, arch: Arch, of: Slot) -> tuple[Value, ...]:
        """The values of one slot with which `arch`, otherwise unchanged, fits."""
        slot = of[0]
        values = self.space.fitting(slot, arch.values)
        if not _is_width(of[1]):
            return tuple(v for v in values if self.fits(arch.replace({slot: v})))
        values = tuple(v for v in of[1] if v in values)  # ascending
        end = bisect_right(values, False, key=lambda v: not self.fits(arch.replace({slot: v})))
        return values[:end]

    def _redraw(self, arch: Arch, of: Slot, rng: np.random.Generator) -> Arch:
        return arch.replace({of[0]: _pick(self.fitting(arch, of), rng)})


def _width_slots(space: SearchSpace) -> list[Slot]:
    """The width slots, each with its values in ascending order."""
    return [(s, tuple(sorted(v))) for s, v in space.choices if _is_width(v)]


def _is_width(values: tuple[Value, ...]) -> bool:
    return isinstance(values[0], int)


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]
