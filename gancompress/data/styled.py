"""Any data set with a style code for every image, for generators that take one (MUNIT)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import SPLITS, Batch, Dataset, Split

# The random stream of the style codes that evaluation uses, which are always the same.
_STREAM = 11


class Styled:
    """`dataset` with `style` constant channels behind the input's, a code drawn from N(0, 1).

    With a generator every batch draws new codes; without, each image of a split has its own for
    good. Teacher and student get the same code, because they get the same input.
    """

    def __init__(self, dataset: Dataset, style: int) -> None:
        self._dataset, self._style = dataset, style
        inputs, outputs = dataset.channels
        self.channels = (inputs + style, outputs)
        self.paired = dataset.paired

    def count(self, split: Split) -> int:
        return self._dataset.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """The data set's own batch, "input" (N, C + style, H, W); see `Dataset.batch`."""
        batch = dict(self._dataset.batch(split, indices, rng))
        images = batch["input"]
        if rng is not None:
            codes = rng.standard_normal((len(indices), self._style), np.float32)
        else:
            seeds = ([_STREAM, SPLITS.index(split), int(index)] for index in indices)
            drawn = [np.random.default_rng(s).standard_normal(self._style) for s in seeds]
            codes = np.array(drawn, np.float32).reshape(-1, self._style)
        shape = (*codes.shape, *images.shape[2:])
        channels = torch.from_numpy(np.broadcast_to(codes[:, :, None, None], shape).copy())
        batch["input"] = torch.cat((images, channels), 1)  # (N, C + style, H, W)
        return batch

    def shown(self, inputs: Tensor) -> Tensor | None:
        """The picture of the images alone; see `Dataset.shown`."""
        return self._dataset.shown(inputs[:, : inputs.shape[1] - self._style])

    def content_hash(self, split: Split) -> str:
        own = f"{self._style} planes of style, stream {_STREAM}"
        return hashlib.sha256(f"{own} {self._dataset.content_hash(split)}".encode()).hexdigest()
