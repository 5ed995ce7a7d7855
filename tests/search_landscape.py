"""Spaces, costs and scores that need no network, for the tests of the search."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace, Value
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint

WIDTHS = (64, 56, 48, 40, 32, 24, 16)
RESNET = SearchSpace.of("resnet", {f"c{i}": WIDTHS for i in range(8)})  # 5 764 801 archs
TENTH_PERCENT = 1_569_325_056  # true MACs that 0.1 % of RESNET meet (see test_search_feasible)


def resnet_macs(arch: Arch) -> int:
    """True MACs of the separable ResNet-9 generator at 256×256 (closed form)."""
    return int(closed_form([arch.width(f"c{i}") for i in range(8)]))


def closed_form(c):
    """The same of eight integers, or of eight arrays that broadcast."""
    h1, h2, h4, trunk = 256**2, 256**2 // 4, 256**2 // 16, 4 * c[2]
    blocks = sum(3 * (9 * trunk + 2 * trunk * 4 * c[k] + 9 * 4 * c[k]) for k in (3, 4, 5))
    return (
        (147 * c[0] + 147 * c[7]) * h1
        + (9 * c[0] * 2 * c[1] + 9 * 2 * c[6] * c[7]) * h2
        + (9 * 2 * c[1] * trunk + blocks + 9 * trunk * 2 * c[6]) * h4
    )


def small_space(**more: tuple[Value, ...]) -> SearchSpace:
    """Three width slots of five values, not in order, and the slots of `more`."""
    widths = {f"w{i}": (64, 16, 48, 24, 32) for i in range(3)}
    return SearchSpace.of("toy", {**widths, **more})


def small_cost(arch: Arch) -> int:
    """Products of neighbouring widths; dense operators cost more, by slot."""
    w = [arch.width(f"w{i}") for i in range(3)]
    factors = [4 if v == "dense" else 1 for _, v in arch.slots if isinstance(v, str)] + [1, 1]
    return 3 * w[0] + factors[0] * w[0] * w[1] + factors[1] * w[1] * w[2] + 3 * w[2]


def budget_of_share(space: SearchSpace, share: float) -> int:
    """The budget that this share of the small space meets."""
    costs = sorted(small_cost(arch) for arch in space.all())
    return costs[max(0, int(share * len(costs)) - 1)]


def limited(
    space: SearchSpace, cost: Callable[[Arch], int], budget: float, **more: Any
) -> FeasibleSampler:
    """The archs of `space` whose one cost, their MACs, is at most `budget`."""
    limit = Constraint("macs", budget, "true MACs", "search.budget_macs")
    return FeasibleSampler(space, lambda arch: {"macs": cost(arch)}, [limit], **more)


class Landscape:
    """A score, lower being better: wider is better, unequally, and neighbours should agree."""

    def __init__(self, seed: int, space: SearchSpace) -> None:
        rng = np.random.default_rng(seed)
        slots = [slot for slot, _ in space.choices]
        self._weights = dict(zip(slots, rng.dirichlet(np.ones(len(slots))), strict=True))
        self._pairs = [rng.choice(slots, 2, replace=False) for _ in slots]
        self._pulls = rng.normal(0, 0.06, len(slots))

    def __call__(self, arch: Arch) -> float:
        x = {s: math.log2(v / 16) / 2 if isinstance(v, int) else 0.5 for s, v in arch.slots}
        gain = sum(self._weights[s] * math.sqrt(x[s]) for s in x)
        pulls = zip(self._pairs, self._pulls, strict=True)
        return float(sum(pull * (x[a] - x[b]) ** 2 for (a, b), pull in pulls) - gain)
