"""What every sampler is: a function of the seed and of what was measured, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np

from gancompress.archs.arch import Arch

CHILD_TRIES = 50  # children that were measured before, until a fresh arch is drawn instead

# What was measured, in order, and its values, all to be minimised: the score alone, or the score
# and a cost.
History = Sequence[tuple[Arch, tuple[float, ...]]]


class Sampler(Protocol):
    """Proposes archs inside the budget and keeps no state: the same arguments, the same arch."""

    def propose(
        self, rng: np.random.Generator, history: History, pending: Collection[Arch] = ()
    ) -> Arch | None:
        """An arch in neither `history` nor `pending`, archs that are being measured now; None when
        no arch that fits is left."""
        ...

    def order(self, history: History) -> list[int]:
        """The places in `history`, the one to be kept first foremost."""
        ...


def by_score(history: History) -> list[int]:
    """The places in `history`, best first: by score, then what else is minimised, then arch key."""
    return sorted(range(len(history)), key=lambda i: (history[i][1], history[i][0].key))


def seen_in(history: History, pending: Collection[Arch]) -> set[Arch]:
    """All archs that are not to be proposed again."""
    return {*pending, *(arch for arch, _ in history)}


def new_child(bear: Callable[[], Arch], seen: Collection[Arch]) -> Arch | None:
    """The first of some children that was not seen; None if all were."""
    return next(
        (child for child in (bear() for _ in range(CHILD_TRIES)) if child not in seen), None
    )
