"""What every data set offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from torch import Tensor

Split = Literal["train", "search", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Batch = dict[str, Tensor]  # "input" and "target": (N, C, H, W) in [-1, 1]


class Dataset(Protocol):
    """Pairs of images in three splits: one to learn from, one to choose on, one to report on."""

    channels: tuple[int, int]  # of the input, of the target

    def count(self, split: Split) -> int:
        """Number of pairs in the split."""

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, C, H, W) in [-1, 1], pair by pair in `indices`' order.

        With `rng` the pairs are augmented, always drawing in the same order; with None the answer
        depends on the indices alone.
        """

    def content_hash(self, split: Split) -> str:
        """Hexadecimal digest that changes with any pixel or setting of the split."""
