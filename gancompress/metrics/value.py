"""One result of scoring a generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from gancompress.metrics.intervals import Interval, Spread
from gancompress.metrics.realside import Details


@dataclass(frozen=True)
class MetricValue:
    """One result, with what it must be printed with.

    `metric` is the name in METRICS, `n` the number of images behind the value, `features` the
    label of the feature network ("" for a pixel metric), `details` what it is made of: names of
    classes, say, each with its values by their names. `interval` is that of 95 % confidence,
    see intervals.py, where it was asked for, and `spread` what it is made of.
    """

    metric: str
    label: str
    value: float
    n: int
    features: str = ""
    details: Details = field(default_factory=dict)
    interval: Interval | None = None
    spread: Spread | None = field(default=None, repr=False)

    def above(self, other: MetricValue) -> Interval | None:
        """The interval of this value minus another generator's, scored with the same arguments.

        Much narrower than the two intervals suggest: an image that is hard for one is hard for
        both. None where either has no spread. Raises: MetricError for other numbers of resamples.
        """
        if self.spread is None or other.spread is None:
            return None
        return self.spread.minus(other.spread).around(self.value - other.value)

    def __str__(self) -> str:
        digits = f"{self.value:.0f}" if abs(self.value) >= 1000 else f"{self.value:.4g}"
        return f"{self.label} {digits} (n={self.n})"
