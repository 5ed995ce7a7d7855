"""A user's own images of two kinds that are no pairs, as CycleGAN and MUNIT learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import Resizing, crops_of
from gancompress.data.dataoptions import Digests
from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.folders import Listing, side_files, single_files, split_pairs
from gancompress.data.images import (
    Pixels,
    Reading,
    Room,
    file_digests,
    files_digest,
    fits_in_memory,
    remembered,
    resized,
    shown_part,
    to_tensor,
)
from gancompress.data.options import UnpairedOptions
from gancompress.data.origin import Group, Origin
from gancompress.errors import DataError

Files = dict[Split, list[Path]]


class UnpairedFolders:
    """Images of kind A, the input, and of kind B, of which "target" is any one.

    `layout` "two-folders": `input_folder` holds A and `target_folder` B, each in train/, test/ (or
    val/) and perhaps search/, or as files, which are then split by `split_seed`. "cyclegan":
    `folder` holds trainA/, trainB/, testA/ and testB/, as CycleGAN's data sets have them; the
    search split is then taken from the training images. See `folders.split_pairs`; both sides of
    every split need two images at least.

    Images are resized, cropped and mirrored as `crops.Crops` says, A and B independently. With a
    generator B is drawn from the split, each image being equally likely; without one the images of
    B are spread evenly over those of A. Sets of at most `cache_mb` (decoded; 0 = none) are decoded
    once and kept, larger ones stream.

    Raises: DataError for a folder that is missing or has too few images; for damaged or unclear
    images later, when they are read (`check` reads them all).
    """

    paired = False

    def __init__(self, options: UnpairedOptions, digests: Digests | None = None) -> None:
        self.options = options
        self.channels = (options.image_channels, options.image_channels)
        self.crops = crops_of(options.load_size, options.crop_size, options.flip)
        shares = (options.search_fraction, options.test_fraction, options.split_seed)
        listings = _listings(
            options.layout, options.folder, options.input_folder, options.target_folder
        )
        self._sides = [_files(listing, where, shares) for where, listing in listings]
        self.origin = _origin(
            [where for where, _ in listings],
            self._sides,
            (options.folder, options.input_folder, options.target_folder),
        )
        self._reading = Reading(options.max_value, options.background)
        self._cache_bytes = options.cache_mb * 1e6
        self._room = Room(self._cache_bytes)
        self._cache: dict[tuple[Path, Resizing], Pixels] = {}
        self._digests: dict[Split, str] = {}
        self._digests_of = file_digests if digests is None else digests

    def count(self, split: Split) -> int:
        """Number of images of A in the split."""
        return len(self._sides[0][split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, image_channels, *crop) in [-1, 1]; `indices` are of A.

        Raises: DataError naming the first file that cannot be used.
        """
        own, others = (len(side[split]) for side in self._sides)
        both = [[int(i) for i in indices], partners(indices, own, others, rng)]
        return {
            key: self._images([side[split][row] for row in rows], rng)
            for key, side, rows in zip(("input", "target"), self._sides, both, strict=True)
        }

    def content_hash(self, split: Split) -> str:
        """Digest of names and bytes of both sides' files, and of settings; reads the files once."""
        if split not in self._digests:
            files = [path for side in self._sides for path in side[split]]
            gray = ["gray"] if self.channels[0] == 1 else []
            settings = [
                *self.crops.settings(), self.count(split), *gray, *self._reading.settings()
            ]  # fmt: skip
            self._digests[split] = files_digest(settings, files, self._digests_of)
        return self._digests[split]

    def shown(self, inputs: Tensor) -> Tensor:
        """The images themselves; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for path in (path for side in self._sides for split in SPLITS for path in side[split]):
            self._decoded(path)

    def _images(self, paths: list[Path], rng: np.random.Generator | None) -> Tensor:
        """(N, image_channels, *crop) in [-1, 1]."""
        images = (self._image(path, self.crops.before(rng)) for path in paths)
        return to_tensor(np.stack([self.crops.drawn(rng, i.shape).of(i) for i in images]))

    def _image(self, path: Path, resizing: Resizing) -> Pixels:
        """(H, W, image_channels)."""
        key, fits = (path, resizing), self._fits_in_memory
        return remembered(self._cache, key, fits, lambda: self._resized(path, resizing))

    def _resized(self, path: Path, resizing: Resizing) -> Pixels:
        pixels = self._decoded(path)
        return resized(pixels, *self.crops.sized(pixels.shape, resizing, path))

    def _fits_in_memory(self, image: Pixels) -> bool:
        """Whether the whole decoded set may be kept, or this image of another size than others."""
        if self.crops.area is None:
            return self._room.takes(image)
        count = sum(len(files) for side in self._sides for files in side.values())
        return fits_in_memory(count * self.crops.area * self.channels[0], self._cache_bytes)

    def _decoded(self, path: Path) -> Pixels:
        return self._reading.image(path, self.channels[0])


def partners(
    indices: Sequence[int], own: int, others: int, rng: np.random.Generator | None
) -> list[int]:
    """For images of a kind of which there are `own`, the places of ones among `others`.

    Drawn, all being equally likely, or spread evenly without a generator.
    """
    if rng is None:
        return [int(i) * others // own for i in indices]
    return [int(place) for place in rng.integers(others, size=len(indices))]


def _listings(
    layout: str,
    folder: str | Path | None,
    input_folder: str | Path | None,
    target_folder: str | Path | None,
) -> list[tuple[str, Listing]]:
    """What A and B are called in messages, and their files."""
    if layout == "cyclegan" and folder is not None:
        return [(f"{folder}: side {side}", side_files(Path(folder), side)) for side in "AB"]
    if layout == "two-folders" and input_folder is not None and target_folder is not None:
        places = Path(input_folder), Path(target_folder)
        return [(f"{place}", single_files(place)) for place in places]
    raise DataError(
        f"unpaired: layout {layout!r} with the folders given; allowed are two-folders with "
        "input_folder and target_folder, and cyclegan with folder"
    )


def _files(listing: Listing, where: str, shares: tuple[float, float, int]) -> Files:
    """The files of each split of one side. Raises: DataError for a folder of one image."""
    for found in listing.values():
        if len(found) < 2:  # a single one has no other to be told from, nor statistics
            raise DataError(f"{found[0][0].parent}: has one image; at least two images are needed")
    splits = split_pairs(listing, *shares, where=where, unit="images", least=2)
    return {split: [path for (path,) in pairs] for split, pairs in splits.items()}


def _origin(
    places: Sequence[str], sides: Sequence[Files], folders: Sequence[str | Path | None]
) -> Origin:
    """Of both sides, each counted by itself."""
    groups = [
        Group(place, {split: len(side[split]) for split in SPLITS})
        for place, side in zip(places, sides, strict=True)
    ]
    files = (path for side in sides for split in SPLITS for path in side[split])
    roots = dict.fromkeys(Path(folder) for folder in folders if folder is not None)
    return Origin(tuple(groups), tuple(files), tuple(roots))
