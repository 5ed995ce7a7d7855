"""Building blocks shared by the generator families."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gancompress.nets.layers.bands import band_conv, band_norm
from gancompress.nets.layers.equalised import GAIN, Layer, fan_in
from gancompress.nets.layers.features import ONE, Bands, Features, added, converted, per_band
from gancompress.nets.layers.plain import PaddingMode


@dataclass(frozen=True)
class Conv:
    """One convolution of a network, whatever operator carries it out.

    `norm`, a key of NORMS, is that of the stage; the other names are torch's.
    """

    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    padding_mode: PaddingMode = "zeros"
    bias: bool = True
    norm: str = "instance"
    transposed: bool = False
    output_padding: int = 0
    bare: bool = False  # separable: depthwise without bias, pointwise with one, nothing between
    bands_in: Bands = ONE
    bands_out: Bands = ONE


def dense(conv: Conv) -> nn.Module:
    """The ordinary convolution, OctConv or M-OctConv, by its splits."""
    return _spatial(conv, groups=1)


def _spatial(conv: Conv, groups: int) -> nn.Module:
    return band_conv(
        conv.in_channels,
        conv.out_channels,
        conv.kernel,
        bands_in=conv.bands_in,
        bands_out=conv.bands_out,
        stride=conv.stride,
        padding=conv.padding,
        padding_mode=conv.padding_mode,
        bias=conv.bias,
        groups=groups,
        transposed=conv.transposed,
        output_padding=conv.output_padding,
    )


class SeparableConv(nn.Module):
    """Depthwise, instance norm, pointwise 1x1: the "mobile" convolution of GAN compression.

    No activation between the two; both have a bias (Li et al. 2020, GAN Compression). A bare one
    has no norm between them and a bias behind the second alone (Karwande et al. 2022). Split
    features: the depthwise convolution stays within each band, the pointwise one mixes bands.
    """

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        inner = replace(
            conv,
            out_channels=conv.in_channels,
            bands_out=conv.bands_in,
            bias=conv.bias and not conv.bare,
        )
        self.depthwise = _spatial(inner, groups=conv.in_channels)
        self.norm = (
            nn.Identity()
            if conv.bare
            else band_norm(conv.in_channels, conv.bands_in, _inner(conv.norm))
        )
        self.pointwise = _pointwise(conv)

    def forward(self, x: Features) -> Features:
        out: Features = self.pointwise(self.norm(self.depthwise(x)))
        return out


class SeparableUp(nn.Module):
    """Pointwise 1x1, instance norm, transposed depthwise: the other order, for enlarging.

    The pointwise convolution, nearly all of the work, then runs at the lower resolution: for 3x3
    kernels of stride 2 a ninth of the dense one's MACs, not four ninths.
    """

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        inner = replace(conv, in_channels=conv.out_channels, bands_in=conv.bands_out)
        self.pointwise = _pointwise(conv)
        self.norm = band_norm(conv.out_channels, conv.bands_out, _inner(conv.norm))
        self.depthwise = _spatial(inner, groups=conv.out_channels)

    def forward(self, x: Features) -> Features:
        out: Features = self.depthwise(self.norm(self.pointwise(x)))
        return out


def _inner(norm: str) -> str:
    """The norm between the two parts: of one image, whatever the stage's (Li et al. 2020)."""
    return "affine" if norm == "affine" else "instance"


def _pointwise(conv: Conv) -> nn.Module:
    return band_conv(
        conv.in_channels,
        conv.out_channels,
        1,
        bands_in=conv.bands_in,
        bands_out=conv.bands_out,
        bias=conv.bias,
    )


def separable(conv: Conv) -> nn.Module:
    return SeparableUp(conv) if conv.transposed else SeparableConv(conv)


def entered(conv: Conv) -> Conv:
    """`conv` from the split to which its input is converted first; mostly that is its own.

    Between undivided features and three bands one band would have no edge. The finer of the two
    folds middle and low band into one then (as Tobar and Torres 2020 do in a layer of its own).
    """
    ends = conv.bands_in, conv.bands_out
    if abs(ends[0].count - ends[1].count) < 2:
        return conv
    split = max(ends, key=lambda bands: bands.count)
    return replace(conv, bands_in=Bands(split.alpha + split.beta))


