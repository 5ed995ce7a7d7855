"""LPIPS: how different two images look, by the features of a network (Zhang et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.perceptual import PerceptualNet
from gancompress.metrics.pixel import OfTargets
from gancompress.metrics.realside import Needs, RealImages

LEAST_SIDE = 32  # Smaller images leave the last pooling nothing.


class LPIPS(OfTargets):
    """The distance of each image to its target as people see it: from 0 (equal)."""

    name: ClassVar[str] = "lpips"
    better: ClassVar[str] = "min"
    needs: ClassVar[Needs] = frozenset({"pairs", "perceptual"})

    @staticmethod
    def real_side(side: RealImages) -> PerceptualNet | None:  # type: ignore[override]
        """The network. Raises: MetricError if there is none."""
        if side.perceptual is None:
            raise MetricError("metric lpips: no network was given; give metrics.lpips=FILE")
        return side.perceptual

    def __init__(self, real: PerceptualNet) -> None:
        super().__init__()
        self._net = real

    @property
    def label(self) -> str:
        return self._net.label

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        if min(images.shape[-2:]) < LEAST_SIDE:
            raise MetricError(
                f"metric lpips: images of {images.shape[-2]}x{images.shape[-1]}; at least "
                f"{LEAST_SIDE}x{LEAST_SIDE} is needed"
            )
        distances: Tensor = self._net(images, targets)
        return distances
