"""A user's own images, without anything beside them: for what learns of images alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import middle_square
from gancompress.data.dataoptions import Digests
from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.folders import single_files, split_pairs
from gancompress.data.images import (
    Pixels,
    Reading,
    file_digests,
    files_digest,
    fits_in_memory,
    remembered,
    resized,
    shown_part,
    to_tensor,
)
from gancompress.data.options import ImagesOptions
from gancompress.data.origin import from_folders


class ImageFolder:
    """Images of a folder; "input" and "target" of a batch are the same ones.

    `folder` holds train/, test/ (or val/) and perhaps search/, or files, which are then split by
    `split_seed`; see `folders.split_pairs`. From each image the square of `crop` pixels in its
    middle (0: the largest) is resized to `size`. With a generator it is mirrored half of the time,
    with `flip`. Sets of at most `cache_mb` (decoded; 0 = none) are decoded once and kept, larger
    ones stream.

    Raises: DataError for a folder that is missing or a split without images; for damaged images
    later, when they are read (`check` reads them all).
    """

    paired = False

    def __init__(self, options: ImagesOptions, digests: Digests | None = None) -> None:
        self.options = options
        shares = (options.search_fraction, options.test_fraction, options.split_seed)
        splits = split_pairs(
            single_files(Path(options.folder)), *shares, where=f"{options.folder}", unit="images"
        )
        self._files = {split: [path for (path,) in found] for split, found in splits.items()}
        self.channels = (options.image_channels, options.image_channels)
        self.crop, self.size, self.flip = options.crop, options.size, options.flip
        self.origin = from_folders(self._files, {s: self.count(s) for s in SPLITS}, options.folder)
        self._reading = Reading(options.max_value, options.background)
        self._cache_bytes = options.cache_mb * 1e6
        self._cache: dict[Path, Pixels] = {}
        self._digests: dict[Split, str] = {}
        self._digests_of = file_digests if digests is None else digests

    def count(self, split: Split) -> int:
        return len(self._files[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, the same images (N, image_channels, size, size) in [-1, 1].

        Raises: DataError naming the first file that cannot be used.
        """
        pixels = [self._image(self._files[split][int(i)]) for i in indices]
        mirrored = np.zeros(len(pixels), bool)
        if rng is not None:
            mirrored = (rng.random(len(pixels)) < 0.5) & self.flip
        shown = [image[:, ::-1] if m else image for image, m in zip(pixels, mirrored, strict=True)]
        images = to_tensor(np.stack(shown))
        return {"input": images, "target": images}

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings; reads the files once."""
        if split not in self._digests:
            settings = [
                self.channels[0],
                self.crop,
                self.size,
                self.flip,
                *self._reading.settings(),
            ]
            self._digests[split] = files_digest(settings, self._files[split], self._digests_of)
        return self._digests[split]

    def shown(self, inputs: Tensor) -> Tensor:
        """The images themselves; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for path in (path for split in SPLITS for path in self._files[split]):
            self._decoded(path)

    def _image(self, path: Path) -> Pixels:
        """(size, size, channels)."""
        count = sum(len(files) for files in self._files.values())
        fits = fits_in_memory(count * self.size**2 * self.channels[0], self._cache_bytes)
        return remembered(
            self._cache, path, fits, lambda: resized(self._decoded(path), self.size, self.size)
        )

    def _decoded(self, path: Path) -> Pixels:
        pixels = self._reading.image(path, self.channels[0])
        return middle_square(pixels, self.crop, path)
