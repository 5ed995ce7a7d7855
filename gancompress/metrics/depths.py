"""The distance of images to their targets by what a network sees in parts of them."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.metrics.efficientnet import EffNetLite0Depths
from gancompress.metrics.levels import levels_of
from gancompress.metrics.pixel import OfTargets
from gancompress.metrics.realside import Needs, RealImages


class Depths(OfTargets):
    """The distance of each image to its target by means and deviations of a network's channels.

    They are taken at five depths in 4 x 4 cells of the image; the value is the root mean square of
    the differences at each depth, averaged over depths. Related to DISTS (Ding et al. 2020), which
    compares such statistics of whole images in VGG16 by learnt weights. It notices colours, blur,
    noise and shifts alike, see scripts/study_metrics.py; its network needs no download.
    """

    name: ClassVar[str] = "depths"
    label = "depths (EffNetLite0)"
    better: ClassVar[str] = "min"
    needs: ClassVar[Needs] = frozenset({"pairs", "depths"})

    @staticmethod
    def real_side(side: RealImages) -> TargetCells | None:  # type: ignore[override]
        """What the network sees in targets."""
        return None if side.depths is None else TargetCells(side.depths)

    def __init__(self, real: TargetCells) -> None:
        super().__init__()
        self._real = real

    def compared(self, images: Tensor, targets: Tensor) -> Tensor:
        net = self._real.net
        with torch.no_grad():
            return net.distances(net.cells(images), self._real(targets))


class TargetCells:
    """What the network sees in targets: it is asked once, as every generator has the same ones.

    Kept by the images' bytes, of KEPT images at most.
    """

    KEPT = 4096  # 64 KB each.

    def __init__(self, net: EffNetLite0Depths) -> None:
        self.net = net
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, targets: Tensor) -> Tensor:
        """Of targets (N, C, H, W)."""
        levels = levels_of(targets).to(torch.uint8).cpu()
        batch = hashlib.sha256(levels.numpy().tobytes()).digest()
        if batch not in self._kept:
            found = self.net.cells(targets)
            if sum(map(len, self._kept.values())) + len(targets) > self.KEPT:
                return found
            self._kept[batch] = found.cpu()
        return self._kept[batch].to(targets.device)
