"""Any data set whose training images are augmented once: the same few, whenever they come up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import Batch, Dataset, Split

DRAW = "draw"  # The key of a batch that says which draw each image is: (N, 1, 1, 1) int64.
_STREAM = 13  # The augmentations' stream of random numbers under the run's seed.


class FixedDraws:
    """`count` training images of `dataset`, each augmented in one way for good, and numbered.

    Draw i is training image i, modulo their number, so that several draws of an image differ as
    its augmentations do; two sets of another `again` share no draw. What is computed of a draw can
    be kept under its number, which batches hold under DRAW. Other splits, and images without
    augmentation, are the data set's own.
    """

    def __init__(self, dataset: Dataset, count: int, seed: int, again: int = 0) -> None:
        self._dataset, self._count, self._seeds = dataset, count, (seed, _STREAM, again)
        self.channels, self.paired = dataset.channels, dataset.paired

    def count(self, split: Split) -> int:
        return self._count if split == "train" else self._dataset.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """The draws `indices` of training where there is an `rng`, which is not used."""
        if split != "train" or rng is None:
            return self._dataset.batch(split, indices, rng)
        images = self._dataset.count("train")
        drawn = [
            self._dataset.batch("train", [i % images], np.random.default_rng([*self._seeds, i]))
            for i in indices
        ]
        batch = {name: torch.cat([one[name] for one in drawn]) for name in drawn[0]}
        return batch | {DRAW: torch.tensor(list(indices)).reshape(-1, 1, 1, 1)}

    def shown(self, inputs: Tensor) -> Tensor | None:
        return self._dataset.shown(inputs)

    def content_hash(self, split: Split) -> str:
        return self._dataset.content_hash(split)
