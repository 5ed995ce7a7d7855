"""Networks of ncnn: their layers (.param, text) and the weights of their convolutions (.bin).

A .bin file holds the weights of the layers that have some, in the order of the .param file. Of a
convolution: a mark of 4 bytes, its kernels (O, I, KH, KW), padded to a multiple of 4 bytes, and its
bias in 32 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gancompress.errors import CheckpointError

MAGIC = "7767517"
# Marks of kernels in 16 and in 32 bits; there are others, of quantised ones.
FLOAT16, FLOAT32 = 0x01306B47, 0
# Keys of a convolution's settings.
_OUT, _WIDTH, _BIAS, _SIZE, _ACTIVATION, _HEIGHT = 0, 1, 5, 6, 9, 11
CONVOLUTION = "Convolution"
# Layers that have no weights, of those that are read.
_BARE = {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp"}


@dataclass(frozen=True)
class NcnnLayer:
    """A line of a .param file; settings: by their numbers, as text."""

    kind: str
    name: str
    settings: dict[int, str]

    def integer(self, key: int, default: int = 0) -> int:
        return int(self.settings.get(key, default))

    @property
    def activation(self) -> int:
        """The number of what a convolution applies to its answer; 0: nothing."""
        return self.integer(_ACTIVATION)


@dataclass(frozen=True)
class Convolution:
    """Kernels (O, I, KH, KW) and a bias (O,) of a layer, float32."""

    layer: NcnnLayer
    weight: Tensor
    bias: Tensor


def read_layers(path: Path) -> list[NcnnLayer]:
    """The layers of a .param file in their order. Raises: CheckpointError naming the file."""
    try:
        magic, _, *lines = path.read_text("ascii").splitlines()
        if magic.strip() != MAGIC:
            raise ValueError
        return [_layer(line) for line in lines if line.strip()]
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:  # Text that is no number raises it too.
        raise CheckpointError(f"{path}: not a .param file of ncnn; fetch it again") from None


def _layer(line: str) -> NcnnLayer:
    kind, name, inputs, outputs, *rest = line.split()
    settings = (item.split("=") for item in rest[int(inputs) + int(outputs) :])
    return NcnnLayer(kind, name, {int(key): value for key, value in settings})


def read_convolutions(layers: Sequence[NcnnLayer], path: Path) -> list[Convolution]:
    """The weights in a .bin file. Raises: CheckpointError naming the file.

    layers: of the .param file beside it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    found, at = list[Convolution](), 0
    for layer in layers:
        if layer.kind == CONVOLUTION:
            convolution, at = _convolution(layer, content, at, path)
            found.append(convolution)
        elif layer.kind not in _BARE:
            raise CheckpointError(
                f"{path}: layer {layer.name} is a {layer.kind}; {CONVOLUTION} and "
                f"{', '.join(sorted(_BARE))} are read"
            )
    if at != len(content):
        raise CheckpointError(f"{path}: {len(content) - at} bytes too many; fetch it again")
    return found


def _convolution(layer: NcnnLayer, content: bytes, at: int, path: Path) -> tuple[Convolution, int]:
    """A layer's weights, which begin at a byte of the file, and the byte behind them."""
    mark = int.from_bytes(content[at : at + 4], "little")
    if mark not in (FLOAT16, FLOAT32):
        raise CheckpointError(
            f"{path}: layer {layer.name} has kernels of kind {mark:#x}; those of 16 and 32 bits "
            "that are not quantised are read"
        )
    kind = "<f2" if mark == FLOAT16 else "<f4"
    try:
        made, size, across = layer.integer(_OUT), layer.integer(_SIZE), layer.integer(_WIDTH)
        weight = np.frombuffer(content, kind, size, at + 4).astype(np.float32)
        at += 4 + -(-weight.size * np.dtype(kind).itemsize // 4) * 4
        has_bias = bool(layer.integer(_BIAS))
        bias = np.frombuffer(content, "<f4", made, at) if has_bias else np.zeros(made, np.float32)
        at += 4 * made * has_bias
        kernels = weight.reshape(made, -1, layer.integer(_HEIGHT, across), across)
    except ValueError:
        raise CheckpointError(
            f"{path}: truncated, or not of the .param file beside it; fetch it again"
        ) from None
    tensors = torch.from_numpy(kernels), torch.from_numpy(bias.astype(np.float32))
    return Convolution(layer, *tensors), at
