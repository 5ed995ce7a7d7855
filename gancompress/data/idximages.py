"""Images from IDX files, such as the digits of MNIST: for what learns of images alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gancompress.data.dataset import Batch, Split
from gancompress.data.idx import read_idx
from gancompress.data.images import Pixels, shown_part, to_tensor
from gancompress.data.options import IdxOptions
from gancompress.data.origin import Group, Origin
from gancompress.errors import DataError

_TRAIN, _TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"  # as MNIST names them
_STREAM = 15  # The random stream of the split.


class IdxImages:
    """Gray images of one size; "input" and "target" of a batch are the same ones.

    `images`: a folder that holds train-images-idx3-ubyte, and t10k-images-idx3-ubyte for the test
    split, both perhaps with .gz; or one IDX file. What is not split by files is split by
    `split_seed`. `size`: the side that the images have. With `pad` above it black is added on all
    sides, to that side: 32 of 28, for networks that halve more often.

    Raises: DataError for a file that is missing or damaged, or whose images have other sides, and
    for a split without images.
    """

    channels = (1, 1)
    paired = False

    def __init__(self, options: IdxOptions) -> None:
        self.options = options
        images, size = options.images, options.size
        side = options.image_size[0]
        before = (side - size) // 2
        self._pads = before, side - size - before
        path = Path(images)
        roots = (path,) if path.is_dir() else ()
        train = _file(path, _TRAIN) if path.is_dir() else path
        test = _file(path, _TEST) if path.is_dir() and _is_there(path, _TEST) else None
        taken = _read(train, size)
        order = np.random.default_rng([options.split_seed, _STREAM]).permutation(len(taken))
        fractions = (options.search_fraction, options.test_fraction if test is None else 0.0)
        ends = np.cumsum([round(fraction * len(taken)) for fraction in fractions])
        search, held_back, rest = np.split(order, ends)
        self._splits: dict[Split, Pixels] = {
            "train": taken[np.sort(rest)],
            "search": taken[np.sort(search)],
            "test": taken[np.sort(held_back)] if test is None else _read(test, size),
        }
        for split, found in self._splits.items():
            if not len(found):
                raise DataError(
                    f"{images}: the {split} split is empty, {len(taken)} images are left to share "
                    "out; give more images or larger fractions"
                )
        counts = {split: len(found) for split, found in self._splits.items()}
        files = tuple(file for file in (train, test) if file is not None)
        self.origin = Origin((Group(f"{images}", counts),), files, roots)

    def count(self, split: Split) -> int:
        return len(self._splits[split])

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, the same images (N, 1, side, side) in [-1, 1], never augmented."""
        chosen = self._splits[split][np.asarray(indices, np.intp)]  # (N, size, size)
        padded = np.pad(chosen, ((0, 0), self._pads, self._pads))
        images = to_tensor(padded[..., None])
        return {"input": images, "target": images}

    def content_hash(self, split: Split) -> str:
        """Digest of the split's pixels and of the sides; see `Dataset.content_hash`."""
        images = self._splits[split]
        digest = hashlib.sha256(json.dumps([images.shape, self._pads]).encode())
        digest.update(images.tobytes())
        return digest.hexdigest()

    def shown(self, inputs: Tensor) -> Tensor:
        """The images themselves; see `Dataset.shown`."""
        return shown_part(inputs)


def _is_there(folder: Path, name: str) -> bool:
    return any((folder / f"{name}{end}").is_file() for end in ("", ".gz"))


def _file(folder: Path, name: str) -> Path:
    """The file `name` in the folder, packed or not. Raises: DataError if there is none."""
    if not _is_there(folder, name):
        raise DataError(f"{folder}: holds no {name}[.gz]; give a folder with that, or a file")
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """(N, size, size). Raises: DataError."""
    images = read_idx(path)
    if images.ndim != 3 or images.shape[1:] != (size, size):
        sides = " x ".join(map(str, images.shape))
        raise DataError(
            f"{path}: holds {sides} values; images of {size} x {size} are asked for, set size"
        )
    return images
