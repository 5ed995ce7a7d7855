"""Any data set's target images, beside random vectors in place of its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import SPLITS, Batch, Dataset, Split

_STREAM = 12  # The random stream of the vectors that evaluation uses, which are always the same.


class Latent:
    """The targets of `dataset`; its inputs are `size` numbers from N(0, 1), (N, size, 1, 1).

    With a generator every batch draws new vectors; without, each image of a split has its own for
    good. Teacher and student get the same vector, because they get the same input.
    """

    paired = False

    def __init__(self, dataset: Dataset, size: int) -> None:
        self._dataset, self._size = dataset, size
        self.channels = (size, dataset.channels[1])

    def count(self, split: Split) -> int:
        return self._dataset.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, (N, size, 1, 1) and the images; see `Dataset.batch`."""
        images = self._dataset.batch(split, indices, rng)["target"]
        if rng is not None:
            vectors = torch.from_numpy(rng.standard_normal((len(indices), self._size), np.float32))
        else:
            vectors = latents(self._size, [[SPLITS.index(split), int(i)] for i in indices])
        return {"input": vectors[:, :, None, None], "target": images}

    def shown(self, inputs: Tensor) -> Tensor | None:
        """Nothing to look at; see `Dataset.shown`."""
        return None

    def content_hash(self, split: Split) -> str:
        own = f"vectors of {self._size}, stream {_STREAM}"
        return hashlib.sha256(f"{own} {self._dataset.content_hash(split)}".encode()).hexdigest()


def latents(size: int, seeds: Sequence[Sequence[int]]) -> Tensor:
    """Vectors (N, size) from N(0, 1), each a function of its own seed alone."""
    drawn = [np.random.default_rng([_STREAM, *s]).standard_normal(size, np.float32) for s in seeds]
    return torch.from_numpy(np.stack(drawn))
