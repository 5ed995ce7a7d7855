"""The cheapest and the dearest archs of a space, and the one that keeps several budgets best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.archs.slots import Value
from gancompress.errors import ArchError, BudgetError
from gancompress.search.limits import Constraint, Costs, admitted, rounded, utilisation

Number = TypeVar("Number", int, float)
Complete = Callable[[Mapping[str, Value]], Arch]  # the widths for some operators and bands

# Up to this many combinations of operators and bands are enumerated (some 50 ms with cached costs).
COMBINATIONS = 1024


def floor(space: SearchSpace, cost: Callable[[Arch], Number]) -> tuple[Arch, Number]:
    """The cheapest arch of `space` and its cost, which never falls when a width grows.

    Exact where there are few combinations of operators and bands. Where there are many, by
    descent: from several combinations, each slot in turn takes its cheapest value until none is
    cheaper. Not to be fooled needs neighbours that agree to be cheaper than others: that is how
    splits cost.
    """
    arch = _least(space, cost, space.narrowest)
    return arch, cost(arch)


def ceiling(space: SearchSpace, cost: Callable[[Arch], Number]) -> tuple[Arch, Number]:
    """The dearest arch of `space` and its cost; found as `floor` is, at the widest widths."""
    arch = _least(space, lambda arch: -cost(arch), partial(space.level, 0.0))
    return arch, cost(arch)


def least_utilised(space: SearchSpace, costs: Costs, limits: Sequence[Constraint]) -> Arch:
    """The arch that keeps all `limits` with the most room to the nearest of them.

    Raises: BudgetError if no arch keeps them; it names those that no arch keeps even alone, or
    else that they contradict each other, and how near to all of them one comes.
    """
    arch = _least(space, lambda arch: utilisation(costs(arch), limits), space.narrowest)
    if admitted(costs(arch), limits):
        return arch

    def least(limit: Constraint) -> float:
        return floor(space, lambda arch: costs(arch)[limit.cost])[1]

    under = [(limit, least(limit)) for limit in limits if least(limit) > limit.most]
    if under:
        raise BudgetError(_too_low(under))
    raise BudgetError(_contradiction(limits, costs(arch)))


def _too_low(under: Sequence[tuple[Constraint, float]]) -> str:
    found = [
        f"{limit.where}: {rounded(limit.most)} is below the smallest generator of this space, "
        f"{rounded(least)} {limit.unit}"
        for limit, least in under
    ]
    raising = "the budget" if len(under) == 1 else "the budgets"
    return f"{'; '.join(found)}; raise {raising} or admit smaller widths"


def _contradiction(limits: Sequence[Constraint], costs: Mapping[str, float]) -> str:
    named = " and ".join(dict.fromkeys(limit.where for limit in limits))
    near = ", ".join(
        f"{rounded(costs[limit.cost])} {limit.unit} of {rounded(limit.most)}" for limit in limits
    )
    return (
        f"{named}: contradictory, each can be kept but no generator of this space keeps all; the "
        f"nearest has {near}; raise one of them or admit smaller widths"
    )


def has_few_combinations(space: SearchSpace) -> bool:
    """Whether all combinations of operators and bands are tried."""
    return math.prod(map(len, space.categories.values())) <= COMBINATIONS


def narrow_archs(space: SearchSpace) -> list[Arch] | None:
    """The narrowest arch of every combination of operators and bands; None if too many."""
    return _every(space, space.narrowest)


def narrow_starts(space: SearchSpace) -> list[Arch]:
    """Narrowest archs with the first, the second, … operator and bands in every slot."""
    return _starts(space, space.narrowest)


def _least(space: SearchSpace, cost: Callable[[Arch], float], complete: Complete) -> Arch:
    found = _every(space, complete)
    if found is None:
        starts = _starts(space, complete)
        found = [_descended(space, cost, start, complete) for start in starts]
    return min(found, key=lambda arch: (cost(arch), arch.key))


def _every(space: SearchSpace, complete: Complete) -> list[Arch] | None:
    if not has_few_combinations(space):
        return None
    categories = space.categories
    found = []
    for values in itertools.product(*categories.values()):
        with suppress(ArchError):  # bands of two stages that no width allows
            found.append(complete(dict(zip(categories, values, strict=True))))
    return found


def _starts(space: SearchSpace, complete: Complete) -> list[Arch]:
    categories = space.categories
    longest = max((len(values) for values in categories.values()), default=1)
    found = [complete({slot: space.smallest[slot] for slot in categories})]
    for turn in range(longest):
        wanted = {s: values[min(turn, len(values) - 1) :][:1] for s, values in categories.items()}
        found.append(complete(space.preferred(wanted)))
    return list(dict.fromkeys(found))


def _descended(
    space: SearchSpace, cost: Callable[[Arch], float], arch: Arch, complete: Complete
) -> Arch:
    least = cost(arch)
    while True:
        before = least
        for slot, values in space.categories.items():
            for value in values:
                chosen = {s: value if s == slot else arch[s] for s in space.categories}
                with suppress(ArchError):
                    other = complete(chosen)
                    if (now := cost(other)) < least:
                        arch, least = other, now
        if least == before:
            return arch
