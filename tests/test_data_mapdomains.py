from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from images import map_places, save_coded_worlds
from opening import map_domains, map_tiles

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.mapdomains import MapDomains
from gancompress.errors import DataError

WIDTH = 1200  # blocks of 100 pixels


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    save_coded_worlds(folder, WIDTH)
    return folder


@pytest.fixture(scope="module")
def data(coded: Path) -> MapDomains:
    return map_domains(size=32, min_land=0, folder=coded)


def _pairs(batch: Batch) -> list[tuple[int, int]]:
    """The maps of source and target, as their pixels tell."""
    maps = [map_places(images[:, :3])[:, 0, 0, 0] for images in (batch["input"], batch["target"])]
    return [(int(source), int(target)) for source, target in zip(*maps, strict=True)]


@pytest.mark.parametrize("seed", [None, 0])
def test_target_is_the_same_ground_in_the_map_that_is_asked_for(
    data: MapDomains, seed: int | None
) -> None:
    assert data.domains == ("etopo1", "shadedrelief", "bmng")
    assert (data.channels, data.paired) == ((6, 3), True)
    rng = None if seed is None else np.random.default_rng(seed)
    batch = data.batch("train", range(0, data.count("train"), 5), rng)
    source, target = map_places(batch["input"][:, :3]), map_places(batch["target"])
    assert np.array_equal(source[..., 1:], target[..., 1:])
    labels = batch["labels"][:, :, 0, 0].argmax(1)
    channels = batch["input"][:, 3:]
    assert torch.equal(channels, channels[:, :, :1, :1].expand_as(channels))
    assert torch.equal(channels.sum(1), torch.ones_like(channels[:, 0]))
    asked = channels[:, :, 0, 0].argmax(1)
    assert _pairs(batch) == list(zip(labels.tolist(), asked.tolist(), strict=True))
    assert (labels != asked).all()


@pytest.mark.parametrize("split", SPLITS)
def test_evaluation_has_all_six_ordered_pairs_equally_often(data: MapDomains, split: Split) -> None:
    count = data.count(split)
    found = Counter(_pairs(data.batch(split, range(count), None)))
    assert len(found) == 6 and max(found.values()) - min(found.values()) <= 1
    for wanted in (count // 3, count // 6):  # an even spread over part of them
        some = [i * count // wanted for i in range(wanted)]
        part = Counter(_pairs(data.batch(split, some, None)))
        assert len(part) == 6 and max(part.values()) < 2 * min(part.values())


def test_evaluation_is_the_same_whatever_else_is_asked_for(data: MapDomains, coded: Path) -> None:
    whole = data.batch("test", range(data.count("test")), None)
    part = map_domains(size=32, min_land=0, folder=coded).batch("test", [300, 7], None)
    assert all(torch.equal(part[key], whole[key][[300, 7]]) for key in whole)


def test_training_asks_for_both_other_maps(data: MapDomains) -> None:
    rng = np.random.default_rng(0)
    found = Counter(_pairs(data.batch("train", [data.count("train") // 2] * 200, rng)))
    assert found.keys() == {(1, 0), (1, 2)} and min(found.values()) > 70


def test_tiles_and_splits_are_those_of_the_pairs_of_maps(data: MapDomains, coded: Path) -> None:
    pairs = map_tiles(size=32, min_land=0, folder=coded)
    for split in SPLITS:
        assert data.count(split) == 3 * pairs.count(split)
        for number in range(3):
            rows = range(number * pairs.count(split), (number + 1) * pairs.count(split))
            source = map_places(data.batch(split, rows, None)["input"][:, :3])
            wanted = map_places(pairs.batch(split, range(pairs.count(split)), None)["input"])
            assert (source[..., 0] == number).all()
            assert np.array_equal(source[..., 1:], wanted[..., 1:])


def test_tiles_move_and_turn_only_with_a_generator(data: MapDomains) -> None:
    count = data.count("train")
    still = map_places(data.batch("train", range(count), None)["target"])
    moved = map_places(data.batch("train", range(count), np.random.default_rng(0))["target"])
    columns = np.diff(moved[..., 2], axis=2)
    assert set(np.unique(columns)) == {-1, 1}
    assert (np.diff(still[..., 2], axis=2) == 1).all()
    assert 0 < np.abs(moved[..., 1] - still[..., 1]).max() <= 16


def test_content_hash_is_its_own_and_follows_the_settings(data: MapDomains, coded: Path) -> None:
    hashes = [data.content_hash(split) for split in SPLITS]
    hashes.append(map_domains(size=36, min_land=0, folder=coded).content_hash("test"))
    hashes.append(map_tiles(size=32, min_land=0, folder=coded).content_hash("test"))
    assert len(set(hashes)) == 5
    assert map_domains(size=32, min_land=0, folder=coded).content_hash("test") == hashes[2]


def test_all_three_maps_are_needed(tmp_path: Path) -> None:
    save_coded_worlds(tmp_path, 768)
    (tmp_path / "shadedrelief.jpg").unlink()
    with pytest.raises(DataError, match=r"shadedrelief\.jpg is not there; put the map there"):
        map_domains(size=32, folder=tmp_path)
