"""A user's own pairs of images: side by side in one file, or in two folders matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import Resizing, crops_of
from gancompress.data.dataset import Batch, Split
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import (
    Listing,
    Pair,
    matched_names,
    matched_pairs,
    matched_sides,
    single_files,
    split_pairs,
)
from gancompress.data.images import Pixels, resized, shown_part, to_tensor
from gancompress.data.options import PairsOptions
from gancompress.errors import DataError
from gancompress.storage.digests import Digests


class PairFolders:
    """Pairs of images from files, (input, target), or the other way round with `swap`.

    `layout` "side-by-side": `folder` has files whose left half is one image and whose right half
    the other. "two-folders": `input_folder` and `target_folder` have files of equal stems.
    "cyclegan": `folder` holds trainA/ and trainB/, testA/ and testB/ with files of equal stems.
    "one-folder": both images of a pair lie in `folder`. `input_name` and `target_name` say what
    the stems look like, as `*_A` and `*_B`; what stands for the star makes the pair. Each folder
    has train/, test/ and perhaps search/ (or val/) inside, or files, which are then split by
    `split_seed`; see `folders.split_pairs`.

    Images are resized to `load_size`, cropped to `crop_size` and mirrored as `crops.Crops` says,
    both alike; `load_size` "short:256" or "none" keeps their shape, see `crops.crops_of`. Sets
    of at most `cache_mb` (decoded; 0 = none) are decoded once and kept, larger ones stream.

    Raises: DataError for a folder that is missing or empty, or a file without its partner; for
    damaged or unclear images later, when they are read (`check` reads them all).
    """

    paired = True

    def __init__(self, options: PairsOptions, digests: Digests | None = None) -> None:
        self.options, self.channels = options, options.channels
        self.crops = crops_of(options.load_size, options.crop_size, options.flip)
        self._pairs = split_pairs(_listing(options), *options.split_fractions)
        roots = (options.folder, options.input_folder, options.target_folder)
        group = group_of(self._pairs, *roots)
        self._files = FolderFiles(options, group, roots=roots, digests=digests)
        self.origin = self._files.origin

    def count(self, split: Split) -> int:
        """Number of pairs of the split."""
        return len(self._pairs[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, C, *crop_size) in [-1, 1]; see `Dataset.batch`.

        Raises: DataError naming the first file that cannot be used.
        """
        images = [self._images(self._pairs[split][int(i)], self.crops.before(rng)) for i in indices]
        # The same for both images.
        windows = [self.crops.drawn(rng, first.shape) for first, _ in images]
        return {
            key: to_tensor(np.stack([w.of(i[side]) for w, i in zip(windows, images, strict=True)]))
            for side, key in enumerate(("input", "target"))
        }

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings."""
        settings = [self.channels, *self.crops.settings(), self.options.swap]
        return self._files.digest(split, settings)

    def shown(self, inputs: Tensor) -> Tensor:
        """Three channels of the input, or a gray one; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every pair once. Raises: DataError naming the first file that is unusable."""
        for pair in self._files.all():
            self._decoded(pair)

    def _images(self, pair: Pair, resizing: Resizing) -> tuple[Pixels, Pixels]:
        """Input and target, resized alike, (H, W, C) uint8 each."""
        area = self.crops.area
        item_bytes = None if area is None else area * sum(self.channels)
        return self._files.kept(
            (pair, resizing), lambda: self._resized(pair, resizing), item_bytes=item_bytes
        )

    def _resized(self, pair: Pair, resizing: Resizing) -> tuple[Pixels, Pixels]:
        first, second = self._decoded(pair)
        size = self.crops.sized(first.shape, resizing, pair[0])
        return resized(first, *size), resized(second, *size)

    def _decoded(self, pair: Pair) -> tuple[Pixels, Pixels]:
        """Input and target as they are in the files, (H, W, C) uint8 each."""
        if len(pair) == 1:
            first, second = _halves(self._files.reading.file(pair[0]), pair[0])
        else:
            first, second = (self._files.reading.file(path) for path in pair)
        _check_aspects(first, second, pair)
        if self.options.swap:
            first, second, pair = second, first, pair[::-1]
        return (
            self._files.reading.with_channels(first, self.channels[0], pair[0]),
            self._files.reading.with_channels(second, self.channels[1], pair[-1]),
        )


def _listing(options: PairsOptions) -> Listing:
    names = (options.input_name, options.target_name)
    if options.layout == "two-folders":
        assert options.input_folder and options.target_folder, "the options have them"
        return matched_pairs(Path(options.input_folder), Path(options.target_folder), names=names)
    assert options.folder, "the options have it"
    folder = Path(options.folder)
    if options.layout == "side-by-side":
        return single_files(folder)
    matched = matched_sides if options.layout == "cyclegan" else matched_names
    return matched(folder, names)


def _halves(pixels: Pixels, path: Path) -> tuple[Pixels, Pixels]:
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
