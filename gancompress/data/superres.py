"""Small images as inputs, and what they were made small from as targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from gancompress.data.crops import Window
from gancompress.data.dataset import Batch, Split
from gancompress.data.decoding import sides_told
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import Pair, matched_pairs, single_files, split_pairs
from gancompress.data.images import Pixels, resized, shown_part, to_tensor
from gancompress.data.superresoptions import SuperresFolderOptions
from gancompress.errors import DataError
from gancompress.storage.digests import Digests

# Pillow's filters, fastest first (scripts/bench_filters.py); all but nearest are antialiased.
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class SuperresFolder:
    """Crops of a user's images, and the same crops 1/`scale` as large by `filter`.

    `folder` has train/, test/ and perhaps search/ (or val/) inside, or files, which are then split
    by `split_seed`; see `folders.split_pairs`. Images keep their pixels, or with `load_size` are
    resized until the shorter side has so many. With a generator a crop of `crop_size` is drawn and,
    with `flip`, mirrored half of the time; without one it is the middle, `test_size` (0: as
    `crop_size`) large. At most `cache_mb` of decoded images are kept.

    With `small_folder` the inputs are the user's own: images of equal stems there, each 1/`scale`
    as large as its partner, of which the same part is cut. `filter` then makes nothing.

    Raises: DataError for a folder that is missing or empty, or an image smaller than a crop; for
    damaged images later, when they are read (`check` reads all).
    """

    channels = (3, 3)
    paired = True

    def __init__(self, options: SuperresFolderOptions, digests: Digests | None = None) -> None:
        self.options = options
        self._crop, self._test = options.crop_size, options.evaluated_size[0]
        large, small, least = Path(options.folder), options.small_folder, self._least
        self._pairs = split_pairs(
            single_files(large) if small is None else matched_pairs(large, Path(small)),
            *options.split_fractions, where=options.folder, unit="images",
        )  # fmt: skip
        roots = (options.folder, small)
        group = group_of(self._pairs, *roots)
        self._files = FolderFiles(options, group, roots=roots, digests=digests)
        self.origin = self._files.origin
        if not options.load_size:
            for path, *_ in self._files.all():
                _check_sides(path, sides_told(path), least)  # upright or not: a square
        self._unit = 1 if small is None else options.scale  # Places of crops are multiples of it.

    @property
    def _least(self) -> int:
        """The side that an image needs to have."""
        return max(self._crop, self._test)

    def count(self, split: Split) -> int:
        """Number of images of the split."""
        return len(self._pairs[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, (N, 3, side / scale, side / scale) and (N, 3, side, side).

        Raises: DataError naming the first file that cannot be used.
        """
        pairs = [self._pairs[split][int(i)] for i in indices]
        images = [self._image(pair[0]) for pair in pairs]
        windows = [self._window(image.shape[:2], rng) for image in images]
        crops = np.stack([window.of(image) for window, image in zip(windows, images, strict=True)])
        if len(pairs[0]) == 1:
            return shrunk_batch(crops, self.options.scale, self.options.filter)
        small = [
            self._smaller(window).of(self._small(pair))
            for window, pair in zip(windows, pairs, strict=True)
        ]
        return {"input": to_tensor(np.stack(small)), "target": to_tensor(crops)}

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings."""
        options = self.options
        settings = [
            self._crop, self._test, options.load_size, options.scale, options.filter, options.flip
        ]  # fmt: skip
        return self._files.digest(split, settings)

    def shown(self, inputs: Tensor) -> Tensor:
        """The small images themselves; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for pair in self._files.all():
            large = self._decoded(pair[0])
            for path in pair[1:]:
                self._check_scale(self._files.reading.image(path, 3), path, large, pair[0])

    def _window(self, sides: tuple[int, ...], rng: np.random.Generator | None) -> Window:
        """The part of an image of these sides that is used."""
        side, unit = self._test if rng is None else self._crop, self._unit
        down, right = (sides[0] - side) // unit, (sides[1] - side) // unit
        if rng is None:
            return Window(down // 2 * unit, right // 2 * unit, (side, side), 1)
        top, left = unit * int(rng.integers(down + 1)), unit * int(rng.integers(right + 1))
        return Window(
            top, left, (side, side), -1 if rng.random() < 0.5 and self.options.flip else 1
        )

    def _smaller(self, window: Window) -> Window:
        """The same part of the small image."""
        side, scale = window.sides[0] // self.options.scale, self.options.scale
        return Window(window.top // scale, window.left // scale, (side, side), window.step)

    def _small(self, pair: Pair) -> Pixels:
        """(H, W, 3) the user's own small image of a pair."""
        large, path = self._image(pair[0]), pair[1]

        def read() -> Pixels:
            small = self._files.reading.image(path, 3)
            self._check_scale(small, path, large, pair[0])
            return small

        return self._files.kept(path, read)

    def _check_scale(self, small: Pixels, path: Path, large: Pixels, partner: Path) -> None:
        (height, width), (h, w) = large.shape[:2], small.shape[:2]
        if (h * self.options.scale, w * self.options.scale) != (height, width):
            raise DataError(
                f"{path}: is {w}x{h} and its partner {partner} is {width}x{height}; each side must "
                f"be 1/{self.options.scale} of it, as scale says"
            )

    def _image(self, path: Path) -> Pixels:
        return self._files.kept(path, lambda: self._decoded(path))

    def _decoded(self, path: Path) -> Pixels:
        """(H, W, 3) at the size that crops are taken from."""
        pixels = self._files.reading.image(path, 3)
        height, width = pixels.shape[:2]
        if self.options.load_size:
            larger = self.options.load_size / min(height, width)
            height, width = round(height * larger), round(width * larger)
            pixels = resized(pixels, height, width)
        _check_sides(path, (height, width), self._least)
        return pixels


def shrunk(pixels: Pixels, scale: int, filter: str) -> Pixels:
    """(H / scale, W / scale, 3) from (H, W, 3), by the filter of that name in FILTERS."""
    size = pixels.shape[1] // scale, pixels.shape[0] // scale
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize(size, FILTERS[filter]))


def shrunk_batch(pixels: Pixels, scale: int, filter: str) -> Batch:
    """`{"input", "target"}`: images (N, H, W, 3) made small, and themselves, in [-1, 1]."""
    small = np.stack([shrunk(image, scale, filter) for image in pixels])
    return {"input": to_tensor(small), "target": to_tensor(pixels)}


def _check_sides(path: Path, sides: tuple[int, int] | None, least: int) -> None:
    if sides is not None and min(sides) < least:
        raise DataError(
            f"{path}: is {sides[1]}x{sides[0]}; at least the crop, {least}x{least}, is needed; "
            "take it away, or set a smaller crop or a load_size"
        )
