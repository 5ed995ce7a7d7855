"""A user's own images, without anything beside them: for what learns of images alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import middle_square
from gancompress.data.dataset import Batch, Split
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import single_files, split_pairs
from gancompress.data.images import Pixels, resized, shown_part, to_tensor
from gancompress.data.options import ImagesOptions
from gancompress.storage.digests import Digests


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
        self.options, self.channels = options, options.channels
        folder = options.folder
        splits = split_pairs(
            single_files(Path(folder)), *options.split_fractions, where=folder, unit="images"
        )
        self._paths = {split: [path for (path,) in found] for split, found in splits.items()}
        group = group_of(splits, folder)
        self._files = FolderFiles(options, group, roots=(folder,), digests=digests)
        self.origin = self._files.origin

    def count(self, split: Split) -> int:
        return len(self._paths[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, the same images (N, image_channels, size, size) in [-1, 1].

        Raises: DataError naming the first file that cannot be used.
        """
        pixels = [self._image(self._paths[split][int(i)]) for i in indices]
        mirrored = np.zeros(len(pixels), bool)
        if rng is not None:
            mirrored = (rng.random(len(pixels)) < 0.5) & self.options.flip
        shown = [image[:, ::-1] if m else image for image, m in zip(pixels, mirrored, strict=True)]
        images = to_tensor(np.stack(shown))
        return {"input": images, "target": images}

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings."""
        options = self.options
        settings = [self.channels[0], options.crop, options.size, options.flip]
        return self._files.digest(split, settings)

    def shown(self, inputs: Tensor) -> Tensor:
        """The images themselves; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for (path,) in self._files.all():
            self._decoded(path)

    def _image(self, path: Path) -> Pixels:
        """(size, size, channels)."""
        size = self.options.size
        return self._files.kept(
            path,
            lambda: resized(self._decoded(path), size, size),
            item_bytes=size**2 * self.channels[0],
        )

    def _decoded(self, path: Path) -> Pixels:
        pixels = self._files.reading.image(path, self.channels[0])
        return middle_square(pixels, self.options.crop, path)
