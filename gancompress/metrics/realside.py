"""What a metric may ask of the real images, before it meets a generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.classifiers import Classifier
from gancompress.metrics.efficientnet import EffNetLite0Depths
from gancompress.metrics.kid import SparseRows
from gancompress.metrics.levels import levels_of
from gancompress.metrics.perceptual import PerceptualNet
from gancompress.metrics.realstats import RealStats

# What a metric needs beside images: features of a network, true pairs, a classifier's classes, a
# network that compares two images, one that sees depths.
Needs = frozenset[Literal["features", "pairs", "classes", "perceptual", "depths"]]
Details = Mapping[str, Mapping[str, float]]  # values by their names, by what they are of
NO_DETAILS: Details = MappingProxyType({})
# Images that metrics on sets of images keep, at most: as bytes 100 MB of 64 pixels, 1.6 GB of 256.
MOST_IMAGES = 8192
REAL_IMAGES = "real images"  # The name under which details hold the real side's own metric values.


class RealImages(Protocol):
    """The real images that generators are scored on; an Evaluator answers.

    `n` counts them; `real` is what is known of their features, None without a feature network;
    `classifier`, `perceptual` and `depths` are None where no metric asked for one.
    """

    @property
    def n(self) -> int: ...

    @property
    def real(self) -> RealStats | None: ...

    @property
    def classifier(self) -> Classifier | None: ...

    @property
    def perceptual(self) -> PerceptualNet | None: ...

    @property
    def depths(self) -> EffNetLite0Depths | None: ...

    def real_images(self) -> Iterator[Tensor]:
        """Batches (N, C, H, W) in [-1, 1], in the order of the generated ones."""


class ByteImages:
    """Images that pass by, rounded to 8 bits as in a saved PNG: all, or every k-th.

    Args:
        count: how many will pass, of which at most MOST_IMAGES are kept, evenly spread.
    """

    def __init__(self, count: int) -> None:
        self._kept = SparseRows(max(1, -(-count // MOST_IMAGES)), torch.uint8)

    @property
    def n(self) -> int:
        """How many are kept."""
        return self._kept.n

    def update(self, images: Tensor) -> None:
        """Takes the next images (N, C, H, W) in [-1, 1]."""
        self._kept.update(levels_of(images))

    def result(self) -> Tensor:
        """Those kept (n, C, H, W), uint8, on the CPU. Raises: MetricError if there are none."""
        return self._kept.result()


def real_bytes(side: RealImages) -> Tensor:
    """The real images that `ByteImages` keeps (n, C, H, W), uint8."""
    kept = ByteImages(side.n)
    for images in side.real_images():
        kept.update(images)
    return kept.result()


def needed_stats(real: RealStats | None, name: str) -> RealStats:
    """`real`, for the metric `name`. Raises: MetricError if there is none."""
    if real is None:
        raise MetricError(f"metric {name}: no feature network was given; choose one in metrics")
    return real
