"""Which arch to measure next: one function of the seed and of what was measured, per algorithm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from gancompress.archs.arch import Arch
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.pareto import Pareto, by_dominance
from gancompress.search.proposals import History, Sampler, by_score, new_child, seen_in
from gancompress.search.surrogate import Screened

__all__ = [
    "SAMPLERS", "Evolution", "History", "Pareto", "Random", "Sampler", "Screened", "Widened",
    "by_dominance", "by_score", "make_sampler",
]  # fmt: skip

WIDENED = 4  # archs of each row of the final table that use up its budget
# The fraction of the population that become parents, as in the compression literature.
PARENT_SHARE = 0.25


class SamplerFactory(Protocol):
    def __call__(
        self, feasible: FeasibleSampler, population: int, mutation: float, cost: str
    ) -> Sampler: ...


class Random:
    """Uniform over the archs that fit and were not measured yet."""

    def __init__(self, feasible: FeasibleSampler) -> None:
        self._feasible = feasible

    def order(self, history: History) -> list[int]:
        return by_score(history)

    def propose(
        self, rng: np.random.Generator, history: History, pending: Collection[Arch] = ()
    ) -> Arch | None:
        return self._feasible.draw_new(rng, seen_in(history, pending))


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

    def order(self, history: History) -> list[int]:
        return by_score(history)

    def propose(
        self, rng: np.random.Generator, history: History, pending: Collection[Arch] = ()
    ) -> Arch | None:
        seen = seen_in(history, pending)
        if len(history) >= max(2, self._population):
            parents = [history[i][0] for i in by_score(history)[: self._parents]]
            child = new_child(lambda: self._child(parents, rng), seen)
            if child is not None:
                return child
        return self._feasible.draw_new(rng, seen)

    def _child(self, parents: Sequence[Arch], rng: np.random.Generator) -> Arch:
        if rng.random() < 0.5:
            parent = parents[int(rng.integers(len(parents)))]
            return self._feasible.mutate(parent, rng, self._mutation)
        one, other = rng.choice(len(parents), size=2, replace=False)
        return self._feasible.crossover(parents[one], parents[other], rng)


class Widened:
    """Archs that begin as `start` and use up the budget, see `FeasibleSampler.widened`.

    Wider than what won, each holds all of its channels. Fine-tuning brings out what more of them
    are worth: the quickstart's winner of 60 M MACs ended at FD 427, those of 72 to 76 M at 380 to
    385 (99 M are allowed, one seed each), from scores in the supernet that differed by chance.
    """

    def __init__(self, feasible: FeasibleSampler, start: Arch) -> None:
        self._feasible, self._start = feasible, start

    def order(self, history: History) -> list[int]:
        return by_score(history)

    def propose(
        self, rng: np.random.Generator, history: History, pending: Collection[Arch] = ()
    ) -> Arch | None:
        seen = seen_in(history, pending) | {self._start}
        return new_child(lambda: self._feasible.widened(self._start, rng), seen)


def _random(feasible: FeasibleSampler, population: int, mutation: float, cost: str) -> Random:
    del population, mutation, cost  # the others' alone
    return Random(feasible)


def _evolution(feasible: FeasibleSampler, population: int, mutation: float, cost: str) -> Evolution:
    del cost  # the limits' affair; only the score is to be minimised
    return Evolution(feasible, population, mutation)


SAMPLERS: dict[str, SamplerFactory] = {
    "random": _random,
    "evolution": _evolution,
    "pareto": Pareto,
}


def make_sampler(
    name: str,
    feasible: FeasibleSampler,
    population: int,
    mutation: float,
    surrogate: bool = False,
    cost: str = "macs",
) -> Sampler:
    """The sampler called `name` in `SAMPLERS`.

    surrogate: proposals are chosen by a model of what was measured, see `Screened`.
    cost: the second value of the histories that `pareto` is given.
    Raises: RecipeError if `surrogate` is wanted and scikit-learn is not installed.
    """
    sampler = SAMPLERS[name](feasible, population, mutation, cost)
    return Screened(sampler, feasible, population, cost) if surrogate else sampler
