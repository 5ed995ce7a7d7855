"""Fixed draws: the same augmented image under the same number, whatever batch it comes in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from gancompress.data.batches import batch_at
from gancompress.data.dataset import Batch, Split
from gancompress.data.fixeddraws import DRAW, FixedDraws


class Shaken:
    """Three images of one value each; augmentation adds a random number."""

    channels = (1, 1)
    paired = True

    def count(self, split: Split) -> int:
        return 3

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        values = torch.tensor([float(i) for i in indices]).reshape(-1, 1, 1, 1)
        shift = 0.0 if rng is None else torch.from_numpy(rng.random((len(indices), 1, 1, 1)))
        return {"input": values + shift, "target": -values}

    def content_hash(self, split: Split) -> str:
        return f"three of {split}"

    def shown(self, inputs: Tensor) -> Tensor:
        return inputs


def draw(dataset: FixedDraws, indices: Sequence[int], seed: int = 0) -> Batch:
    return dataset.batch("train", indices, np.random.default_rng(seed))


def test_a_draw_is_the_same_in_every_batch() -> None:
    fixed = FixedDraws(Shaken(), 7, seed=1)
    one, other = draw(fixed, [5, 0, 2]), draw(fixed, [2, 6, 5], seed=9)
    assert torch.equal(one["input"][[0, 2]], other["input"][[2, 0]])
    assert one[DRAW].shape == (3, 1, 1, 1) and one[DRAW].flatten().tolist() == [5, 0, 2]


def test_draws_go_round_the_images_each_time_augmented_otherwise() -> None:
    batch = draw(FixedDraws(Shaken(), 7, seed=1), range(7))
    assert batch["target"].flatten().tolist() == [0, -1, -2, 0, -1, -2, 0]
    shifts = (batch["input"] + batch["target"]).flatten().tolist()
    assert len(set(shifts)) == 7 and all(0 <= shift < 1 for shift in shifts)
    for other in (FixedDraws(Shaken(), 7, seed=2), FixedDraws(Shaken(), 7, seed=1, again=1)):
        assert not torch.isin(draw(other, range(7))["input"], batch["input"]).any()


def test_training_batches_cover_all_draws_in_an_epoch() -> None:
    fixed = FixedDraws(Shaken(), 8, seed=0)
    seen = [batch_at(fixed, "train", step, 4, 0)[DRAW].flatten().tolist() for step in range(4)]
    assert sorted(seen[0] + seen[1]) == sorted(seen[2] + seen[3]) == list(range(8))


@pytest.mark.parametrize("split", ["train", "search", "test"])
def test_what_is_not_augmented_is_the_data_sets_own(split: Split) -> None:
    fixed = FixedDraws(Shaken(), 7, seed=0)
    assert fixed.batch(split, [1], None).keys() == {"input", "target"}
    assert fixed.content_hash(split) == f"three of {split}"
    assert fixed.count(split) == (7 if split == "train" else 3)
