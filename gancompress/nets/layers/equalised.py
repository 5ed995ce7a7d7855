"""Equalised learning rate: weights of unit variance, scaled as they are used (Karras et al. 2018).

Training alone needs it: the scale is a parametrization, and folding it leaves plain convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear

GAIN = 2**0.5  # The gain of a layer whose rectifier halves the variance (He et al. 2015).


class Scale(nn.Module):
    """Times a constant: what a layer of He's initialisation would have as standard deviation."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scale


def fan_in(layer: Layer) -> int:
    """How many products each value of a layer's answer sums up.

    Of a depthwise convolution k^2: its groups count, not all of its channels. Of a transposed one
    that spreads a single pixel (in, out, k, k), each of whose k^2 answers sees it once, `in`.
    """
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels // layer.groups
    return layer.weight[0].numel()


def equalise(layer: Layer, gain: float = GAIN) -> None:
    """From now on `layer` computes with its weight times gain / fan_in^½.

    Karras et al. 2018, section 4.1; the weight itself is to be drawn from N(0, 1).
    """
    scale = Scale(gain * fan_in(layer) ** -0.5)
    register_parametrization(layer, "weight", scale, unsafe=True)  # it keeps shape and type
