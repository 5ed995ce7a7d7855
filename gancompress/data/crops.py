"""From files of any size to images of one: resizing, and in training a random crop, mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gancompress.errors import DataError
from gancompress.fields.types import short_sides

Sides = tuple[int, int]  # height, width
Scalar = TypeVar("Scalar", bound=np.generic)
DRAWN_SIZES = 8  # A range of sizes is drawn from so few that resized images can be kept.


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
class Resizing:
    """The size that an image is brought to: `sides`, or its own shape with `short` the shorter one.

    short 0: as it is. least: above 0, an image is not enlarged beyond that shorter side.
    """

    sides: Sides | None
    short: int = 0
    least: int = 0

    def of(self, own: tuple[int, ...]) -> Sides:
        """Height and width of what an image of the height and width `own` becomes."""
        if self.sides is not None:
            return self.sides
        height, width = own[:2]
        short = self.short
        if self.least:
            short = max(self.least, min(short, height, width))
        larger = short / min(height, width) if short else 1
        return round(height * larger), round(width * larger)


@dataclass(frozen=True)
class Crops:
    """What becomes of every image of a set.

    With a generator it is resized to `load`, cropped at random to `crop` and, with `flip`,
    mirrored half of the time; without one it is resized to `crop`. Where `load` is None its shape
    is kept: its shorter side becomes `short` (0: as it is), and without a generator its middle is
    taken. With a generator and `most` above `short` a side between them is drawn, in equal ratios.
    """

    load: Sides | None
    crop: Sides
    flip: bool
    short: int = 0
    most: int = 0

    def before(self, rng: np.random.Generator | None) -> Resizing:
        """How images are resized before `drawn`."""
        if self.load is None and self.most > self.short and rng is not None:
            drawn = int(rng.integers(DRAWN_SIZES)) / (DRAWN_SIZES - 1)
            side = round(self.short * (self.most / self.short) ** drawn)
            return Resizing(None, side, least=self.short)
        if self.load is None:
            return Resizing(None, self.short)
        return Resizing(self.crop if rng is None else self.load)

    def drawn(self, rng: np.random.Generator | None, sides: tuple[int, ...]) -> Window:
        """The part that is used of an image of the height and width `sides`."""
        down, right = sides[0] - self.crop[0], sides[1] - self.crop[1]
        if rng is None:
            return Window(down // 2, right // 2, self.crop, 1)
        y, x = int(rng.integers(down + 1)), int(rng.integers(right + 1))
        return Window(y, x, self.crop, -1 if rng.random() < 0.5 and self.flip else 1)

    def sized(self, own: tuple[int, ...], resizing: Resizing, where: object) -> Sides:
        """What `resizing` makes of an image. Raises: DataError naming `where` if that is less."""
        height, width = resizing.of(own)
        if height < self.crop[0] or width < self.crop[1]:
            so = "" if (height, width) == tuple(own[:2]) else f", made {width}x{height}"
            raise DataError(
                f"{where}: is {own[1]}x{own[0]}{so}; at least crop_size, {self.crop[1]}x"
                f"{self.crop[0]}, is needed: take it away, or set a smaller crop_size or a "
                "larger load_size"
            )
        return height, width

    @property
    def area(self) -> int | None:
        """Pixels of an image as it is kept; None where that differs between images."""
        return None if self.load is None else self.load[0] * self.load[1]

    def settings(self) -> tuple[object, ...]:
        """What a content hash takes in."""
        own = [] if self.load else [self.short, *([self.most] if self.most > self.short else [])]
        return (self.load, self.crop, self.flip, *own)


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


def crops_of(load_size: Sides | str, crop_size: Sides, flip: bool) -> Crops:
    """load_size: a size; `none`, `short:SIDE` or `short:LEAST-MOST`, which keep each image's
    shape."""
    if isinstance(load_size, str):
        return Crops(None, crop_size, flip, *short_sides(load_size))
    return Crops(load_size, crop_size, flip)
