"""A user's own images of two kinds that are no pairs, as CycleGAN and MUNIT learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import Resizing, crops_of
from gancompress.data.dataset import Batch, Split
from gancompress.data.folderfiles import FileGroup, FolderFiles
from gancompress.data.folders import Listing, Pair, side_files, single_files, split_pairs
from gancompress.data.images import Pixels, resized, shown_part, to_tensor
from gancompress.data.options import UnpairedOptions
from gancompress.errors import DataError
from gancompress.storage.digests import Digests


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
        self.options, self.channels = options, options.channels
        self.crops = crops_of(options.load_size, options.crop_size, options.flip)
        self._sides = [
            FileGroup(where, _files(listing, where, options.split_fractions))
            for where, listing in _listings(options)
        ]
        roots = (options.folder, options.input_folder, options.target_folder)
        self._files = FolderFiles(options, *self._sides, roots=roots, digests=digests)
        self.origin = self._files.origin

    def count(self, split: Split) -> int:
        """Number of images of A in the split."""
        return len(self._sides[0].items[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, image_channels, *crop) in [-1, 1]; `indices` are of A.

        Raises: DataError naming the first file that cannot be used.
        """
        own, others = (len(side.items[split]) for side in self._sides)
        both = [[int(i) for i in indices], partners(indices, own, others, rng)]
        return {
            key: self._images([side.items[split][row][0] for row in rows], rng)
            for key, side, rows in zip(("input", "target"), self._sides, both, strict=True)
        }

    def content_hash(self, split: Split) -> str:
        """Digest of names and bytes of both sides' files, and of settings."""
        gray = ["gray"] if self.channels[0] == 1 else []
        return self._files.digest(split, [*self.crops.settings(), self.count(split), *gray])

    def shown(self, inputs: Tensor) -> Tensor:
        """The images themselves; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for (path,) in self._files.all():
            self._decoded(path)

    def _images(self, paths: list[Path], rng: np.random.Generator | None) -> Tensor:
        """(N, image_channels, *crop) in [-1, 1]."""
        images = (self._image(path, self.crops.before(rng)) for path in paths)
        return to_tensor(np.stack([self.crops.drawn(rng, i.shape).of(i) for i in images]))

    def _image(self, path: Path, resizing: Resizing) -> Pixels:
        """(H, W, image_channels)."""
        area = self.crops.area
        item_bytes = None if area is None else area * self.channels[0]
        return self._files.kept(
            (path, resizing), lambda: self._resized(path, resizing), item_bytes=item_bytes
        )

    def _resized(self, path: Path, resizing: Resizing) -> Pixels:
        pixels = self._decoded(path)
        return resized(pixels, *self.crops.sized(pixels.shape, resizing, path))

    def _decoded(self, path: Path) -> Pixels:
        return self._files.reading.image(path, self.channels[0])


def partners(
    indices: Sequence[int], own: int, others: int, rng: np.random.Generator | None
) -> list[int]:
    """For images of a kind of which there are `own`, the places of ones among `others`.

    Drawn, all being equally likely, or spread evenly without a generator.
    """
    if rng is None:
        return [int(i) * others // own for i in indices]
    return [int(place) for place in rng.integers(others, size=len(indices))]


def _listings(options: UnpairedOptions) -> list[tuple[str, Listing]]:
    """What A and B are called in messages, and their files."""
    if options.layout == "cyclegan":
        assert options.folder, "the options have it"
        folder = Path(options.folder)
        return [(f"{options.folder}: side {side}", side_files(folder, side)) for side in "AB"]
    assert options.input_folder and options.target_folder, "the options have them"
    places = Path(options.input_folder), Path(options.target_folder)
    return [(f"{place}", single_files(place)) for place in places]


def _files(
    listing: Listing, where: str, fractions: tuple[float, float, int]
) -> dict[Split, list[Pair]]:
    """The files of each split of one side. Raises: DataError for a folder of one image."""
    for found in listing.values():
        if len(found) < 2:  # a single one has no other to be told from, nor statistics
            raise DataError(f"{found[0][0].parent}: has one image; at least two images are needed")
    return split_pairs(listing, *fractions, where=where, unit="images", least=2)
