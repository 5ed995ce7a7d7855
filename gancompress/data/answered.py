"""Inputs with a trained generator's answers as their targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import Batch, Dataset, Split

ASKED_AT_ONCE = 4  # Inputs of one forward pass: a large generator's features take much memory.


class Answered:
    """`dataset` of inputs alone, whose targets outside of training are what `answer` makes of them.

    Each is worked out once and kept, in 16 bits, up to `cache_bytes` in all. In training batches
    have no target: whoever learns asks the generator itself.

    answer: inputs (N, C, H, W) in [-1, 1] -> images in [-1, 1], on the CPU. answered_by: a digest
    of it.
    """

    paired = True

    def __init__(
        self,
        dataset: Dataset,
        answer: Callable[[Tensor], Tensor],
        answered_by: Callable[[], str],
        cache_bytes: int,
    ) -> None:
        self._dataset, self._answer, self._answered_by = dataset, answer, answered_by
        self.channels = dataset.channels
        self._left = cache_bytes
        self._kept: dict[tuple[Split, int], Tensor] = {}

    def count(self, split: Split) -> int:
        return self._dataset.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """The data set's own batch, and outside of training "target"; see `Dataset.batch`."""
        batch = dict(self._dataset.batch(split, indices, rng))
        if rng is None:
            inputs = batch["input"]
            missing = [n for n, i in enumerate(indices) if (split, int(i)) not in self._kept]
            answers: dict[int, Tensor] = {}
            for start in range(0, len(missing), ASKED_AT_ONCE):
                part = missing[start : start + ASKED_AT_ONCE]
                answers |= dict(zip(part, self._answer(inputs[part]).half(), strict=True))
            for number, index in enumerate(indices):
                if number in answers:
                    self._keep((split, int(index)), answers[number])
                else:
                    answers[number] = self._kept[split, int(index)]
            batch["target"] = torch.stack([answers[n] for n in range(len(indices))]).float()
        return batch

    def _keep(self, key: tuple[Split, int], answer: Tensor) -> None:
        if answer.nbytes <= self._left:
            self._left -= answer.nbytes
            self._kept[key] = answer.clone()

    def shown(self, inputs: Tensor) -> Tensor | None:
        return self._dataset.shown(inputs)

    def content_hash(self, split: Split) -> str:
        own = f"answers of {self._answered_by()}"
        return hashlib.sha256(f"{own} {self._dataset.content_hash(split)}".encode()).hexdigest()
