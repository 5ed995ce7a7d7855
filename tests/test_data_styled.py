"""Style codes behind the images of any data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import Batch, Split
from gancompress.data.styled import Styled


class Plain:
    """Images whose every value is their index; augmentation adds a random number to each."""

    channels = (3, 3)
    paired = False

    def count(self, split: Split) -> int:
        return 1000

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        values = np.asarray(indices, np.float32)
        if rng is not None:
            values = values + rng.random(len(indices), np.float32)
        images = torch.from_numpy(values)[:, None, None, None].expand(-1, 3, 4, 5)
        return {"input": images, "target": -images}

    def shown(self, inputs: Tensor) -> Tensor:
        assert inputs.shape[1] == 3
        return inputs

    def content_hash(self, split: Split) -> str:
        return f"plain {split}"


STYLED = Styled(Plain(), 8)


def codes(batch: Batch) -> Tensor:
    channels = batch["input"][:, 3:]
    assert channels.shape[1:] == (8, 4, 5)
    assert torch.equal(channels.amin((2, 3)), channels.amax((2, 3)))  # constant over each image
    return channels[:, :, 0, 0]


def test_images_and_targets_are_the_data_sets_own() -> None:
    ours, theirs = STYLED.batch("test", [4, 2], None), Plain().batch("test", [4, 2], None)
    assert torch.equal(ours["input"][:, :3], theirs["input"])
    assert torch.equal(ours["target"], theirs["target"])
    assert STYLED.channels == (11, 3) and torch.equal(STYLED.shown(ours["input"]), theirs["input"])


def test_codes_of_evaluation_belong_to_the_image() -> None:
    one, other = STYLED.batch("test", [7, 3], None), STYLED.batch("test", [3, 9, 7], None)
    assert torch.equal(codes(one), codes(other)[[2, 0]])
    assert not torch.equal(codes(one), codes(STYLED.batch("search", [7, 3], None)))


def test_codes_of_training_are_drawn_anew() -> None:
    rng = np.random.default_rng(0)
    one, other = STYLED.batch("train", [7], rng), STYLED.batch("train", [7], rng)
    again = STYLED.batch("train", [7], np.random.default_rng(0))
    assert not torch.equal(codes(one), codes(other)) and torch.equal(codes(one), codes(again))


def test_codes_are_standard_normal() -> None:
    for rng in (None, np.random.default_rng(0)):
        drawn = codes(STYLED.batch("train", range(1000), rng))
        assert abs(float(drawn.mean())) < 0.05 and abs(float(drawn.std()) - 1) < 0.05


def test_content_hash_tells_codes_and_images() -> None:
    hashes = {STYLED.content_hash("test"), STYLED.content_hash("train")}
    assert len(hashes | {Styled(Plain(), 4).content_hash("test"), "plain test"}) == 4
