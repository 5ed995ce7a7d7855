"""MS-SSIM of random pairs of generated images: how much they look alike.

Odena et al. 2017 (AC-GAN), section 4.2; Karras et al. 2018, section 5. It finds large-scale mode
collapse, and says nothing of quality: noise scores lowest. So the real images' own value stands
beside it, and a generator does best that comes near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.realside import (
    REAL_IMAGES,
    ByteImages,
    Details,
    Needs,
    RealImages,
    real_bytes,
)
from gancompress.metrics.ssim import ssim_terms

# The weights of the five scales (Wang et al. 2003, section 3.2).
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SCALES = len(WEIGHTS)
_PAIRS = 64  # compared at once


def circle(n: int, seed: int) -> Tensor:
    """n pairs (n, 2) of n images, each in two: neighbours in a random circle.

    Images that follow each other in a data set are alike; these do not.
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return torch.stack((order, order.roll(1)), 1)


def similarities(images: Tensor, pairs: Tensor) -> Tensor:
    """MS-SSIM (P,), 0 to 1 (equal), of pairs (P, 2) of images (n, C, H, W), uint8.

    Wang et al. 2003, eq. 7: contrast and structure at every scale, luminance at the last, each the
    mean over places and channels and at least 0. Only whole windows count, nothing is padded.
    Raises: MetricError for images of less than 16 pixels, of which nothing is left at the last.
    """
    height, width = images.shape[2:]
    if min(height, width) < 2 ** (SCALES - 1):
        least = 2 ** (SCALES - 1)
        raise MetricError(
            f"metric ms-ssim: images of {height}x{width}; at least {least}x{least} is needed"
        )
    found = []
    for part in pairs.split(_PAIRS):
        one, other = (images[side].float() / 255 for side in part.T)
        product = torch.ones(len(part))
        for scale, weight in enumerate(WEIGHTS):
            if scale:
                one, other = (F.avg_pool2d(x, 2) for x in (one, other))
            luminance, contrast = ssim_terms(one, other)
            factor = contrast if scale < SCALES - 1 else luminance * contrast
            product *= factor.mean((1, 2, 3)).clamp_min(0) ** weight
        found.append(product)
    return torch.cat(found)


def mean_similarity(images: Tensor, seed: int = 0) -> float:
    """The mean over `circle`. Raises: MetricError for one image, or too small ones, see above."""
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
    needs: ClassVar[Needs] = frozenset()

    @staticmethod
    def real_side(side: RealImages) -> RealSimilarity:
        return RealSimilarity(mean_similarity(real_bytes(side)), side.n)

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
