"""Budgets: the most that a generator may cost, in any of the costs that are known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gancompress.archs.arch import Arch

# All costs of an arch by name ("macs", "params", "activation_bytes", "latency_ms"); none of them
# ever falls when a width grows.
Costs = Callable[[Arch], Mapping[str, float]]


@dataclass(frozen=True)
class Constraint:
    """The most of one cost; `unit` and `where`, the recipe's key, word the messages."""

    cost: str
    most: float
    unit: str
    where: str

    def admits(self, costs: Mapping[str, float]) -> bool:
        return costs[self.cost] <= self.most


def admitted(costs: Mapping[str, float], limits: Sequence[Constraint]) -> bool:
    """Whether all limits are kept."""
    return all(limit.admits(costs) for limit in limits)


def utilisation(costs: Mapping[str, float], limits: Sequence[Constraint]) -> float:
    """The largest share of a limit that is used; all are kept where it is at most 1."""
    used = (costs[one.cost] / one.most if one.most else math.inf for one in limits)
    return max(used, default=0.0)


def rounded(number: float) -> str:
    """Whole numbers in groups of three, others with six digits."""
    return f"{int(number):,}".replace(",", " ") if number == int(number) else f"{number:.6g}"
