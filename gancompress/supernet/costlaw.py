"""Parameters and MACs of whole networks as a polynomial of their widths, exact and in microseconds.

A layer's are a product of at most two numbers of channels, and these are sums of widths: those of a
network are a polynomial of second degree. Some hundred networks determine its coefficients, which
are whole numbers, by divided differences; that they are right is proven on other networks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.supernet.cost import Cost

PROOFS = 16  # random archs whose costs the polynomial must tell
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class CostLaw:
    """The costs of the archs of a space in which widths are the only choice.

    slots: those with a choice. least, next_: of each the two smallest widths. With d the widths'
    distances from the least ones, costs are constant + d @ first + sums of d_i d_j mixed_ij, and of
    d_i (width_i - next_i) square_i; each of these numbers has the four counts of a `Cost`.
    """

    slots: tuple[str, ...]
    least: Whole  # (S,)
    next_: Whole  # (S,)
    constant: Whole  # (4,)
    first: Whole  # (S, 4)
    square: Whole  # (S, 4)
    mixed: Whole  # (4, S, S), above the diagonal

    def __call__(self, arch: Arch) -> Cost:
        """The parameters and MACs; of memory nothing is known here, which is 0."""
        widths = np.array([arch[slot] for slot in self.slots], np.int64)
        d = widths - self.least
        found = self.constant + d @ self.first + (d * (widths - self.next_)) @ self.square
        params, *macs = (found + np.einsum("i,kij,j->k", d, self.mixed, d)).tolist()
        return Cost(params, *macs)


def cost_law(costs: Callable[[Arch], Cost], space: SearchSpace) -> CostLaw | None:
    """That of a space, or None where it has other choices than widths, or costs follow no law."""
    if math.prod(len(values) for values in space.categories.values()) > 1:
        return None
    smallest, widths = space.smallest, _widths(space)
    slots = tuple(widths)

    def counts(**changed: int) -> Whole:
        return _counts(costs(smallest.replace(changed)))

    base = counts()
    steps = {slot: widths[slot][1] - widths[slot][0] for slot in slots}
    first: dict[str, Whole] = {}
    for slot in slots:
        found = _exact(counts(**{slot: widths[slot][1]}) - base, steps[slot])
        if found is None:
            return None
        first[slot] = found
    square, mixed = np.zeros((len(slots), 4), np.int64), np.zeros((4, len(slots), len(slots)), int)
    for i, slot in enumerate(slots):
        if len(widths[slot]) > 2:
            low, middle, high = widths[slot][0], widths[slot][1], widths[slot][2]
            left = counts(**{slot: high}) - base - (high - low) * first[slot]
            found = _exact(left, (high - low) * (high - middle))
            if found is None:
                return None
            square[i] = found
    for (i, one), (j, other) in itertools.combinations(enumerate(slots), 2):
        both = counts(**{one: widths[one][1], other: widths[other][1]})
        left = both - base - steps[one] * first[one] - steps[other] * first[other]
        found = _exact(left, steps[one] * steps[other])
        if found is None:
            return None
        mixed[:, i, j] = found
    law = CostLaw(
        slots,
        np.array([widths[slot][0] for slot in slots], np.int64),
        np.array([widths[slot][1] for slot in slots], np.int64),
        base,
        np.array([first[slot] for slot in slots], np.int64).reshape(len(slots), 4),
        square,
        mixed,
    )
    random = np.random.default_rng(0)
    proofs = [space.largest, *(space.sample(random) for _ in range(PROOFS))]
    is_proven = all(np.array_equal(_counts(law(arch)), _counts(costs(arch))) for arch in proofs)
    return law if is_proven else None


def _widths(space: SearchSpace) -> dict[str, list[int]]:
    """The widths of each slot that has several, narrow first."""
    values = space.smallest.values
    # A split into bands admits some widths alone.
    fitting = {
        slot: sorted(int(v) for v in space.fitting(slot, values))  # type: ignore[arg-type]
        for slot, _ in space.choices
        if slot not in space.categories
    }
    return {slot: found for slot, found in fitting.items() if len(found) > 1}


def _counts(cost: Cost) -> Whole:
    """Parameters and the three counts of MACs: (4,)."""
    macs: Sequence[int] = (cost.macs_true, cost.macs_published, cost.macs_published_norm)
    return np.array([cost.params, *macs], np.int64)


def _exact(left: Whole, by: int) -> Whole | None:
    """left / by, or None where that leaves a rest."""
    quotient, rest = np.divmod(left, by)
    return None if rest.any() else quotient