OPERATORS: dict[str, Callable[[Conv], nn.Module]] = {"dense": dense, "separable": separable}


class Stage(nn.Module):
    """Convolution by an operator, norm, ReLU; the input may be split in any way."""

    def __init__(self, op: str, conv: Conv) -> None:
        super().__init__()
        conv = entered(conv)
        self.bands = conv.bands_in
        self.conv = OPERATORS[op](conv)
        self.norm = band_norm(conv.out_channels, conv.bands_out, conv.norm)

    def forward(self, x: Features) -> Features:
        return per_band(torch.relu, self.norm(self.conv(converted(x, self.bands))))


class ResidualBlock(nn.Module):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), both convolutions by the same operator.

    `first` leads to the inner channels; the second convolution leads back from them, in the split
    of `first.bands_out`, to which x is converted where its own differs. `activation` takes the
    place of relu, for each band by itself.
    """

    def __init__(
        self,
        op: str,
        first: Conv,
        dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        super().__init__()
        first = entered(first)
        self.enters, self.bands = first.bands_in, first.bands_out
        second = replace(
            first,
            in_channels=first.out_channels,
            out_channels=first.in_channels,
            bands_in=self.bands,
        )
        self.conv1 = OPERATORS[op](first)
        self.norm1 = band_norm(first.out_channels, self.bands, first.norm)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.conv2 = OPERATORS[op](second)
        self.norm2 = band_norm(first.in_channels, self.bands, first.norm)

    def forward(self, x: Features) -> Features:
        hidden = per_band(self.activation, self.norm1(self.conv1(converted(x, self.enters))))
        hidden = per_band(self.dropout, hidden)
        return added(converted(x, self.bands), self.norm2(self.conv2(hidden)))


@torch.no_grad()
def init_normal(net: nn.Module, generator: torch.Generator, std: float = 0.02) -> None:
    """Draws every convolution's weight from N(0, std^2) and zeroes its bias (Isola et al. 2017)."""
    for weight in _weights_without_biases(net):
        weight.normal_(0.0, std, generator=generator)


@torch.no_grad()
def init_kaiming(net: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 2 / fan_in), biases zero (He et al. 2015; MUNIT's generators)."""
    for weight in _weights_without_biases(net):
        weight.normal_(0.0, (2 / weight[0].numel()) ** 0.5, generator=generator)


@torch.no_grad()
def init_xavier(net: nn.Module, generator: torch.Generator, gain: float = 0.02) -> None:
    """Weights from N(0, gain^2 * 2 / (fan_in + fan_out)), biases zero (SPADE's networks)."""
    for weight in _weights_without_biases(net):
        fans = weight[0].numel() + weight.numel() // weight.shape[1]
        weight.normal_(0.0, gain * (2 / fans) ** 0.5, generator=generator)


@torch.no_grad()
def init_equalised(net: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 1) where their rate is equalised, elsewhere from N(0, 2 / fan_in); biases
    zero (Karras et al. 2018, section 4.1)."""
    for weight in _weights_without_biases(net):
        weight.normal_(0.0, 1.0, generator=generator)
    for module in net.modules():
        if isinstance(module, Layer) and not is_parametrized(module, "weight"):
            module.weight.mul_(GAIN * fan_in(module) ** -0.5)


def _weights_without_biases(net: nn.Module) -> Iterator[Tensor]:
    """Every weight of a convolution or dense layer, below its parametrizations; zeroes biases."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if module.bias is not None:
                module.bias.zero_()
            if is_parametrized(module, "weight"):
                originals: Any = module.parametrizations
                yield originals.weight.original
            else:
                yield module.weight


# First weights by name, in place: (network, random numbers).
INITS: dict[str, Callable[[nn.Module, torch.Generator], None]] = {
    "normal": init_normal,
    "kaiming": init_kaiming,
    "xavier": init_xavier,
    "equalised": init_equalised,
}
