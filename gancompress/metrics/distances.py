"""Metrics that compare feature sets: the Frechet distance and the kernel distance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.features import FeatureNet
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.metrics.kid import SparseRows, kernel_distance, kernel_sum_within

# Images that the kernel distance looks at, at most: its cost grows with their square (at 2048
# values 3 s on one CPU thread) and 40 MB of features are kept.
KERNEL_IMAGES = 5000


@dataclass(frozen=True)
class RealStats:
    """What is known of the real images' features, computed once for all generators.

    `rows` (k, dim), float32: every `stride`-th image's features, for the kernel distance.
    """

    label: str
    kid_label: str
    gaussian: Gaussian
    rows: Tensor
    rows_within: float
    stride: int

    @classmethod
    def of(cls, features: FeatureNet, n: int, batches: Iterable[Tensor]) -> RealStats:
        """From the features (N, dim) of `n` real images, batch by batch.

        Raises: MetricError if there are fewer than two images or values that are not finite.
        """
        stride = -(-n // KERNEL_IMAGES)
        moments, sparse = Moments(features.dim), SparseRows(stride)
        for rows in batches:
            moments.update(rows)
            sparse.update(rows)
        gaussian, kept = Gaussian.of(moments), sparse.result()
        within = kernel_sum_within(kept)
        return cls(features.label, features.kid_label, gaussian, kept, within, stride)


def _needed(real: RealStats | None, name: str) -> RealStats:
    if real is None:
        raise MetricError(f"metric {name}: no feature network was given; choose one in metrics")
    return real


class FrechetDistance:
    """Frechet distance of the generated images' features to the real ones'.

    Biased upward for few images: compare figures of equal n only.
    """

    name: ClassVar[str] = "fd"
    better: ClassVar[str] = "min"
    needs_features: ClassVar[bool] = True

    def __init__(self, real: RealStats | None) -> None:
        self._real = _needed(real, self.name)
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
    needs_features: ClassVar[bool] = True

    def __init__(self, real: RealStats | None) -> None:
        self._real = _needed(real, self.name)
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
