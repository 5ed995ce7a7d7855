"""Metrics that compare feature sets: the Frechet distance and the kernel distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from gancompress.metrics.frechet import Moments, frechet_distance
from gancompress.metrics.kid import SparseRows, kernel_distance
from gancompress.metrics.realside import NO_DETAILS, Details, Needs, RealImages, needed_stats
from gancompress.metrics.realstats import RealStats


class FrechetDistance:
    """Frechet distance of the generated images' features to the real ones'.

    Biased upward for few images: compare values of equal n only.
    """

    name: ClassVar[str] = "fd"
    better: ClassVar[str] = "min"
    needs: ClassVar[Needs] = frozenset({"features"})
    details: Details = NO_DETAILS

    @staticmethod
    def real_side(side: RealImages) -> RealStats | None:
        return side.real

    def __init__(self, real: RealStats | None) -> None:
        self._real = needed_stats(real, self.name)
        self._moments = Moments(len(self._real.gaussian.mean))

    @property
    def label(self) -> str:
        return self._real.label

    @property
    def n(self) -> int:
        return self._moments.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._moments.update(batch["features"])

    def result(self) -> float:
        return frechet_distance(self._real.gaussian, self._moments)


class KernelDistance:
    """Unbiased kernel distance (KID) of the generated images' features to the real ones'."""

    name: ClassVar[str] = "kid"
    better: ClassVar[str] = "min"
    needs: ClassVar[Needs] = frozenset({"features"})
    details: Details = NO_DETAILS

    @staticmethod
    def real_side(side: RealImages) -> RealStats | None:
        return side.real

    def __init__(self, real: RealStats | None) -> None:
        self._real = needed_stats(real, self.name)
        self._rows = SparseRows(self._real.stride)

    @property
    def label(self) -> str:
        return self._real.kid_label

    @property
    def n(self) -> int:
        return self._rows.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._rows.update(batch["features"])

    def result(self) -> float:
        return kernel_distance(self._real.rows, self._rows.result(), self._real.rows_within)
