"""A segmentation network that knows its classes by their colours, exactly, and what it judges."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.data.labelchannels import label_channels
from gancompress.metrics.options import SegmentationOptions
from gancompress.metrics.segnets import SegmentationNet

NAMES = ("road", "sky", "tree", "car", "sea")
# Corners of the colour cube: each is nearer to itself than to any other.
COLOURS = torch.tensor(
    [[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1], [-1, 1, 1]]
)
PLAIN: dict[str, Any] = {"range": "minus-one-one"}  # the network gets images as they are


def colour_net(classes: int = 5) -> nn.Module:
    """Scores of each class: largest where a pixel, in [-1, 1], has its colour."""
    net = nn.Conv2d(3, classes, 1, bias=False)
    net.weight.data = COLOURS[:classes, :, None, None].clone()
    return net.eval()


def segmenter(path: Path, kind: str, **keys: Any) -> SegmentationNet:
    """The network in a file, with more of metrics.segmentation."""
    return SegmentationNet(SegmentationOptions(file=str(path), kind=kind, **(keys or PLAIN)))


def torchscript(net: nn.Module, path: Path, example: Tensor | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
        example = torch.zeros(1, 3, 8, 8) if example is None else example
        torch.jit.trace(net, example).save(path)
    return path


def program(net: nn.Module, path: Path, batch: int = 0, side: int = 0) -> Path:
    """0: free."""
    dim = torch.export.Dim
    axes = {0: dim("n"), 2: dim("h"), 3: dim("w")}
    free = {a: d for a, d in axes.items() if not (batch if a == 0 else side)}
    example = torch.zeros(batch or 2, 3, side or 8, side or 8)
    torch.export.save(torch.export.export(net, (example,), dynamic_shapes=(free,)), path)
    return path


def maps(n: int = 6, classes: int = 5, seed: int = 0, size: tuple[int, int] = (8, 10)) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, classes, (n, *size)))


def painted(classes: Tensor) -> Tensor:
    """Images (N, 3, H, W) that show these classes (N, H, W)."""
    return COLOURS[classes].permute(0, 3, 1, 2)


def channels(classes: Tensor, count: int = 5) -> Tensor:
    return label_channels(classes.numpy(), count)
