"""A user's own pairs of images: side by side in one file, or in two folders matched by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.folders import Listing, Pair, matched_pairs, single_files, split_pairs
from gancompress.data.images import (
    Pixels,
    file_digest,
    fits_in_memory,
    read_image,
    resized,
    to_tensor,
    with_channels,
)
from gancompress.errors import DataError

Size = int | Sequence[int]  # a side, or (height, width)


class PairFolders:
    """Pairs of images from files, (input, target), or the other way round with `swap`.

    `layout` "side-by-side": `folder` has files whose left half is one image and whose right half
    the other. "two-folders": `input_folder` and `target_folder` have files of equal stems. Each
    folder has train/, test/ and perhaps search/ (or val/) inside, or files, which are then split
    by `split_seed`; see `folders.split_pairs`.

    With a generator, images are resized to `load_size`, cropped at random to `crop_size` and, with
    `flip`, mirrored half of the time, both alike; without one they are resized to `crop_size`. Sets
    of at most `cache_mb` (decoded; 0 = none) are decoded once and kept, larger ones stream.

    Raises: DataError for a folder that is missing or empty, or a file without its partner; for
    damaged or unclear images later, when they are read (`check` reads them all).
    """

    paired = True

    def __init__(
        self,
        *,
        layout: str = "side-by-side",
        folder: str | Path | None = None,
        input_folder: str | Path | None = None,
        target_folder: str | Path | None = None,
        swap: bool = False,
        load_size: Size = 286,
        crop_size: Size = 256,
        flip: bool = True,
        input_channels: int = 3,
        target_channels: int = 3,
        search_fraction: float = 0.1,
        test_fraction: float = 0.1,
        cache_mb: float = 2000,
        split_seed: int = 0,
    ) -> None:
        self.channels = (input_channels, target_channels)
        self.load_size, self.crop_size = _pair_of(load_size), _pair_of(crop_size)
        if any(c > w for c, w in zip(self.crop_size, self.load_size, strict=True)):
            raise DataError(
                f"pairs: crop_size {self.crop_size} exceeds load_size {self.load_size}; "
                "load_size must be at least as large"
            )
        self.flip, self.swap = flip, swap
        listing = _listing(layout, folder, input_folder, target_folder)
        self._pairs = split_pairs(listing, search_fraction, test_fraction, split_seed)
        self._cache_bytes = cache_mb * 1e6
        self._cache: dict[tuple[Pair, tuple[int, int]], tuple[Pixels, Pixels]] = {}
        self._digests: dict[Split, str] = {}

    def count(self, split: Split) -> int:
        """Number of pairs of the split."""
        return len(self._pairs[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, C, *crop_size) in [-1, 1]; see `Dataset.batch`.

        Raises: DataError naming the first file that cannot be used.
        """
        size = self.crop_size if rng is None else self.load_size
        images = [self._images(self._pairs[split][int(i)], size) for i in indices]
        if rng is not None:
            images = [self._augmented(pair, rng) for pair in images]
        return {
            key: to_tensor(np.stack([pair[side] for pair in images]))
            for side, key in enumerate(("input", "target"))
        }

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings; reads the files once."""
        if split not in self._digests:
            settings = [self.channels, self.load_size, self.crop_size, self.flip, self.swap]
            digest = hashlib.sha256(json.dumps(settings).encode())
            for path in (path for pair in self._pairs[split] for path in pair):
                digest.update(f"\n{path.name}\n{file_digest(path)}".encode())
            self._digests[split] = digest.hexdigest()
        return self._digests[split]

    def check(self) -> None:
        """Decode every pair once. Raises: DataError naming the first file that is unusable."""
        for pair in (pair for split in SPLITS for pair in self._pairs[split]):
            self._decoded(pair)

    def _images(self, pair: Pair, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Input and target at `size`, (*size, C) uint8 each."""
        if (pair, size) in self._cache:
            return self._cache[pair, size]
        first, second = self._decoded(pair)
        images = resized(first, *size), resized(second, *size)
        if self._fits_in_memory():
            self._cache[pair, size] = images
        return images

    def _fits_in_memory(self) -> bool:
        """Whether the whole decoded set may be kept."""
        count = sum(len(pairs) for pairs in self._pairs.values())
        area = self.load_size[0] * self.load_size[1]
        return fits_in_memory(count * area * sum(self.channels), self._cache_bytes)

    def _decoded(self, pair: Pair) -> tuple[Pixels, Pixels]:
        """Input and target as they are in the files, (H, W, C) uint8 each."""
        first, second = (
            _halves(pair[0]) if len(pair) == 1 else (read_image(pair[0]), read_image(pair[1]))
        )
        _check_aspects(first, second, pair)
        if self.swap:
            first, second, pair = second, first, pair[::-1]
        return (
            with_channels(first, self.channels[0], pair[0]),
            with_channels(second, self.channels[1], pair[-1]),
        )

    def _augmented(
        self, pair: tuple[Pixels, Pixels], rng: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """The same random crop and mirroring of both."""
        (load_h, load_w), (crop_h, crop_w) = self.load_size, self.crop_size
        y, x = int(rng.integers(load_h - crop_h + 1)), int(rng.integers(load_w - crop_w + 1))
        step = -1 if rng.random() < 0.5 and self.flip else 1
        first, second = (image[y : y + crop_h, x : x + crop_w][:, ::step] for image in pair)
        return first, second


def _listing(
    layout: str,
    folder: str | Path | None,
    input_folder: str | Path | None,
    target_folder: str | Path | None,
) -> Listing:
    if layout == "side-by-side" and folder is not None:
        return single_files(Path(folder))
    if layout == "two-folders" and input_folder is not None and target_folder is not None:
        return matched_pairs(Path(input_folder), Path(target_folder))
    raise DataError(
        f"pairs: layout {layout!r} with the folders given; allowed are side-by-side with folder, "
        "and two-folders with input_folder and target_folder"
    )


def _halves(path: Path) -> tuple[Pixels, Pixels]:
    pixels = read_image(path)
    width = pixels.shape[1]
    if width % 2:
        raise DataError(f"{path}: is {width} pixels wide; two equal halves need an even width")
    return pixels[:, : width // 2], pixels[:, width // 2 :]


def _check_aspects(first: Pixels, second: Pixels, pair: Pair) -> None:
    (h1, w1), (h2, w2) = first.shape[:2], second.shape[:2]
    if abs(w1 * h2 - w2 * h1) > max(h1, h2):  # more than a pixel that rounding explains
        raise DataError(
            f"{pair[-1]}: is {w2}x{h2} and its partner {pair[0]} is {w1}x{h1}; "
            "both must have the same shape"
        )


def _pair_of(size: Size) -> tuple[int, int]:
    """(height, width). Raises: DataError unless both are positive."""
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or min(both) < 1:
        raise DataError(f"pairs: size {size}; a side or [height, width] in pixels is needed")
    return both[0], both[1]
