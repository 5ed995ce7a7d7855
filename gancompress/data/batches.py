"""Batches by step number: the same for any number of worker processes, from any step on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from gancompress.data.dataset import Batch, Dataset, Split
from gancompress.errors import DataError

_ORDER, _AUGMENTATION = 1, 2  # streams of random numbers under one seed


def batch_at(
    dataset: Dataset,
    split: Split,
    step: int,
    batch_size: int,
    seed: int,
    *,
    rank: int = 0,
    world: int = 1,
) -> Batch:
    """The augmented batch of training step `step`: a function of the arguments alone.

    Each epoch is a permutation of the split whose incomplete last batch is dropped; a split smaller
    than a batch is gone through again and again until the batch is full.

    Of several processes, `world`, number `rank` gets every `world`-th image of the batch, so that
    equal parts of their shares are together the part that one process would cut off. Each draws its
    own augmentation: only without are the images the same to the last bit as one process's.
    """
    indices = _indices(dataset.count(split), step, batch_size, seed)[rank::world]
    streams = [seed, _AUGMENTATION, step]
    rng = np.random.default_rng(streams if world == 1 else [*streams, rank])
    return dataset.batch(split, indices, rng)


def step_loader(
    dataset: Dataset,
    split: Split,
    batch_size: int,
    *,
    seed: int,
    start: int,
    steps: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """The batches of steps `start` to `steps` - 1, prepared by `workers` processes (0: this one).

    rank, world: whose share, see `batch_at`.
    Leaves torch's global generator as it was. Raises: DataError as the data set does.
    """
    loader = DataLoader(
        _Steps(partial(batch_at, dataset, split, rank=rank, world=world), batch_size, seed),
        batch_size=None,
        sampler=range(start, steps),
        num_workers=workers,
        generator=torch.Generator(),  # otherwise each loader draws from the global one
    )
    for batch in loader:
        if isinstance(batch, str):
            raise DataError(batch)
        yield batch


class _Steps(TorchDataset[Batch | str]):
    """`batch_at` as a torch data set indexed by step; a DataError comes back as its message.

    (Raised inside a worker, it would reach the user with that process's traceback as its text.)
    """

    def __init__(self, at: Callable[[int, int, int], Batch], batch_size: int, seed: int) -> None:
        self._at, self._batch_size, self._seed = at, batch_size, seed

    def __getitem__(self, step: int) -> Batch | str:
        try:
            return self._at(step, self._batch_size, self._seed)
        except DataError as error:
            return str(error)


def _indices(count: int, step: int, batch_size: int, seed: int) -> list[int]:
    per_epoch = count // batch_size * batch_size or count  # pairs drawn from one permutation
    positions = range(step * batch_size, (step + 1) * batch_size)
    orders = {
        epoch: np.random.default_rng([seed, _ORDER, epoch]).permutation(count)
        for epoch in {position // per_epoch for position in positions}
    }
    return [int(orders[p // per_epoch][p % per_epoch]) for p in positions]
