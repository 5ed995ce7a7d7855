"""Precision and recall: how much of each set of images the other one's manifold covers.

Kynkäänniemi et al. 2019, section 2. The manifold of a set is made of balls about the features of
its images, each as wide as the distance to the k-th nearest of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.kid import SparseRows
from gancompress.metrics.realside import NO_DETAILS, Details, Needs, RealImages, needed_stats
from gancompress.metrics.realstats import RealStats

NEIGHBOURS = 3  # k of the paper's section 3
_ROWS = 2048  # Rows of one block, whose squared distances take 32 MiB in float64.
# The rounding error of squared distances, relative to the largest squared length.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Manifold:
    """Balls about rows (n, dim): `squares` (n,), float64, are their squared radii."""

    rows: Tensor
    squares: Tensor

    @classmethod
    def of(cls, rows: Tensor, k: int = NEIGHBOURS) -> Manifold:
        """Raises: MetricError for fewer than k + 1 rows."""
        if len(rows) <= k:
            raise MetricError(
                f"precision and recall: {len(rows)} image(s); {k} nearest neighbours need at least "
                f"{k + 1}"
            )
        found = []
        for first, block in _blocks(rows, rows):
            place = torch.arange(len(block))
            block[place, first + place] = torch.inf  # itself
            found.append(block.kthvalue(k, 1).values)
        return cls(rows, torch.cat(found))

    def share_inside(self, points: Tensor) -> float:
        """The fraction of points (m, dim) that lie in a ball, its border included (eq. 2)."""
        inside = 0
        longest = max(float(side.norm(dim=1).max()) for side in (self.rows, points))
        slack = _ROUNDING * longest**2
        for _, block in _blocks(points, self.rows):
            inside += int((block <= self.squares + slack).any(1).sum())
        return inside / len(points)


def _blocks(points: Tensor, rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Squared distances (some, n), float64, of the next points to all rows, and the first's number.

    About the rows' mean, as values that all share would cost digits.
    """
    origin = rows.double().mean(0)
    right = rows.double() - origin
    lengths = right.square().sum(1)
    for number, part in enumerate(points.split(_ROWS)):
        left = part.double() - origin
        squares = left.square().sum(1, keepdim=True) + lengths - 2 * (left @ right.T)
        yield number * _ROWS, squares.clamp_(min=0)


def _label(name: str, stats: RealStats) -> str:
    """`precision-EffNetLite0`; the Frechet distance on the FID Inception is FID alone."""
    return f"{name}-{stats.label.partition('-')[2] or 'Inception'}"


class Precision:
    """The fraction of generated images that lie in the real images' manifold: from 0 to 1.

    High where each image looks right, however few kinds there are. Of at most 5000 images, those
    of the kernel distance; it falls with their number.
    """

    name: ClassVar[str] = "precision"
    better: ClassVar[str] = "max"
    needs: ClassVar[Needs] = frozenset({"features"})
    details: Details = NO_DETAILS

    @classmethod
    def real_side(cls, side: RealImages) -> tuple[RealStats, Manifold]:
        stats = needed_stats(side.real, cls.name)
        return stats, Manifold.of(stats.rows)

    def __init__(self, real: tuple[RealStats, Manifold]) -> None:
        stats, self._real = real
        self.label = _label(self.name, stats)
        self._rows = SparseRows(stats.stride)

    @property
    def n(self) -> int:
        return self._rows.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._rows.update(batch["features"])

    def result(self) -> float:
        return self._real.share_inside(self._rows.result())


class Recall:
    """The fraction of real images that lie in the generated images' manifold: from 0 to 1.

    High where every kind of real image is made, and near 0 where a generator has collapsed. Of the
    images that `Precision` takes.
    """

    name: ClassVar[str] = "recall"
    better: ClassVar[str] = "max"
    needs: ClassVar[Needs] = frozenset({"features"})
    details: Details = NO_DETAILS

    @classmethod
    def real_side(cls, side: RealImages) -> RealStats:
        return needed_stats(side.real, cls.name)

    def __init__(self, real: RealStats) -> None:
        self._real = real
        self.label = _label(self.name, real)
        self._rows = SparseRows(real.stride)

    @property
    def n(self) -> int:
        return self._rows.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._rows.update(batch["features"])

    def result(self) -> float:
        return Manifold.of(self._rows.result()).share_inside(self._real.rows)
