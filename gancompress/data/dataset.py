"""What every data set offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from torch import Tensor

Split = Literal["train", "search", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Batch = dict[str, Tensor]  # "input", "target": (N, C, H, W); perhaps "labels"


class Dataset(Protocol):
    """Pairs of images in three splits: one to learn from, one to choose on, one to report on.

    Sets of several domains add a channel of 0 or 1 to the input's image for each domain, the label
    that is asked for, and "labels" to the batch, the input's own: see `labels.labelled_batch`.
    The input of label maps is channels of 0 or 1 alone: see `labelchannels.label_channels`. That of
    super-resolution is the target itself, made small: see `superres.shrunk_batch`. Sets of images
    alone, whose makers begin with random numbers (see `latent`), give each as its own input.
    """

    channels: tuple[int, int]  # The input's and the target's.
    paired: bool  # whether "target" is the true answer to "input", not just one of its kind

    def count(self, split: Split) -> int:
        """Number of pairs in the split."""

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, C, H, W) in [-1, 1], pair by pair in `indices`' order.

        With `rng` the pairs are augmented, always drawing in the same order; with None the answer
        depends on the indices alone.
        """

    def content_hash(self, split: Split) -> str:
        """Hexadecimal digest that changes with any pixel or setting of the split."""

    def shown(self, inputs: Tensor) -> Tensor | None:
        """The part of inputs (N, C, H, W) that can be looked at: (N, 3 or 1, H, W) in [-1, 1].

        None for random vectors.
        """
