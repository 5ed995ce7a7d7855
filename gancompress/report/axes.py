"""Axes of a drawing: numbers to places, and round numbers for the ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LOG_FROM = 4.0  # the largest number by the smallest; from here on an axis is logarithmic
MARGIN = 0.04  # The fraction of the range that stays free at both ends.


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high`, drawn from place `start` to place `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    @classmethod
    def over(cls, numbers: Sequence[float], start: float, end: float, *, log: bool = False) -> Axis:
        """All of `numbers` with some room around them; log: logarithmic where they are far apart.

        `numbers` has at least one.
        """
        low, high = min(numbers), max(numbers)
        is_log = log and low > 0 and high / low >= LOG_FROM
        if is_log:
            room = (high / low) ** MARGIN
            return cls(low / room, high * room, start, end, True)
        gap = MARGIN * (high - low) or abs(high) * MARGIN or 1.0
        return cls(low - gap, high + gap, start, end)

    def place(self, number: float) -> float:
        """Where it is drawn, to a tenth; numbers beyond the ends lie beyond the places."""
        if self.is_log:
            share = math.log(number / self.low) / math.log(self.high / self.low)
        else:
            share = (number - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, wanted: int = 6) -> list[float]:
        """Round numbers on the axis, about as many as wanted."""
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for heads in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
                found = self._inside([head * 10.0**power for power in powers for head in heads])
                if len(found) >= wanted - 2:
                    break
            return found
        rough = (self.high - self.low) / wanted
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next((s * unit for s in (1, 2, 2.5, 5) if s * unit >= rough), 10 * unit)
        first = math.ceil(self.low / step)
        count = math.floor(self.high / step) - first + 1
        return [round((first + i) * step, 10) for i in range(count)]

    def _inside(self, numbers: Sequence[float]) -> list[float]:
        return [number for number in numbers if self.low <= number <= self.high]


def stairs(places: Sequence[tuple[float, float]]) -> str:
    """An SVG path through the places that goes across before it goes up or down."""
    if not places:
        return ""
    x, y = places[0]
    steps = [f"M{x:g} {y:g}"]
    for (_, before), (x, y) in pairwise(places):
        steps.append(f"H{x:g}" if y == before else f"H{x:g}V{y:g}")
    return "".join(steps)
