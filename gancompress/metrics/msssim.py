"""MS-SSIM of random pairs of generated images: how much they look alike.

Odena et al. 2017 (AC-GAN), section 4.2; Karras et al. 2018, section 5. It finds large-scale mode
collapse, and says nothing of quality: noise scores lowest. So the real images' own figure stands
beside it, and a generator does best that comes near it.

Below 176 pixels one smaller window serves all scales. The programs of these papers shrink it scale
by scale instead, so figures of small images are not to be set beside theirs: 525 real map tiles of
64 pixels score 0.49 here and 0.17 that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.realside import REAL_IMAGES, ByteImages, Details, RealImages, real_bytes

SCALES = 5  # Wang et al. 2003, with the weights that torchmetrics has from there
WINDOW, SIGMA = 11, 1.5
_PAIRS = 64  # compared at once


def window_of(height: int, width: int) -> int:
    """Pixels of the Gaussian window's side: the largest odd number, at most 11, that the last scale
    holds. Below 176 pixels (11 times 2⁴) it shrinks.

    Raises: MetricError below 48 pixels: a window of one pixel sees no structure.
    """
    coarsest = min(height, width) // 2 ** (SCALES - 1)
    window = min(WINDOW, coarsest - 1 + coarsest % 2)
    if window < 3:
        raise MetricError(f"metric ms-ssim: images of {height}x{width}; at least 48x48 is needed")
    return window


def circle(n: int, seed: int) -> Tensor:
    """n pairs (n, 2) of n images, each in two: neighbours in a random circle.

    Images that follow each other in a data set are alike; these do not.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return torch.stack((order, order.roll(1)), 1)


def similarities(images: Tensor, pairs: Tensor) -> Tensor:
    """MS-SSIM (P,), 0 to 1 (equal), of pairs (P, 2) of images (n, C, H, W), uint8.

    sigma shrinks with the window. Images are compared as numbers from 0 to 1; at the last scale
    they are mirrored at the border, as torchmetrics does.
    """
    # Takes seconds to import: not before someone asks for this figure.
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    window = window_of(images.shape[2], images.shape[3])
    found = []
    for part in pairs.split(_PAIRS):
        one, other = (images[side].float() / 255 for side in part.T)
        value = multiscale_structural_similarity_index_measure(
            one,
            other,
            kernel_size=window,
            sigma=SIGMA * window / WINDOW,
            data_range=1.0,
            reduction="none",
        )
        found.append(value)
    return torch.cat(found)


def mean_similarity(images: Tensor, seed: int = 0) -> float:
    """The mean over `circle`. Raises: MetricError for one image, or too small ones."""
    if len(images) < 2:
        raise MetricError(f"metric ms-ssim: {len(images)} image(s); at least two are needed")
    return float(similarities(images, circle(len(images), seed)).double().mean())


@dataclass(frozen=True)
class RealSimilarity:
    """What the real images score, and how many there are."""

    value: float
    n: int


class PairSimilarity:
    """The mean MS-SSIM of as many random pairs as there are images; `details`: the real images'.

    Less is more diverse, which is better down to the real images' figure and means nothing below.
    """

    name: ClassVar[str] = "ms-ssim"
    label = "MS-SSIM of pairs"
    better: ClassVar[str] = "min"
    needs_features: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False

    @staticmethod
    def real_side(judge: RealImages) -> RealSimilarity:
        return RealSimilarity(mean_similarity(real_bytes(judge)), judge.n)

    def __init__(self, real: RealSimilarity) -> None:
        self._real, self._kept = real, ByteImages(real.n)

    @property
    def n(self) -> int:
        return self._kept.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._kept.update(batch["output"])

    def result(self) -> float:
        return mean_similarity(self._kept.result())

    @property
    def details(self) -> Details:
        return {REAL_IMAGES: {self.label: self._real.value}}
