"""VGG-19's features, for the perceptual loss; weights from a file that the user names."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.checkpoint import load_tensors
from gancompress.errors import CheckpointError

# The convolutions between two poolings, by their numbers in torchvision's `features`. What is
# compared is behind each first one: relu1_1 to relu5_1.
_STAGES = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28,))
_WIDTHS = (64, 128, 256, 512, 512)  # channels (Simonyan and Zisserman 2015, configuration E)
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # of the five features' differences (Park et al.)


class Vgg19(nn.Module):
    """How different two images look: L1 between their features in VGG-19, weighted and summed.

    Images (N, 3, H, W) in [-1, 1], which it takes as they are, as SPADE's program gives them; H and
    W at least 16. `truth` carries no gradient. Its weights are buffers: nothing trains or saves
    them.
    """

    def __init__(self, path: Path | str) -> None:
        """path: torchvision's state dict of VGG-19, as .pth or .safetensors.

        Raises: CheckpointError if it is missing, damaged or of another network.
        """
        super().__init__()
        found = _read(Path(path))
        before = 3
        for numbers, width in zip(_STAGES, _WIDTHS, strict=True):
            for number in numbers:
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

    def forward(self, image: Tensor, truth: Tensor) -> Tensor:
        ours = self.features(image)
        with torch.no_grad():
            wanted = self.features(truth)
        pairs = zip(_WEIGHTS, ours, wanted, strict=True)
        return torch.stack([w * F.l1_loss(a.float(), b.float()) for w, a, b in pairs]).sum()

    def features(self, x: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, ... relu5_1; each at half the resolution of the one before."""
        found = []
        for stage, numbers in enumerate(_STAGES):
            if stage:
                x = F.max_pool2d(x, 2)
            for number in numbers:
                weight, bias = (self.get_buffer(f"{kind}_{number}") for kind in ("weight", "bias"))
                x = torch.relu(F.conv2d(x, weight, bias, padding=1))
                if number == numbers[0]:
                    found.append(x)
        return found


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; nothing in it is executed. Raises: CheckpointError."""
    if path.suffix == ".safetensors" or not path.is_file():
        return load_tensors(path)[0]  # which says what is wrong with a missing one
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise a dozen different types
        raise CheckpointError(
            f"{path}: truncated or not a file of tensors; fetch VGG-19's weights again"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no named tensors; give VGG-19's weights")
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
