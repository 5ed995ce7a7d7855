"""Enlarging without learning: what super-resolution is compared with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Bicubic(nn.Module):
    """(N, C, H, W) in [-1, 1] -> (N, C, scale H, scale W), by Pillow's bicubic filter.

    That is the filter with a = -0.5 (Keys 1981), which torch has in its antialiased form alone;
    torch's other one has -0.75.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        large = F.interpolate(
            x.contiguous(), scale_factor=self.scale, mode="bicubic", antialias=True
        )
        return large.clamp(-1, 1)
