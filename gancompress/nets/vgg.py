"""VGG-19's features, for perceptual losses; weights from a file that the user names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import CheckpointError
from gancompress.storage.statedicts import load_state_dict

# The convolutions between two poolings, by their numbers in torchvision's `features`.
_STAGES = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))
_RELU5_1 = 28
_FIRST = tuple(numbers[0] for numbers in _STAGES)  # relu1_1 to relu5_1 are behind them
_WIDTHS = (64, 128, 256, 512, 512)  # channels (Simonyan and Zisserman 2015, configuration E)
# The weights of the five features' differences (Park et al. 2019).
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

# RGB as torchvision's networks were trained on it, for images in [-1, 1]: (x - mean) / std.
RGB_MEAN = (-0.03, -0.088, -0.188)  # 2 m - 1 of torchvision's means .485 .456 .406
RGB_STD = (0.458, 0.448, 0.45)  # 2 s of its deviations .229 .224 .225
_RESCALED = (1 / 12.75) ** 2  # brings the loss to the scale of pixels' (Ledig et al. 2017, 3.2)


class Vgg19(nn.Module):
    """How different two images look: L1 between their features in VGG-19, weighted and summed.

    Images (N, 3, H, W) in [-1, 1], which it takes as they are, as SPADE's program gives them; H and
    W at least 16. `target` carries no gradient. Its weights are buffers: nothing trains or saves
    them.
    """

    def __init__(self, path: Path | str, last: int = _RELU5_1) -> None:
        """path: torchvision's state dict of VGG-19, as .pth or .safetensors. last: the number of
        the last convolution that runs.

        Raises: CheckpointError if it is missing, damaged or of another network.
        """
        super().__init__()
        found = load_state_dict(Path(path), "VGG-19")
        before = 3
        self.last = last
        for numbers, width in zip(_STAGES, _WIDTHS, strict=True):
            for number in (number for number in numbers if number <= last):
                shapes = {"weight": (width, before, 3, 3), "bias": (width,)}
                for kind, shape in shapes.items():
                    key = f"features.{number}.{kind}"
                    if key not in found or tuple(found[key].shape) != shape:
                        has = f"is {tuple(found[key].shape)}" if key in found else "is missing"
                        raise CheckpointError(
                            f"{path}: tensor {key} {has}; torchvision's VGG-19 has {shape}, give "
                            "a file of its weights"
                        )
                    self.register_buffer(f"{kind}_{number}", found[key].float())
                before = width

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        ours = self.features(image)
        with torch.no_grad():
            wanted = self.features(target)
        pairs = zip(_WEIGHTS, ours, wanted, strict=True)
        return torch.stack([w * F.l1_loss(a.float(), b.float()) for w, a, b in pairs]).sum()

    def features(self, x: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, ... relu5_1; each at half the resolution of the one before."""
        return [feature for number, feature in self._run(x) if number in _FIRST]

    def deepest(self, x: Tensor) -> Tensor:
        """What is behind the last convolution, rectified."""
        *_, (_, feature) = self._run(x)
        return feature

    def _run(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Each convolution's number and what is behind it, rectified."""
        for stage, numbers in enumerate(_STAGES):
            if stage:
                x = F.max_pool2d(x, 2)
            for number in (number for number in numbers if number <= self.last):
                weight, bias = (self.get_buffer(f"{kind}_{number}") for kind in ("weight", "bias"))
                x = torch.relu(F.conv2d(x, weight, bias, padding=1))
                yield number, x


class VggContent(nn.Module):
    """SRGAN's content loss: mean squared difference of relu5_4 (Ledig et al. 2017, eq. 5).

    Images (N, 3, H, W) in [-1, 1], H and W at least 16, brought to the range that the network was
    trained on. `target` carries no gradient.
    """

    def __init__(self, path: Path | str) -> None:
        """path: see `Vgg19`. Raises: CheckpointError."""
        super().__init__()
        self.net = Vgg19(path, last=_STAGES[-1][-1])
        for name, values in (("mean", RGB_MEAN), ("std", RGB_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self._features(target)
        return _RESCALED * F.mse_loss(self._features(image).float(), wanted.float())

    def _features(self, x: Tensor) -> Tensor:
        return self.net.deepest((x - self.get_buffer("mean")) / self.get_buffer("std"))
