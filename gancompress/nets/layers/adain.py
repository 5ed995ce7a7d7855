"""Blocks of a decoder that a style code steers (Huang and Belongie 2017; Huang et al. 2018)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.layers.blocks import OPERATORS, Conv
from gancompress.nets.layers.norms import InstanceNorm


class AdaIN(nn.Module):
    """Instance norm whose scale and shift are linear in a code (N, codes), per image.

    The published program makes those of all norms by one matrix; here each norm has its own rows of
    it, so that they go with the channels that they steer.
    """

    def __init__(self, channels: int, codes: int) -> None:
        super().__init__()
        self.norm = InstanceNorm(channels)
        self.shift = nn.Linear(codes, channels)
        self.scale = nn.Linear(codes, channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        shift, scale = self.shift(code)[..., None, None], self.scale(code)[..., None, None]
        out: Tensor = torch.addcmul(shift, self.norm(x), scale).to(x.dtype)  # (N, C, H, W)
        return out


class AdaptiveBlock(nn.Module):
    """x + adain(conv(relu(adain(conv(x))))), both convolutions by the same operator.

    `first` leads to the inner channels, the second convolution back from them.
    """

    def __init__(self, op: str, first: Conv, codes: int) -> None:
        super().__init__()
        second = replace(first, in_channels=first.out_channels, out_channels=first.in_channels)
        self.conv1 = OPERATORS[op](first)
        self.norm1 = AdaIN(first.out_channels, codes)
        self.conv2 = OPERATORS[op](second)
        self.norm2 = AdaIN(first.in_channels, codes)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        hidden = torch.relu(self.norm1(self.conv1(x), code))
        out: Tensor = x + self.norm2(self.conv2(hidden), code)
        return out


class LayerNorm(nn.Module):
    """(x - mean) / (std + eps) over all values of an image, then a weight and a bias per channel.

    std is unbiased, and eps is added to it, not to the variance: as MUNIT has it. Unlike instance
    norm it keeps what AdaIN made of the channels' means. (N, C, H, W); works in float32 at least.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        # A sum over an image is too long for half precision.
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(values, (1, 2, 3), keepdim=True)  # unbiased
        values = (values - mean) / (variance.sqrt() + self.eps)
        shift, scale = self.bias[:, None, None], self.weight[:, None, None]
        return torch.addcmul(shift, values, scale).to(x.dtype)


class Enlarging(nn.Module):
    """Nearest neighbours twice as large, convolution by an operator, layer norm, ReLU.

    (N, a, H, W) -> (N, b, 2H, 2W).
    """

    def __init__(self, op: str, conv: Conv) -> None:
        super().__init__()
        self.conv = OPERATORS[op](conv)
        self.norm = LayerNorm(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        large = F.interpolate(x, scale_factor=2)
        return torch.relu(self.norm(self.conv(large)))
