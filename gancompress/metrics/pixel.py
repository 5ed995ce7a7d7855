"""Metrics that compare each generated image with its target, pixel by pixel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.levels import levels_of
from gancompress.metrics.msssim import similarities
from gancompress.metrics.realside import NO_DETAILS, Details, Needs, RealImages
from gancompress.metrics.ssim import WINDOW, ssim

_RANGE = 2.0  # from -1 to 1
_PSNR_CEILING = 100.0  # dB, of equal images: their ratio is infinite


class OfTargets(ABC):
    """A value that each image has with its own target, the mean over images."""

    better: ClassVar[str] = "max"
    needs: ClassVar[Needs] = frozenset({"pairs"})
    details: Details = NO_DETAILS

    @staticmethod  # noqa: B027
    def real_side(side: RealImages) -> None:
        """Nothing: each image is compared with its own target."""

    def __init__(self, real: object = None) -> None:
        self._values: list[Tensor] = []

    @abstractmethod
    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        """The values (N,) of images and targets (N, C, H, W) in [-1, 1]."""

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Takes the next images; see `Metric.update`."""
        self._values.append(self.compared(batch["output"], batch["target"]).cpu().double())

    @property
    def n(self) -> int:
        return sum(map(len, self._values))

    @property
    def values(self) -> Tensor:
        """Those of all images so far (n,), float64."""
        return torch.cat(self._values)

    def result(self) -> float:
        """Raises: MetricError if there was no image."""
        if not self.n:
            raise MetricError("metric: a mean of no images; at least one is needed")
        return float(self.values.mean())


class L1(OfTargets):
    """Mean absolute difference on the scale [-1, 1]: from 0 (equal) to 2."""

    name: ClassVar[str] = "l1"
    label = "L1"
    better: ClassVar[str] = "min"

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        return (images - targets).abs_().mean((1, 2, 3))


class PSNR(OfTargets):
    """Peak signal-to-noise ratio in dB, the mean over images; equal images count as 100 dB."""

    name: ClassVar[str] = "psnr"
    label = "PSNR"

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        errors = (images - targets).square_().mean((1, 2, 3))  # (N,)
        return (10 * torch.log10(_RANGE**2 / errors)).clamp_(max=_PSNR_CEILING)


class SSIM(OfTargets):
    """Structural similarity, -1 to 1 (equal), the mean over images; see `metrics.ssim`."""

    name: ClassVar[str] = "ssim"
    label = "SSIM"

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < WINDOW:
            raise MetricError(f"metric ssim: images of {height}x{width}; at least 11x11 is needed")
        return ssim(images, targets)


class MultiscaleSSIM(OfTargets):
    """MS-SSIM of each image and its target, 0 to 1 (equal); both rounded to 8 bits.

    Wang et al. 2003; see `msssim.similarities`. `ms-ssim` is that of pairs of generated images,
    which says how much they are alike.
    """

    name: ClassVar[str] = "ms-ssim-target"
    label = "MS-SSIM"

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        n = len(images)
        sides = torch.stack((torch.arange(n), torch.arange(n, 2 * n)), 1)
        return similarities(torch.cat((levels_of(images), levels_of(targets))).cpu(), sides)
