"""Metrics that compare each generated image with its target, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.realside import NO_DETAILS, Details, RealImages

_PSNR_CEILING = 100.0  # dB, of equal images: their ratio is infinite


class ImageMean:
    """The mean over images of a figure that each image has by itself."""

    def __init__(self) -> None:
        self._sum = 0.0
        self.n = 0

    def update(self, figures: Tensor) -> None:
        """Takes the next images' figures (N,)."""
        self._sum += float(figures.cpu().double().sum())
        self.n += len(figures)

    def result(self) -> float:
        """Raises: MetricError if there was no image."""
        if not self.n:
            raise MetricError("metric: a mean of no images; at least one is needed")
        return self._sum / self.n


class L1:
    """Mean absolute difference on the scale [-1, 1]: from 0 (equal) to 2."""

    name: ClassVar[str] = "l1"
    label = "L1"
    better: ClassVar[str] = "min"
    needs_features: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    details: Details = NO_DETAILS

    @staticmethod
    def real_side(judge: RealImages) -> None:
        """Nothing: each image is compared with its own target."""

    def __init__(self, real: object = None) -> None:
        self._mean = ImageMean()

    @property
    def n(self) -> int:
        return self._mean.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._mean.update((batch["output"] - batch["target"]).abs_().mean((1, 2, 3)))

    def result(self) -> float:
        return self._mean.result()


class PSNR:
    """Peak signal-to-noise ratio in dB, the mean over images; equal images count as 100 dB."""

    name: ClassVar[str] = "psnr"
    label = "PSNR"
    better: ClassVar[str] = "max"
    needs_features: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    details: Details = NO_DETAILS

    @staticmethod
    def real_side(judge: RealImages) -> None:
        """Nothing: each image is compared with its own target."""

    def __init__(self, real: object = None) -> None:
        self._mean = ImageMean()

    @property
    def n(self) -> int:
        return self._mean.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        # Takes seconds to import: not before someone asks for this figure.
        from torchmetrics.functional.image import peak_signal_noise_ratio

        figures = peak_signal_noise_ratio(
            batch["output"], batch["target"], data_range=2.0, reduction="none", dim=(1, 2, 3)
        )
        self._mean.update(torch.as_tensor(figures).clamp(max=_PSNR_CEILING))

    def result(self) -> float:
        return self._mean.result()


class SSIM:
    """Structural similarity, -1 to 1 (equal), the mean over images; Gaussian window, sigma 1.5."""

    name: ClassVar[str] = "ssim"
    label = "SSIM"
    better: ClassVar[str] = "max"
    needs_features: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True
    needs_classes: ClassVar[bool] = False
    details: Details = NO_DETAILS

    @staticmethod
    def real_side(judge: RealImages) -> None:
        """Nothing: each image is compared with its own target."""

    def __init__(self, real: object = None) -> None:
        self._mean = ImageMean()

    @property
    def n(self) -> int:
        return self._mean.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        from torchmetrics.functional.image import structural_similarity_index_measure

        height, width = batch["output"].shape[-2:]
        if min(height, width) < 11:  # the window's size
            raise MetricError(f"metric ssim: images of {height}x{width}; at least 11x11 is needed")
        figures = structural_similarity_index_measure(
            batch["output"], batch["target"], data_range=2.0, reduction="none"
        )
        self._mean.update(torch.as_tensor(figures).reshape(-1))

    def result(self) -> float:
        return self._mean.result()
