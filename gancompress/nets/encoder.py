"""The image encoder that gives a GauGAN its styles (Park et al. 2019, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.layers.norms import InstanceNorm


class ImageEncoder(nn.Module):
    """Mean and logarithm of the variance of an image's style code.

    (N, in_channels, H, W) in [-1, 1] -> two of (N, style). Halved until the shorter side is 4 to 7,
    in as many layers as that takes: six at 256, as published. Made for images of `size` (H, W).
    Raises: ArchError if a side is shorter than 8.
    """

    def __init__(
        self, in_channels: int, style: int, size: tuple[int, int], width: int = 64
    ) -> None:
        super().__init__()
        layers = min(size).bit_length() - 3  # 2^layers <= side / 4
        if layers < 1:
            raise ArchError(f"style encoder: image size {list(size)}; 8 or more are allowed")
        widths = [in_channels, *(width * min(2**i, 8) for i in range(layers))]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False)
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.norms = nn.ModuleList(InstanceNorm(b) for b in widths[1:])
        height, breadth = (-(-side // 2**layers) for side in size)
        self.mean = nn.Linear(widths[-1] * height * breadth, style)
        self.variance = nn.Linear(widths[-1] * height * breadth, style)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        x = x.flatten(1)
        return self.mean(x), self.variance(x)


def drawn_style(mean: Tensor, variance: Tensor) -> Tensor:
    """A style code of each image, (N, style), from torch's random numbers; differentiable.

    variance: its logarithm (Kingma and Welling 2014, the reparametrisation).
    """
    return torch.randn_like(mean) * (0.5 * variance).exp() + mean


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """How far codes are from N(0, 1): Kullback-Leibler, summed over a code, mean over images.

    variance: its logarithm (Kingma and Welling 2014, appendix B).
    """
    return -0.5 * (1 + variance - mean.square() - variance.exp()).sum(1).mean()
