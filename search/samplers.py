"""Which arch to measure next: one function of the seed and of what was measured, per algorithm."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from gancompress.arch import Arch
from gancompress.search.feasible import FeasibleSampler

PARENT_SHARE = 0.25  # of the population, as in the compression literature
CHILD_TRIES = 50  # children that were measured before, until a fresh arch is drawn instead


class Sampler(Protocol):
    """Proposes archs inside the budget and keeps no state: the same arguments, the same arch."""

    def propose(
        self,
        rng: np.random.Generator,
        history: Sequence[tuple[Arch, float]],
        pending: Collection[Arch] = (),
    ) -> Arch | None:
        """An arch in neither `history` nor `pending`; None when no arch that fits is left.

        `history`: what was measured so far, in order, a lower score being better.
        `pending`: archs that are being measured now.
        """
        ...


class SamplerFactory(Protocol):
    def __call__(self, feasible: FeasibleSampler, population: int, mutation: float) -> Sampler: ...


class Random:
    """Uniform over the archs that fit and were not measured yet."""

    def __init__(self, feasible: FeasibleSampler) -> None:
        self._feasible = feasible

    def propose(
        self,
        rng: np.random.Generator,
        history: Sequence[tuple[Arch, float]],
        pending: Collection[Arch] = (),
    ) -> Arch | None:
        return self._feasible.draw_new(rng, {*pending, *(arch for arch, _ in history)})


class Evolution:
    """Steady-state evolution: every child may be a parent of the next one.

    The first `population` archs are uniform over the budget, exactly those of `Random` at the
    same seed. From then on the parents are the best quarter of `population` (at least two) among
    *all* that were measured; a child is, with equal chance, a mutant of one parent (each slot
    redrawn with probability `mutation`) or a uniform crossover of two, shrunk into the budget. A
    child that was measured before is born anew; when that goes on, a fresh arch is drawn.
    """

    def __init__(self, feasible: FeasibleSampler, population: int, mutation: float) -> None:
        self._feasible = feasible
        self._population = population
        self._parents = max(2, round(PARENT_SHARE * population))
        self._mutation = mutation

    def propose(
        self,
        rng: np.random.Generator,
        history: Sequence[tuple[Arch, float]],
        pending: Collection[Arch] = (),
    ) -> Arch | None:
        seen = {*pending, *(arch for arch, _ in history)}
        if len(history) >= max(2, self._population):
            ranked = heapq.nsmallest(self._parents, history, key=lambda one: (one[1], one[0].key))
            parents = [arch for arch, _ in ranked]
            for _ in range(CHILD_TRIES):
                child = self._child(parents, rng)
                if child not in seen:
                    return child
        return self._feasible.draw_new(rng, seen)

    def _child(self, parents: Sequence[Arch], rng: np.random.Generator) -> Arch:
        if rng.random() < 0.5:
            parent = parents[int(rng.integers(len(parents)))]
            return self._feasible.mutate(parent, rng, self._mutation)
        one, other = rng.choice(len(parents), size=2, replace=False)
        return self._feasible.crossover(parents[one], parents[other], rng)


def _random(feasible: FeasibleSampler, population: int, mutation: float) -> Random:
    del population, mutation  # evolution's alone
    return Random(feasible)


SAMPLERS: dict[str, SamplerFactory] = {"random": _random, "evolution": Evolution}
