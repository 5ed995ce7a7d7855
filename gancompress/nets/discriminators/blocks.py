"""What the discriminators of `named` are made of: convolutions side by side, and blocks.

Every convolution keeps the sides, has a bias if it is not said otherwise, and is followed by its
norm, where there is one, and ReLU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gancompress.nets.layers.batchnorm import BatchNorm

BASE = 32  # channels of the first block, where the name does not say them
MOST = 8  # times the first block's channels: no block has more


@dataclass(frozen=True)
class Norms:
    """Whether batch norms are live behind ordinary and behind depthwise-separable convolutions."""

    ordinary: bool
    depthwise: bool


class Shift(nn.Module):
    """A batch norm whose scale is fixed at 1: it only learns a shift for each channel.

    Where it is not live the shift alone is left, so that it has the same parameters.
    """

    def __init__(self, channels: int, live: bool) -> None:
        super().__init__()
        self.norm = BatchNorm(channels, affine=False) if live else nn.Identity()
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x) + self.shift[:, None, None]
        return out


class InceptionBlock(nn.Module):
    """conv1 and conv3 side by side on the same input, half of the `channels` from each."""

    def __init__(self, in_channels: int, channels: int, norms: Norms) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _conv(in_channels, channels // 2, kernel, norms) for kernel in (1, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class SeparableInception(nn.Module):
    """conv1 beside a conv1 with a depthwise-separable 3x3 behind it.

    Each conv1 makes half of the `channels`. The pointwise convolution makes `multiplier` channels
    of one; behind it and behind the depthwise one is a norm that has a shift. (1 + multiplier) / 2
    times `channels` in all.
    """

    def __init__(self, in_channels: int, channels: int, multiplier: int, norms: Norms) -> None:
        super().__init__()
        half = channels // 2
        self.plain = _conv(in_channels, half, 1, norms)
        self.spatial = nn.Sequential(
            *_conv(in_channels, half, 1, norms),
            nn.Conv2d(half, half, 3, padding=1, groups=half),
            Shift(half, norms.depthwise),
            nn.ReLU(),
            nn.Conv2d(half, multiplier * half, 1),
            Shift(multiplier * half, norms.depthwise),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.plain(x), self.spatial(x)], 1)


class DenseBlock(nn.Module):
    """Layers that each add `growth` channels to all before them, then few channels, half as large.

    Huang et al. 2017 (densely connected networks), of `InceptionBlock`s; average pooling.
    """

    def __init__(self, in_channels: int, growth: int, layers: int, norms: Norms) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            InceptionBlock(in_channels + i * growth, growth, norms) for i in range(layers)
        )
        self.end = nn.Sequential(
            InceptionBlock(in_channels + layers * growth, growth // 4, norms), nn.AvgPool2d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        out: Tensor = self.end(x)
        return out


class Trunk(nn.Module):
    """Blocks one after the other: (N, C, H, W) -> what each of them makes, (N, C', H', W')."""

    def __init__(self, blocks: list[nn.Module], values: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.values = values  # The number of values that the last block gives for an image.

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found


def plain(in_channels: int, size: tuple[int, int], norms: Norms) -> Trunk:
    """conv3 of 32, 64, 128 and 256 channels."""

    def block(a: int, b: int) -> tuple[nn.Module, int]:
        return _conv(a, b, 3, norms), b

    return _halving(block, in_channels, BASE, size)


def separable(in_channels: int, size: tuple[int, int], norms: Norms) -> Trunk:
    """`plain`, every conv3 a depthwise one without bias or norm and a conv1: the same but for that.

    No activation between the two: in the first block one channel is all that there is of gray.
    """

    def block(a: int, b: int) -> tuple[nn.Module, int]:
        depthwise = nn.Conv2d(a, a, 3, padding=1, groups=a, bias=False)
        return nn.Sequential(depthwise, *_conv(a, b, 1, norms)), b

    return _halving(block, in_channels, BASE, size)


def inception(in_channels: int, size: tuple[int, int], norms: Norms, channels: int) -> Trunk:
    """`InceptionBlock`s, the first of `channels`."""

    def block(a: int, b: int) -> tuple[nn.Module, int]:
        return InceptionBlock(a, b, norms), b

    return _halving(block, in_channels, channels, size)


def separable_inception(
    in_channels: int, size: tuple[int, int], norms: Norms, multiplier: int
) -> Trunk:
    """`SeparableInception`s."""

    def block(a: int, b: int) -> tuple[nn.Module, int]:
        return SeparableInception(a, b, multiplier, norms), b // 2 * (1 + multiplier)

    return _halving(block, in_channels, BASE, size)


def dense(in_channels: int, size: tuple[int, int], norms: Norms, growth: int, layers: int) -> Trunk:
    """A `SeparableInception` as wide as the growth at full size, then `DenseBlock`s."""
    blocks: list[nn.Module] = [SeparableInception(in_channels, growth, 1, norms)]
    channels, sides = growth, size
    while min(sides) >= 4:
        blocks.append(DenseBlock(channels, growth, layers, norms))
        channels, sides = growth // 4, (sides[0] // 2, sides[1] // 2)
    return Trunk(blocks, channels * sides[0] * sides[1])


# name -> trunk of (in_channels, (height, width), norms, the numbers of the name)
FORMS: dict[str, Callable[..., Trunk]] = {
    "plain": plain,
    "separable": separable,
    "inception": inception,
    "separable-inception": separable_inception,
    "dense": dense,
}


def _halving(
    block: Callable[[int, int], tuple[nn.Module, int]],
    in_channels: int,
    base: int,
    size: tuple[int, int],
) -> Trunk:
    """Blocks of base, 2 * base, … channels, each halving the sides, until the shorter one is 2.

    block: (channels that it takes, its `base`) -> it and the channels that it makes.
    """
    blocks: list[nn.Module] = []
    channels, sides = in_channels, size
    while min(sides) > 2:
        part, made = block(channels, base * min(2 ** len(blocks), MOST))
        blocks.append(nn.Sequential(part, nn.MaxPool2d(2, ceil_mode=True)))
        channels, sides = made, (-(-sides[0] // 2), -(-sides[1] // 2))
    return Trunk(blocks, channels * sides[0] * sides[1])


def _conv(in_channels: int, channels: int, kernel: int, norms: Norms) -> nn.Sequential:
    """An ordinary convolution, its norm, which learns nothing, and ReLU."""
    norm = [BatchNorm(channels, affine=False)] if norms.ordinary else []
    conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2)
    return nn.Sequential(conv, *norm, nn.ReLU())
