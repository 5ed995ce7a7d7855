"""The discriminator of progressive growing (Karras et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.families.progan import BASE, SLOPE, levels_of, unit_of
from gancompress.nets.layers.depthwise import DepthwiseConv
from gancompress.nets.layers.equalised import GAIN, equalise

GROUP = 4  # images whose spread the last level sees (Karras et al. 2018, section 3)


class _Separable(nn.Sequential):
    """3x3 as depthwise without a bias, then pointwise with one."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(DepthwiseConv(a), nn.Conv2d(a, b, 1))


def _conv(op: str, a: int, b: int) -> nn.Module:
    return _Separable(a, b) if op == "separable" else nn.Conv2d(a, b, 3, padding=1)


class ProgressiveDiscriminator(nn.Module):
    """The generator mirrored: one score for each image.

    (N, in_channels, side, side) in [-1, 1] -> (N, 1). `width` is the generator's, in the same unit
    at every level, 16 as published; `op` dense or separable is that of all 3x3 convolutions. Every
    level has a layer that takes images of its size, of which one or two are used at a time. All
    layers are under an equalised learning rate.
    Raises: ArchError for a side that is not 4 * 2^k, or an unknown operator.
    """

    def __init__(self, in_channels: int, side: int, width: int = 16, op: str = "dense") -> None:
        super().__init__()
        if op not in ("dense", "separable"):
            raise ArchError(f"discriminator: operator {op!r}; dense or separable is allowed")
        widths = [width * unit_of(i) for i in range(levels_of(side))]
        first = widths[0]
        self.image = nn.ModuleList(nn.Conv2d(in_channels, c, 1) for c in widths)
        self.level = nn.ModuleList(  # two convolutions each
            nn.ModuleList([_conv(op, b, b), _conv(op, b, a)])
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.last = _conv(op, first + 1, first)
        self.dense = nn.ModuleList([nn.Linear(first * BASE * BASE, first), nn.Linear(first, 1)])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                is_linear = layer is self.dense[-1] or isinstance(layer, DepthwiseConv)
                equalise(layer, 1.0 if is_linear else GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return self.grown(x, len(self.level), 1.0)

    def grown(self, x: Tensor, level: int, fade: float) -> Tensor:
        """The scores (N, 1) of images of `level`, (N, C, 4 * 2^level, ...).

        fade: of what the level itself makes of the images; the rest is of what the level below
        makes of them at half the size (Karras et al. 2018, figure 2).
        """
        features = _leaky(self.image[level](x))
        for i in range(level, 0, -1):
            for conv in self.level[i - 1].children():
                features = _leaky(conv(features))
            features = F.avg_pool2d(features, 2)
            if i == level and fade < 1:
                below = _leaky(self.image[level - 1](F.avg_pool2d(x, 2)))
                features = torch.lerp(below, features, fade)
        features = _leaky(self.last(with_spread(features)))  # (N, C, 4, 4)
        hidden = _leaky(self.dense[0](features.flatten(1)))
        scores: Tensor = self.dense[1](hidden)
        return scores


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def with_spread(x: Tensor) -> Tensor:
    """Behind the channels (N, C, H, W), one of how far images of a group are apart.

    The standard deviation over a group of (at most) four images, mean over channels and places
    (Karras et al. 2018, section 3): a generator that makes all images alike shows.
    """
    n, c, h, w = x.shape
    group = math.gcd(n, GROUP)
    # Images i, i + n / group, ... are a group, as in the published program.
    apart = x.reshape(group, n // group, c, h, w).var(0, correction=0)
    spread = (apart + 1e-8).sqrt().mean((1, 2, 3))  # (n / group,)
    return torch.cat((x, spread.repeat(group)[:, None, None, None].expand(n, 1, h, w)), 1)
