"""Successive halving: many generators are trained a little, and the better half goes on.

Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization".
"""

from __future__ import annotations

from dataclasses import dataclass

_MANY = 2**20


@dataclass(frozen=True)
class Rung:
    """So many generators enter it, and each has made so many training steps at its end."""

    entering: int
    steps: int


def rungs_of(finalists: int, steps: int) -> tuple[Rung, ...]:
    """The rungs from all finalists to the one that is left, which makes all `steps`.

    Whoever is in the last rung but one makes a quarter of them, and half as many in each rung
    before, so that no rung before the last costs more than half of a whole training.
    """
    rounds = (finalists - 1).bit_length()
    rungs, entering = list[Rung](), finalists
    for left in range(rounds, 0, -1):
        rungs.append(Rung(entering, max(1, steps >> (left + 1))))
        entering = -(-entering // 2)
    return (*rungs, Rung(1, steps))


def steps_in_all(finalists: int, steps: int) -> int:
    """The training steps of all finalists together."""
    rungs = rungs_of(finalists, steps)
    before = (0, *(rung.steps for rung in rungs))
    return sum(
        rung.entering * (rung.steps - made) for rung, made in zip(rungs, before, strict=False)
    )


def trainings_in_all(finalists: int) -> float:
    """The same, in whole trainings of so many steps that no rung's are rounded."""
    return steps_in_all(finalists, _MANY) / _MANY
