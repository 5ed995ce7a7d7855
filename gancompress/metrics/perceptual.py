"""The networks of LPIPS: AlexNet or VGG16, and what weighs their features (Zhang et al. 2018)."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError, MetricError
from gancompress.nets.vgg import RGB_MEAN, RGB_STD
from gancompress.storage.statedicts import load_state_dict

_SMALL = 1e-10  # added to the length of a place's features

# A layer: its number in torchvision's `features`, kernel, stride, padding, channels; "pool" between
# them, and "look" behind the rectified features that are compared.
_Layer = tuple[int, int, int, int, int]
_ALEX: tuple[_Layer | str, ...] = (
    (0, 11, 4, 2, 64), "look", "pool",
    (3, 5, 1, 2, 192), "look", "pool",
    (6, 3, 1, 1, 384), "look",
    (8, 3, 1, 1, 256), "look",
    (10, 3, 1, 1, 256), "look",
)  # fmt: skip
_VGG: tuple[_Layer | str, ...] = (
    (0, 3, 1, 1, 64), (2, 3, 1, 1, 64), "look", "pool",
    (5, 3, 1, 1, 128), (7, 3, 1, 1, 128), "look", "pool",
    (10, 3, 1, 1, 256), (12, 3, 1, 1, 256), (14, 3, 1, 1, 256), "look", "pool",
    (17, 3, 1, 1, 512), (19, 3, 1, 1, 512), (21, 3, 1, 1, 512), "look", "pool",
    (24, 3, 1, 1, 512), (26, 3, 1, 1, 512), (28, 3, 1, 1, 512), "look",
)  # fmt: skip
# By the name of the heads in the package lpips: what it is called, its layers, its pooling.
_NETS: Mapping[str, tuple[str, tuple[_Layer | str, ...], tuple[int, int]]] = {
    "alex": ("AlexNet", _ALEX, (3, 2)),
    "vgg": ("VGG16", _VGG, (2, 2)),
}


class PerceptualNet(nn.Module):
    """LPIPS, version 0.1, of AlexNet or VGG16.

    At some depths the features of both images are brought to unit length at each place, their
    squared differences weighted by channel (the heads), averaged over places and summed.
    """

    def __init__(self, path: Path | str) -> None:
        """path: torchvision's state dict of AlexNet or VGG16, as .pth or .safetensors; with the
        heads `lin0.model.1.weight`, …, in it, or else those of the package lpips.

        Raises: MetricError without heads, CheckpointError for another file.
        """
        super().__init__()
        found = load_state_dict(Path(path), "AlexNet or VGG16")
        self._kind = "vgg" if _shape(found, "features.2.weight") == (64, 64, 3, 3) else "alex"
        name, self._layers, self._pool = _NETS[self._kind]
        self.label = f"LPIPS ({name})"
        before = 3
        for layer in self._layers:
            if isinstance(layer, str):
                continue
            number, kernel, _, _, width = layer
            for leaf, shape in (("weight", (width, before, kernel, kernel)), ("bias", (width,))):
                key = f"features.{number}.{leaf}"
                if _shape(found, key) != shape:
                    has = _shape(found, key) or "missing"
                    raise CheckpointError(
                        f"{path}: tensor {key} is {has}; torchvision's {name} has {shape}: give a "
                        "file of the weights of AlexNet or VGG16"
                    )
                self.register_buffer(f"{leaf}_{number}", found[key].float())
            before = width
        for number, head in enumerate(_heads(found, self._kind)):
            self.register_buffer(f"head_{number}", head.float())
        self.register_buffer("shift", torch.tensor(RGB_MEAN)[:, None, None])
        self.register_buffer("scale", torch.tensor(RGB_STD)[:, None, None])

    @torch.no_grad()
    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """The distances (N,), from 0 (equal), of images (N, 3 or 1, H, W) in [-1, 1]."""
        total = images.new_zeros(len(images))
        pairs = zip(self._features(images), self._features(targets), strict=True)
        for number, (one, other) in enumerate(pairs):
            gap = (_unit(one) - _unit(other)).square_()
            weighted = F.conv2d(gap, self.get_buffer(f"head_{number}"))
            total += weighted.mean((1, 2, 3))
        return total

    def _features(self, x: Tensor) -> Iterator[Tensor]:
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        for layer in self._layers:
            if layer == "look":
                yield x
            elif isinstance(layer, str):
                x = F.max_pool2d(x, *self._pool)
            else:
                number, _, stride, padding, _ = layer
                weight, bias = (self.get_buffer(f"{n}_{number}") for n in ("weight", "bias"))
                x = F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))


def _unit(features: Tensor) -> Tensor:
    """Features (N, C, H, W), each place's of length 1."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + _SMALL)


def _heads(found: Mapping[str, Tensor], kind: str) -> list[Tensor]:
    """The five heads (1, C, 1, 1), of the file or of the package lpips."""
    keys = [f"lin{number}.model.1.weight" for number in range(5)]
    if all(key in found for key in keys):
        return [found[key] for key in keys]
    spec = importlib.util.find_spec("lpips")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "weights" / "v0.1" / f"{kind}.pth"
        if path.is_file():
            state = load_state_dict(path, f"LPIPS ({kind})")
            return [state[key] for key in keys]
    raise MetricError(
        "metrics.lpips: the file has no heads (lin0.model.1.weight, …), and the package lpips, "
        'which has them, is not installed: pip install "gancompress[lpips]"'
    )


def _shape(found: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    return tuple(found[key].shape) if key in found else ()
