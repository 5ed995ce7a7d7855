"""Feature networks that Frechet and kernel distances compare images by."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.metrics.efficientnet import EffNetLite0, EffNetLite0Depths
from gancompress.metrics.frozennets import frozen, identity_of, in_parts
from gancompress.metrics.levels import bytes_rgb
from gancompress.metrics.weights import inception_file, read_state


class FeatureNet(Protocol):
    """A fixed network from images to feature vectors.

    `label` and `kid_label` name the Frechet and the kernel distance on its features; `identity`
    changes with the weights and with everything else that changes the features.
    """

    label: str
    kid_label: str
    dim: int
    identity: str

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, dim), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""

    def to(self, device: torch.device | str) -> Any: ...


class Inception(nn.Module):
    """The FID Inception of pytorch-fid, up to the 2048 values of its last pooling.

    Images are rounded to 8 bits, as in a saved PNG, so that the distance is the one that
    pytorch-fid computes from the files. Heusel et al. 2017.

    Args:
        weights: pytorch-fid's weights file; by default the one named by the environment variable
            GANCOMPRESS_INCEPTION_WEIGHTS, or else pytorch-fid's own download.

    Raises: MetricError if the weights cannot be had, or the file holds something else.
    """

    label = "FID"
    kid_label = "KID"
    dim = 2048

    def __init__(self, weights: Path | str | None = None) -> None:
        super().__init__()
        path = inception_file(weights)
        state = read_state(path)
        try:
            net = _inception_net(state)
        except (RuntimeError, KeyError) as error:
            raise MetricError(
                f"{path}: not the weights of the FID Inception; give the file that pytorch-fid "
                "downloads, pt_inception-2015-12-05-6726825d.pth"
            ) from error
        self.net = frozen(net)
        self.register_buffer("classes", state["fc.weight"].float())  # (1008, 2048)
        self.identity = identity_of(self.label, state)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 2048), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        x = bytes_rgb(images) / 255  # (N, 3, H, W) in [0, 1]; the network resizes to 299
        x = x.contiguous(memory_format=torch.channels_last)
        return in_parts(lambda part: self.net(part)[0], x).flatten(1).float()  # (N, 2048)

    def logits(self, images: Tensor) -> Tensor:
        """Scores (N, 1008) of ImageNet's classes, float32, of images as `forward` takes them.

        Without the last layer's bias, as in the program of Salimans et al. 2016.
        """
        return self(images) @ self.get_buffer("classes").T


FEATURES: dict[str, Callable[[str | None], FeatureNet]] = {
    "inception": Inception,
    "effnet-lite0": EffNetLite0,
    "effnet-lite0-depths": EffNetLite0Depths,
}


def load_features(name: str, weights: Mapping[str, str | None]) -> FeatureNet:
    """The feature network called `name`.

    Args:
        weights: name of a network → file with its weights; a missing or empty entry means the
            network's own source.

    Raises: MetricError if there is no such network or its weights cannot be had.
    """
    if name not in FEATURES:
        raise MetricError(f"features: no network {name!r}; one of {', '.join(FEATURES)}")
    return FEATURES[name](weights.get(name) or None)


def _inception_net(state: dict[str, Tensor]) -> Any:
    """pytorch-fid's network with the given weights.

    Its constructor fetches the weights itself and reads them with an unrestricted unpickler; for
    the time of the call it is handed ours in place of its loader.
    """
    module: Any = importlib.import_module("pytorch_fid.inception")
    loader = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *_args, **_settings: state
    try:
        with torch.random.fork_rng(devices=[]):  # the constructor draws initial values
            return module.InceptionV3([module.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    finally:
        module.load_state_dict_from_url = loader
