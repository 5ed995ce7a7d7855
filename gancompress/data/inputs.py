"""A user's own inputs, without targets: a trained generator answers them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from gancompress.data.crops import Crops, Resizing, crops_of
from gancompress.data.dataset import Batch, Split
from gancompress.data.folderfiles import FolderFiles, group_of
from gancompress.data.folders import single_files, split_pairs
from gancompress.data.images import Pixels, resized, shown_part, to_tensor
from gancompress.data.inputsoptions import InputsOptions
from gancompress.data.varied import varied
from gancompress.storage.digests import Digests


class InputFolder:
    """Images of a folder, cropped; batches hold "input" alone.

    `folder` holds train/, test/ and perhaps search/ (or val/), or files, which are then split by
    `split_seed`; see `folders.split_pairs`. Images are resized to `load_size` as `crops.crops_of`
    says. With a generator a crop of `crop_size` is drawn and mirrored half of the time, with
    `flip`, and varied by `vary`; without one it is the middle, `test_size` large.

    Raises: DataError for a folder that is missing or a split without images; for damaged images
    later, when they are read (`check` reads them all).
    """

    paired = True

    def __init__(self, options: InputsOptions, digests: Digests | None = None) -> None:
        self.options, self.channels = options, options.channels
        test = options.test_size or options.crop_size
        self._trained = crops_of(options.load_size, options.crop_size, options.flip)
        self._tested = crops_of(options.load_size, test, flip=False)
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
        """`{"input"}`, (N, input_channels, *crop_size or *test_size) in [-1, 1].

        Raises: DataError naming the first file that cannot be used.
        """
        crops = self._tested if rng is None else self._trained
        found = []
        for index in indices:
            pixels = self._cropped(split, int(index), crops, rng)
            if rng is not None and self.options.vary:
                pixels = varied(pixels, self.options.vary, rng, partial(self._any, split, rng))
            found.append(pixels)
        return {"input": to_tensor(np.stack(found))}

    def _cropped(
        self, split: Split, index: int, crops: Crops, rng: np.random.Generator | None
    ) -> Pixels:
        image = self._image(self._paths[split][index], crops.before(rng))
        return crops.drawn(rng, image.shape[:2]).of(image)

    def _any(self, split: Split, rng: np.random.Generator) -> Pixels:
        """A crop of any image of the split."""
        return self._cropped(split, int(rng.integers(self.count(split))), self._trained, rng)

    def content_hash(self, split: Split) -> str:
        """Digest of the split's names, file bytes and settings."""
        settings = [self.channels[0], *self._trained.settings(), *self._tested.settings()]
        settings += self.options.vary
        return self._files.digest(split, settings)

    def shown(self, inputs: Tensor) -> Tensor:
        """Three channels of the input, or a gray one; see `Dataset.shown`."""
        return shown_part(inputs)

    def check(self) -> None:
        """Decode every image once. Raises: DataError naming the first file that is unusable."""
        for (path,) in self._files.all():
            self._resized(path, self._trained.before(None))

    def _image(self, path: Path, resizing: Resizing) -> Pixels:
        """(H, W, C), resized."""
        return self._files.kept((path, resizing), lambda: self._resized(path, resizing))

    def _resized(self, path: Path, resizing: Resizing) -> Pixels:
        pixels = self._files.reading.image(path, self.channels[0])
        height, width = self._least.sized(pixels.shape, resizing, path)
        return resized(pixels, height, width)

    @property
    def _least(self) -> Crops:
        """The crops of the larger size: an image that suffices for them suffices for all."""
        return max(self._trained, self._tested, key=lambda crops: crops.crop[0] * crops.crop[1])
