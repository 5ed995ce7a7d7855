"""Inputs without targets: the built-in photograph's tiles, which a trained generator answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from images import save_coded_worlds
from opening import map_inputs, map_tiles

from gancompress.data.dataset import SPLITS
from gancompress.data.mapsoptions import MapsInputsOptions


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    save_coded_worlds(folder, 1200)
    return folder


def test_tiles_are_those_that_pairs_have_as_targets(worlds: Path) -> None:
    inputs, pairs = (made(folder=worlds, size=32, min_land=0) for made in (map_inputs, map_tiles))
    for split in SPLITS:
        assert inputs.count(split) == pairs.count(split) > 0
        for seed in (None, 3):
            rngs = [None if seed is None else np.random.default_rng(seed) for _ in range(2)]
            found = inputs.batch(split, range(4), rngs[0])
            assert found.keys() == {"input"}
            assert torch.equal(found["input"], pairs.batch(split, range(4), rngs[1])["target"])
        assert inputs.content_hash(split) != pairs.content_hash(split)
    assert torch.equal(inputs.shown(found["input"]), found["input"])


def test_the_answers_are_scale_times_as_large() -> None:
    options = MapsInputsOptions(size=48, scale=4)
    assert options.image_size == options.evaluated_size == (192, 192)
    assert (options.enlargement, options.channels, options.has_ground_truth) == (4, (3, 3), True)
    assert options.kind == "inputs" and options.cache_bytes > 0 and MapsInputsOptions().scale == 1
