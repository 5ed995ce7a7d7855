"""From files of any size to images of one: resizing, and in training a random crop, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gancompress.errors import DataError

Size = int | Sequence[int]  # a side, or (height, width)
Sides = tuple[int, int]  # height, width
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Window:
    """A part of an image, mirrored where `step` is -1."""

    top: int
    left: int
    sides: Sides
    step: int

    def of(self, image: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """(*sides, ...) from (H, W, ...)."""
        rows = slice(self.top, self.top + self.sides[0])
        columns = slice(self.left, self.left + self.sides[1])
        return image[rows, columns][:, :: self.step]


@dataclass(frozen=True)
class Crops:
    """What becomes of every image of a set.

    With a generator it is resized to `load`, cropped at random to `crop` and, with `flip`,
    mirrored half of the time; without one it is resized to `crop`.
    """

    load: Sides
    crop: Sides
    flip: bool

    def before(self, rng: np.random.Generator | None) -> Sides:
        """The size that images are resized to, before `drawn`."""
        return self.crop if rng is None else self.load

    def drawn(self, rng: np.random.Generator | None) -> Window:
        """The part of an image of size `before` that is used."""
        if rng is None:
            return Window(0, 0, self.crop, 1)
        (load_h, load_w), (crop_h, crop_w) = self.load, self.crop
        y, x = int(rng.integers(load_h - crop_h + 1)), int(rng.integers(load_w - crop_w + 1))
        return Window(y, x, self.crop, -1 if rng.random() < 0.5 and self.flip else 1)

    def settings(self) -> tuple[Sides, Sides, bool]:
        """What a content hash takes in."""
        return self.load, self.crop, self.flip


def middle_square(pixels: npt.NDArray[Scalar], side: int, where: object) -> npt.NDArray[Scalar]:
    """The square of `side` pixels (0: the largest) in the middle of (H, W, C).

    Raises: DataError naming `where` if the image is too small for it.
    """
    height, width = pixels.shape[:2]
    side = side or min(height, width)
    if side > min(height, width):
        raise DataError(
            f"{where}: is {width}x{height}, smaller than the crop of {side}; make crop smaller or 0"
        )
    y, x = (height - side) // 2, (width - side) // 2
    return pixels[y : y + side, x : x + side]


def crops_of(load_size: Size, crop_size: Size, flip: bool, where: str) -> Crops:
    """Raises: DataError naming `where` unless sizes are positive and the crop fits."""
    load, crop = _sides(load_size, where), _sides(crop_size, where)
    if any(c > w for c, w in zip(crop, load, strict=True)):
        raise DataError(
            f"{where}: crop_size {crop} exceeds load_size {load}; "
            "load_size must be at least as large"
        )
    return Crops(load, crop, flip)


def _sides(size: Size, where: str) -> Sides:
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or min(both) < 1:
        raise DataError(f"{where}: size {size}; a side or [height, width] in pixels is needed")
    return both[0], both[1]
