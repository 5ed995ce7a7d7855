"""Any data set whose splits are hashed once, however often they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gancompress.data.dataset import Batch, Dataset, Split


class HashedOnce:
    """`dataset`, whose `content_hash` of a split is worked out once: it reads every image."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.channels, self.paired = dataset.channels, dataset.paired
        self._hashes: dict[Split, str] = {}

    def count(self, split: Split) -> int:
        return self._dataset.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """The data set's own; see `Dataset.batch`."""
        return self._dataset.batch(split, indices, rng)

    def shown(self, inputs: Tensor) -> Tensor | None:
        return self._dataset.shown(inputs)

    def content_hash(self, split: Split) -> str:
        if split not in self._hashes:
            self._hashes[split] = self._dataset.content_hash(split)
        return self._hashes[split]
