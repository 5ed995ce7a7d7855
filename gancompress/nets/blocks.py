"""Building blocks shared by the generator families."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gancompress.nets.norms import InstanceNorm


class SeparableConv(nn.Module):
    """Depthwise 3x3, instance norm, pointwise 1x1: the "mobile" convolution of GAN compression.

    No activation between the two; both have a bias (Li et al. 2020, GAN Compression).
    (N, in_channels, H, W) -> (N, out_channels, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = dense_conv(in_channels, in_channels, groups=in_channels)
        self.norm = InstanceNorm(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.norm(self.depthwise(x)))
        return out


def dense_conv(in_channels: int, out_channels: int, kernel: int = 3, groups: int = 1) -> nn.Conv2d:
    """A same-size convolution with reflection padding."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        padding=kernel // 2,
        padding_mode="reflect",
        groups=groups,
    )


OPERATORS: dict[str, Callable[[int, int], nn.Module]] = {
    "dense": dense_conv,
    "separable": SeparableConv,
}


class Stage(nn.Module):
    """Convolution, instance norm, ReLU."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), both convolutions 3x3 by the same operator.

    (N, channels, H, W) -> the same shape; `inner` channels between the two convolutions.
    """

    def __init__(self, channels: int, inner: int, op: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = OPERATORS[op](channels, inner)
        self.norm1 = InstanceNorm(inner)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = OPERATORS[op](inner, channels)
        self.norm2 = InstanceNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(torch.relu(self.norm1(self.conv1(x))))  # (N, inner, H, W)
        return x + self.norm2(self.conv2(hidden))


@torch.no_grad()
def init_normal(net: nn.Module, generator: torch.Generator, std: float = 0.02) -> None:
    """Draws every convolution's weight from N(0, std^2) and zeroes its bias (Isola et al. 2017)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.normal_(0.0, std, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
