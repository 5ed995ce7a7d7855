"""What varies inputs: images that nobody took, each still made of those that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, save

from gancompress.data.fixeddraws import FixedDraws
from gancompress.data.inputs import InputFolder
from gancompress.data.inputsoptions import InputsOptions
from gancompress.data.varied import varied

IMAGE = noise(8, 8, seed=1)
BLACK = np.zeros_like(IMAGE)


def other() -> np.ndarray:
    return BLACK


def drawn(*names: str, count: int = 40, image: np.ndarray = IMAGE) -> list[np.ndarray]:
    return [varied(image, names, np.random.default_rng(i), other) for i in range(count)]


def test_turned_images_are_turned_by_quarters_and_long_ones_by_half() -> None:
    quarters = [np.rot90(IMAGE, k) for k in range(4)]
    which = [[np.array_equal(found, one) for one in quarters] for found in drawn("turn")]
    assert all(sum(row) == 1 for row in which) and all(np.any(which, 0))
    long = noise(8, 6, seed=2)
    found = drawn("turn", image=long)
    assert {array.tobytes() for array in found} == {long.tobytes(), np.rot90(long, 2).tobytes()}


def test_colours_are_changed_in_half_by_a_line_of_their_own_in_each_channel() -> None:
    middle = (64 + IMAGE.astype(float) / 4).round().astype(np.uint8)  # nothing is cut off
    changed = [x for x in drawn("colour", image=middle) if not np.array_equal(x, middle)]
    assert 10 <= len(changed) <= 30
    for found in changed:
        gains = []
        for channel in range(3):
            given, made = middle[..., channel].ravel(), found[..., channel].ravel()
            gain, offset = np.polyfit(given, made, 1)
            assert np.abs(gain * given + offset - made).max() < 1
            gains.append(gain)
        assert all(0.6 < gain < 1.4 for gain in gains) and np.ptp(gains) > 0.01


def test_mixed_images_lie_between_both_in_half() -> None:
    found = drawn("mix")
    mixed = [x for x in found if not np.array_equal(x, IMAGE)]
    assert 10 <= len(mixed) <= 30
    for one in mixed:
        share = np.sum(one.astype(float) * IMAGE) / np.sum(IMAGE.astype(float) ** 2)
        assert 0 <= share < 1
        np.testing.assert_allclose(one, share * IMAGE.astype(float), atol=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(9):
        split = ("train", "search", "test")[i % 3]
        save(tmp_path / "photos" / split / f"{i}.png", noise(40, 36, seed=i))
    return tmp_path / "photos"


def test_training_inputs_alone_are_varied_and_repeat(folder: Path) -> None:
    common = {"folder": str(folder), "load_size": "short:36", "crop_size": (32, 32)}
    plain = InputFolder(InputsOptions(**common))
    full = InputFolder(InputsOptions(**common, vary=("turn", "colour", "mix")))
    for split in ("train", "search", "test"):
        same = plain.batch(split, [0, 1, 2], None)["input"]
        assert torch.equal(full.batch(split, [0, 1, 2], None)["input"], same)
        assert full.content_hash(split) != plain.content_hash(split)
    ours, theirs = FixedDraws(full, 24, 0), FixedDraws(plain, 24, 0)
    rng = np.random.default_rng(0)
    first = ours.batch("train", range(24), rng)["input"]
    assert first.shape == (24, 3, 32, 32)
    assert torch.equal(first, ours.batch("train", range(24), rng)["input"])
    changes = (first - theirs.batch("train", range(24), rng)["input"]).abs().amax((1, 2, 3)) > 0
    assert changes.sum() >= 16
