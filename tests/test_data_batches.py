from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from images import save_pairs
from opening import pair_folders

from gancompress.data import DATASETS
from gancompress.data.batches import batch_at, step_loader
from gancompress.data.dataset import Batch, Dataset, Split
from gancompress.errors import DataError

# Python 3.12 and later warn of any fork beside other threads, of which torch starts some.
may_fork = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class _Numbers:
    """`size` pairs; the input is the pair's number and the target a random number."""

    channels = (1, 1)
    paired = True

    def __init__(self, size: int) -> None:
        self._size = size

    def count(self, split: Split) -> int:
        return self._size

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        if rng is not None and 13 in indices:
            raise DataError("number 13: is unlucky; take another")
        noise = np.zeros(len(indices)) if rng is None else rng.random(len(indices))
        shape = (len(indices), 1, 1, 1)
        return {
            "input": torch.tensor(list(indices), dtype=torch.float32).reshape(shape),
            "target": torch.from_numpy(noise).float().reshape(shape),
        }

    def content_hash(self, split: Split) -> str:
        return f"{split} {self._size}"

    def shown(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs


def _numbers(batch: Batch) -> list[int]:
    return [int(n) for n in batch["input"].flatten()]


def _same(one: Batch, two: Batch) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_registry_has_the_data_sets_by_name() -> None:
    own = ["domains", "idx", "images", "inputs", "labelmaps", "pairs", "unpaired"]
    maps = ["map-domains", "maps", "maps-inputs", "maps-labels", "maps-superres", "maps-unpaired"]
    assert sorted(DATASETS) == sorted([*own, "superres", *maps])


def test_batch_is_a_function_of_its_arguments() -> None:
    data: Dataset = _Numbers(10)
    one = batch_at(data, "train", 7, 4, seed=1)
    batch_at(data, "train", 3, 4, seed=1)
    assert _same(batch_at(data, "train", 7, 4, seed=1), one)
    for other in (batch_at(data, "train", 8, 4, seed=1), batch_at(data, "train", 7, 4, seed=2)):
        assert not _same(one, other)
        assert not torch.equal(one["target"], other["target"])  # another augmentation


def test_an_epoch_shows_no_pair_twice_and_drops_the_incomplete_batch() -> None:
    epochs = []
    for epoch in range(30):
        steps = (3 * epoch, 3 * epoch + 1, 3 * epoch + 2)
        epochs.append(
            [n for s in steps for n in _numbers(batch_at(_Numbers(13), "train", s, 4, 0))]
        )
    assert all(len(set(epoch)) == 12 for epoch in epochs)
    assert set(itertools.chain(*epochs)) == set(range(13))  # what is dropped changes
    assert len({tuple(epoch) for epoch in epochs}) == 30


def test_split_smaller_than_a_batch_is_gone_through_again() -> None:
    drawn = [n for step in range(3) for n in _numbers(batch_at(_Numbers(3), "train", step, 5, 0))]
    assert [len(drawn), *(drawn.count(n) for n in range(3))] == [15, 5, 5, 5]
    assert all(set(drawn[at : at + 3]) == {0, 1, 2} for at in range(0, 15, 3))


@may_fork
def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    save_pairs(tmp_path, 9, height=10, width=10)
    data = pair_folders(folder=tmp_path, load_size=10, crop_size=8)
    here = list(step_loader(data, "train", 3, seed=5, start=0, steps=6, workers=0))
    there = list(step_loader(data, "train", 3, seed=5, start=0, steps=6, workers=2))
    assert len(here) == len(there) == 6
    assert all(map(_same, here, there))


def test_resuming_at_a_step_equals_going_on() -> None:
    data = _Numbers(10)
    whole = list(step_loader(data, "train", 4, seed=3, start=0, steps=9))
    rest = list(step_loader(data, "train", 4, seed=3, start=5, steps=9))
    assert all(map(_same, whole[5:], rest)) and len(rest) == 4
    assert all(_same(b, batch_at(data, "train", s, 4, 3)) for s, b in enumerate(whole))
    assert list(step_loader(data, "train", 4, seed=3, start=9, steps=9)) == []


@may_fork
@pytest.mark.parametrize("workers", [0, 1])
def test_data_error_keeps_its_one_sentence(workers: int) -> None:
    with pytest.raises(DataError) as caught:
        list(step_loader(_Numbers(14), "train", 7, seed=0, start=0, steps=2, workers=workers))
    assert str(caught.value) == "number 13: is unlucky; take another"


def test_loading_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    list(step_loader(_Numbers(10), "train", 4, seed=0, start=0, steps=2))
    assert torch.equal(torch.get_rng_state(), before)
