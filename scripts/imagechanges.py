"""What can be wrong with images, in strengths: from hardly to be seen to plain at first sight."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Of images (n, C, H, W) in [-1, 1] and a strength; the answer is as large, in [-1, 1].
Change = Callable[[Tensor, float], Tensor]

_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def _by_matrix(images: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix, images)


def less_saturation(images: Tensor, strength: float) -> Tensor:
    """strength: the fraction of each pixel's distance to its grey that is taken away."""
    grey = _by_matrix(images, _TO_YIQ[:1])
    return images + strength * (grey - images)


def hue(images: Tensor, degrees: float) -> Tensor:
    """Colours turned about the axis of greys, in YIQ."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return _by_matrix(images, torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ)


def brightness(images: Tensor, strength: float) -> Tensor:
    """strength: what is added, as a fraction of the range."""
    return images + 2 * strength


def blur(images: Tensor, sigma: float) -> Tensor:
    """By a Gaussian of `sigma` pixels; borders are repeated."""
    reach = max(1, math.ceil(3 * sigma))
    x = torch.arange(-reach, reach + 1.0)
    kernel = torch.exp(-((x / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images, (reach,) * 4, mode="replicate").flatten(0, 1)[:, None]
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1)).view_as(images)


def noise(images: Tensor, strength: float) -> Tensor:
    """strength: the standard deviation as a fraction of the range; the same noise every time."""
    random = torch.Generator().manual_seed(0)
    return images + 2 * strength * torch.randn(images.shape, generator=random)


def checkering(images: Tensor, strength: float) -> Tensor:
    """A pattern of period 2, as transposed convolutions leave it; strength: of the range."""
    height, width = images.shape[-2:]
    odd = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    return images + 2 * strength * (2.0 * odd - 1)


def shift(images: Tensor, pixels: float) -> Tensor:
    """To the right and down; borders are repeated."""
    by = int(pixels)
    return F.pad(images, (by, 0, by, 0), mode="replicate")[..., :-by, :-by]


def foreign_texture(images: Tensor, strength: float) -> Tensor:
    """Fine structure (finer than a Gaussian of 2 pixels) of which a part is another image's."""
    fine = images - blur(images, 2.0)
    return images + strength * (fine.roll(1, 0) - fine)


def dropped(images: Tensor, fraction: float) -> Tensor:
    """The brightest images are not there any more; others stand in their places."""
    order = images.mean((1, 2, 3)).argsort()
    kept = len(images) - round(fraction * len(images))
    found = images.clone()
    found[order[kept:]] = images[order[torch.arange(len(images) - kept) % kept]]
    return found


# By name: what changes images, and three strengths, the second of which a person notices.
CHANGES: dict[str, tuple[Change, tuple[float, float, float]]] = {
    "less saturation": (less_saturation, (0.2, 0.5, 0.9)),
    "hue turned, degrees": (hue, (10, 25, 60)),
    "brightness": (brightness, (0.03, 0.08, 0.2)),
    "blur, px": (blur, (0.5, 1.0, 2.0)),
    "noise": (noise, (0.01, 0.04, 0.1)),
    "checkering": (checkering, (0.01, 0.04, 0.1)),
    "shift, px": (shift, (1, 2, 4)),
    "another image's texture": (foreign_texture, (0.25, 0.5, 1.0)),
    "images dropped": (dropped, (0.25, 0.5, 0.75)),
}
OF_COLOURS = ("less saturation", "hue turned, degrees")


def changed(images: Tensor, name: str, strength: float) -> Tensor:
    """Images (n, C, H, W) in [-1, 1] after one of CHANGES, cut off to that range."""
    return CHANGES[name][0](images, strength).clamp(-1, 1)
