"""What is known of the real images' features, worked out once for all generators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from gancompress.metrics.features import FeatureNet
from gancompress.metrics.frechet import Gaussian, Moments
from gancompress.metrics.kid import SparseRows, kernel_sum_within

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
