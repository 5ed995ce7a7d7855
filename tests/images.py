"""Image files for tests of the data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

Pixels = npt.NDArray[np.uint8]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """(height, width, channels) uint8, uniform."""
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    """Write gray, RGB or RGBA pixels in the format of the suffix, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    return path


def save_pairs(folder: Path, count: int, height: int = 8, width: int = 8, first: int = 0) -> None:
    """`count` files of two noise images side by side, named by number."""
    for number in range(first, first + count):
        save(folder / f"{number:03}.png", noise(height, 2 * width, seed=number))


def save_coded_maps(folder: Path, width: int) -> None:
    """Maps whose pixels tell their place: columns in the input, rows in the target, as BMP."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, axis in (("etopo1", 1), ("bmng", 0)):
        place = np.indices((width // 2, width))[axis]
        coded = np.stack([place >> 8, place & 255, np.zeros_like(place)], axis=2)
        Image.fromarray(coded.astype(np.uint8)).save(folder / f"{name}.jpg", format="BMP")


def to_bytes(images: Tensor) -> Pixels:
    """(N, H, W, C) uint8 from (N, C, H, W) in [-1, 1]."""
    return np.rint((images.permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)


def places(images: Tensor) -> npt.NDArray[np.intp]:
    """(N, H, W) rows or columns that `save_coded_maps` wrote into the pixels."""
    coded = to_bytes(images).astype(np.intp)
    return coded[..., 0] * 256 + coded[..., 1]
