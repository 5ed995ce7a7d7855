"""Figures of how good generated images are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from torch import Tensor

from gancompress.metrics.distances import FrechetDistance, KernelDistance, RealStats
from gancompress.metrics.pixel import L1, PSNR, SSIM


class Metric(Protocol):
    """One figure over many generated images.

    `better` is "min" or "max"; `label` is how the figure is printed; `n` counts the images behind
    it; `needs_features` tells whether it is made from real-side statistics and batches must carry
    "features".
    """

    name: ClassVar[str]
    better: ClassVar[str]
    needs_features: ClassVar[bool]

    def __init__(self, real: RealStats | None) -> None: ...

    @property
    def label(self) -> str: ...

    @property
    def n(self) -> int: ...

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Takes the next images: "output" and "target" (N, C, H, W) in [-1, 1], and "features"
        (N, dim), those of "output", if the metric needs them."""

    def result(self) -> float:
        """The figure. Raises: MetricError for too few images."""


METRICS: dict[str, type[Metric]] = {
    "l1": L1,
    "psnr": PSNR,
    "ssim": SSIM,
    "fd": FrechetDistance,
    "kid": KernelDistance,
}
