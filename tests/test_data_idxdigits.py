"""Images in IDX files as a data set: splits, padding, and what does not fit."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from images import Pixels, to_bytes
from opening import idx_images
from pydantic import TypeAdapter, ValidationError

from gancompress.data.dataset import SPLITS
from gancompress.data.idximages import IdxImages
from gancompress.data.latent import Latent
from gancompress.errors import DataError
from gancompress.recipe.recipe import Data

TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"


def numbered(count: int, first: int = 0, side: int = 6) -> Pixels:
    """(count, side, side): every image full of its number, columns rising at its foot."""
    images = np.repeat(np.arange(first, first + count, dtype=np.uint8), side * side)
    images = images.reshape(count, side, side)
    images[:, -1] = np.arange(side) + 100
    return images


def written(folder: Path, name: str, images: Pixels) -> Path:
    """The images as an IDX file, packed if the name ends so."""
    content = bytes([0, 0, 8, images.ndim]) + struct.pack(f">{images.ndim}I", *images.shape)
    content += images.tobytes()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written(tmp_path, f"{TRAIN}.gz", numbered(20))
    written(tmp_path, TEST, numbered(5, first=50))
    return tmp_path


def numbers(data: IdxImages, split: Any) -> list[int]:
    batch = data.batch(split, range(data.count(split)), None)
    return [int(n) for n in to_bytes(batch["target"])[:, 0, 0, 0]]


def test_test_split_is_t10k_and_search_is_of_the_training_images(folder: Path) -> None:
    data = idx_images(images=folder, size=6, search_fraction=0.25)
    assert [data.count(split) for split in SPLITS] == [15, 5, 5]
    assert numbers(data, "test") == list(range(50, 55))
    train, search = numbers(data, "train"), numbers(data, "search")
    assert sorted(train + search) == list(range(20)) and search != list(range(5))
    again = idx_images(images=str(folder), size=6, search_fraction=0.25)
    assert numbers(again, "search") == search
    other = idx_images(images=folder, size=6, search_fraction=0.25, split_seed=1)
    assert numbers(other, "search") != search


@pytest.mark.parametrize("as_file", [True, False])
def test_without_t10k_the_test_split_is_split_off_too(tmp_path: Path, as_file: bool) -> None:
    path = written(tmp_path, TRAIN, numbered(20))
    data = idx_images(images=path if as_file else tmp_path, size=6, test_fraction=0.2)
    assert [data.count(split) for split in SPLITS] == [14, 2, 4]
    assert sorted(n for split in SPLITS for n in numbers(data, split)) == list(range(20))


def test_batches_hold_the_same_images_twice_in_range(folder: Path) -> None:
    data = idx_images(images=folder, size=6)
    batch = data.batch("test", [3, 1], np.random.default_rng(0))
    assert batch["input"] is batch["target"] and (data.channels, data.paired) == ((1, 1), False)
    wanted = torch.from_numpy(numbered(5, first=50)[[3, 1], None].astype(np.float32)) / 127.5 - 1
    torch.testing.assert_close(batch["target"], wanted)
    assert data.shown(batch["input"]) is not None
    assert torch.equal(data.shown(batch["input"]), batch["input"])


@pytest.mark.parametrize(("pad", "before"), [(0, 0), (6, 0), (9, 1), (10, 2)])
def test_padding_adds_black_on_all_sides(folder: Path, pad: int, before: int) -> None:
    images = to_bytes(idx_images(images=folder, size=6, pad=pad).batch("test", [2], None)["target"])
    side = max(pad, 6)
    wanted = np.zeros((side, side), np.uint8)
    wanted[before : before + 6, before : before + 6] = numbered(1, first=52)[0]
    np.testing.assert_array_equal(images[0, ..., 0], wanted)


def test_content_hash_follows_pixels_and_sides(folder: Path) -> None:
    before = {split: idx_images(images=folder, size=6).content_hash(split) for split in SPLITS}
    assert len(set(before.values())) == 3
    images = numbered(5, first=50)
    images[4, 0, 0] += 1
    written(folder, TEST, images)
    after = {split: idx_images(images=folder, size=6).content_hash(split) for split in SPLITS}
    assert [before[s] == after[s] for s in SPLITS] == [True, True, False]
    assert idx_images(images=folder, size=6, pad=8).content_hash("test") != after["test"]


def test_random_vectors_stand_beside_the_images(folder: Path) -> None:
    data = Latent(idx_images(images=folder, size=6), 7)
    batch = data.batch("train", [0, 1], np.random.default_rng(0))
    assert batch["input"].shape == (2, 7, 1, 1) and batch["target"].shape == (2, 1, 6, 6)
    assert data.channels == (7, 1)


def test_recipe_and_data_set_agree_on_size_and_channels(folder: Path) -> None:
    for pad, side in ((0, 6), (8, 8)):
        raw = {"name": "idx", "images": str(folder), "size": 6, "pad": pad}
        made: Data = TypeAdapter(Data).validate_python(raw)
        opened = made.open()
        shape = tuple(opened.batch("train", [0], None)["target"].shape)
        assert shape == (1, opened.channels[1], *made.image_size) == (1, 1, side, side)
        assert (made.kind, made.channels) == ("images", opened.channels)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"pad": 20}, "pad: found 20; 0, or at least size, 28, is allowed"),
        ({"search_fraction": 0.5, "test_fraction": 0.5}, "search_fraction: 1 with test_fraction"),
        ({"search_fraction": 0.0}, "greater than 0"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(Data).validate_python({"name": "idx", "images": "here", **keys})


def test_files_that_are_missing_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"holds no {TRAIN}\[.gz\]; give a folder with that"):
        idx_images(images=tmp_path)
    with pytest.raises(DataError, match=r"none: no such file"):
        idx_images(images=tmp_path / "none")
    written(tmp_path, TRAIN, numbered(9))
    with pytest.raises(DataError, match=r"holds 9 x 6 x 6 values; images of 28 x 28 are asked for"):
        idx_images(images=tmp_path)
    with pytest.raises(DataError, match=r"the search split is empty, 9 images are left to share"):
        idx_images(images=tmp_path, size=6, search_fraction=0.01)
    written(tmp_path, TEST, numbered(3)[:, 0])
    with pytest.raises(DataError, match=rf"{TEST}: holds 3 x 6 values"):
        idx_images(images=tmp_path, size=6)
