"""Real-ESRGAN's generator (Wang et al. 2021) with the weights of ncnn's files.

It is ESRGAN's network without norms (Wang et al. 2018, figure 4), trained for photographs or for
drawings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError
from gancompress.importers.ncnn import CONVOLUTION, NcnnLayer, read_convolutions, read_layers

SLOPE = 0.2  # The slope of leaky ReLU below 0.
SCALING = 0.2  # What each block adds is multiplied by it.
GROWTH = 32
_DENSE, _RESIDUAL = 5, 3  # convolutions of a dense block, dense blocks of a residual one
_ENDS = 6  # convolutions outside of the blocks
_ACTIVATED = 2  # ncnn's number of leaky ReLU


def _conv(taken: int, made: int) -> nn.Conv2d:
    return nn.Conv2d(taken, made, 3, padding=1)


class DenseBlock(nn.Module):
    """Five convolutions; each takes what came in and what all before it made."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(_DENSE):
            made = width if number == _DENSE - 1 else growth
            self.add_module(f"conv{number + 1}", _conv(width + number * growth, made))

    def forward(self, x: Tensor) -> Tensor:
        *convs, last = self.children()
        seen = [x]
        for conv in convs:
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), SLOPE))
        out: Tensor = last(torch.cat(seen, 1))
        return SCALING * out + x


class ResidualBlock(nn.Module):
    """Three dense blocks, and a path around all of them."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(_RESIDUAL):
            self.add_module(f"rdb{number + 1}", DenseBlock(width, growth))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.children():
            y = block(y)
        return SCALING * y + x


class RRDBNet(nn.Module):
    """(N, 3, H, W) -> (N, 3, 4H, 4W), images in [0, 1]."""

    def __init__(self, blocks: int, width: int = 64, growth: int = GROWTH) -> None:
        super().__init__()
        self.conv_first = _conv(3, width)
        self.body = nn.Sequential(*(ResidualBlock(width, growth) for _ in range(blocks)))
        self.conv_body = _conv(width, width)
        self.conv_up1, self.conv_up2 = _conv(width, width), _conv(width, width)
        self.conv_hr, self.conv_last = _conv(width, width), _conv(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0, mode="nearest")), SLOPE)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE))
        return out


def read_realesrgan(files: Sequence[Path]) -> nn.Module:
    """The generator in a .param and a .bin file, in evaluation.

    Raises: CheckpointError for files of another network.
    """
    param, weights = files
    layers = read_layers(param)
    found = read_convolutions(layers, weights)
    blocks, rest = divmod(len(found) - _ENDS, _DENSE * _RESIDUAL)
    if rest or blocks < 1 or _kinds(layers) != _expected(blocks):
        raise CheckpointError(f"{param}: not a generator of Real-ESRGAN that enlarges 4 times")
    first, second = found[0].weight, found[1].weight
    net = RRDBNet(blocks, len(first), len(second))
    state: dict[str, Tensor] = {}
    for (name, module), one in zip(_convolutions_of(net), found, strict=True):
        if module.weight.shape != one.weight.shape:
            raise CheckpointError(
                f"{param}: {one.layer.name} is {tuple(one.weight.shape)}, where Real-ESRGAN's "
                f"{name} is {tuple(module.weight.shape)}"
            )
        state |= {f"{name}.weight": one.weight, f"{name}.bias": one.bias}
    net.load_state_dict(state)
    return net.eval()


def _convolutions_of(net: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d)]


def _kinds(layers: Sequence[NcnnLayer]) -> list[str]:
    """The layers but those that only hand on, those with a leaky ReLU marked."""
    return [
        f"{layer.kind}+" if layer.kind == CONVOLUTION and layer.activation == _ACTIVATED
        else layer.kind
        for layer in layers if layer.kind not in ("Input", "Split")
    ]  # fmt: skip


def _expected(blocks: int) -> list[str]:
    """What `_kinds` of a generator of so many blocks are."""
    plain, active = CONVOLUTION, f"{CONVOLUTION}+"
    dense = [active, *["Concat", active] * (_DENSE - 2), "Concat", plain, "Eltwise"]
    residual = [*dense * _RESIDUAL, "Eltwise"]
    ups = ["Interp", active] * 2
    return [plain, *residual * blocks, plain, "BinaryOp", *ups, active, plain]
