"""A folder of images as a data set: splits, the middle square, mirroring, what is refused."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from images import coded_image, noise, save, to_bytes
from opening import image_folder
from PIL import Image
from pydantic import TypeAdapter

from gancompress.data.batches import batch_at
from gancompress.data.dataset import SPLITS, Split
from gancompress.data.imagefolder import ImageFolder
from gancompress.data.images import with_channels
from gancompress.errors import DataError, RecipeError
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Data
from gancompress.recipe.stagesections import stage_sections


def _fill(folder: Path, count: int, first: int = 0, **size: int) -> None:
    for number in range(first, first + count):
        save(folder / f"{number:03}.png", coded_image(0, number, **size))


def _numbers(data: ImageFolder, split: Split) -> list[int]:
    batch = data.batch(split, range(data.count(split)), None)
    return [int(n) for n in to_bytes(batch["target"])[:, 0, 0, 1]]


def test_files_are_split_by_seed_and_shared_out_whole(tmp_path: Path) -> None:
    _fill(tmp_path, 20)
    data = image_folder(folder=tmp_path, size=8, search_fraction=0.2, test_fraction=0.1)
    assert [data.count(split) for split in SPLITS] == [14, 4, 2]
    assert sorted(n for split in SPLITS for n in _numbers(data, split)) == list(range(20))
    other = image_folder(folder=tmp_path, size=8, search_fraction=0.2, split_seed=5)
    assert _numbers(other, "search") != _numbers(data, "search")


def test_split_folders_decide(tmp_path: Path) -> None:
    for first, name in enumerate(("train", "val", "test")):
        _fill(tmp_path / name, 3, first=10 * first)
    data = image_folder(folder=str(tmp_path), size=8)
    assert [_numbers(data, s) for s in SPLITS] == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


def test_batches_hold_the_same_images_twice(tmp_path: Path) -> None:
    _fill(tmp_path, 6)
    data = image_folder(folder=tmp_path, size=8)
    batch = data.batch("train", [0, 1], np.random.default_rng(0))
    assert batch["input"] is batch["target"] and (data.channels, data.paired) == ((3, 3), False)
    assert torch.equal(data.shown(batch["input"]), batch["target"])


@pytest.mark.parametrize(("crop", "side", "at"), [(0, 20, (0, 2)), (10, 10, (5, 7))])
def test_the_middle_square_is_resized(
    tmp_path: Path, crop: int, side: int, at: tuple[int, int]
) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", noise(20, 24, seed=7))
    data = image_folder(folder=tmp_path, crop=crop, size=8)
    found = to_bytes(data.batch("test", [0], None)["target"])[0]
    y, x = at
    square = noise(20, 24, seed=7)[y : y + side, x : x + side]
    wanted = Image.fromarray(square).resize((8, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(found, np.asarray(wanted))


@pytest.mark.parametrize("flip", [True, False])
def test_images_are_mirrored_half_of_the_time_in_training_alone(tmp_path: Path, flip: bool) -> None:
    _fill(tmp_path, 6)
    data = image_folder(folder=tmp_path, size=8, flip=flip)
    columns = to_bytes(data.batch("train", [0] * 400, np.random.default_rng(0))["target"])[:, 0]
    kinds = Counter(bool(row[0, 2] < row[-1, 2]) for row in columns)
    assert kinds[True] == 400 if not flip else 160 < kinds[True] < 240
    still = to_bytes(data.batch("train", [0], None)["target"])[0, 0]
    assert still[0, 2] < still[-1, 2]


def test_gray_images_have_one_channel(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", noise(8, 8, seed=number))
    data = image_folder(folder=tmp_path, size=8, image_channels=1)
    assert data.channels == (1, 1)
    found = to_bytes(data.batch("train", [0], None)["target"])[0]
    assert any(np.array_equal(found, with_channels(noise(8, 8, seed=n), 1, "")) for n in range(3))


def test_training_batch_is_a_function_of_step_and_seed(tmp_path: Path) -> None:
    _fill(tmp_path, 20)
    one, two = (batch_at(image_folder(folder=tmp_path, size=8), "train", 3, 4, 1) for _ in range(2))
    streamed = batch_at(image_folder(folder=tmp_path, size=8, cache_mb=0), "train", 3, 4, 1)
    assert torch.equal(one["target"], two["target"])
    assert torch.equal(one["target"], streamed["target"])
    other = batch_at(image_folder(folder=tmp_path, size=8), "train", 3, 4, 2)
    assert not torch.equal(one["target"], other["target"])


def test_content_hash_follows_its_split_and_settings(tmp_path: Path) -> None:
    for name in ("train", "search", "test"):
        _fill(tmp_path / "set" / name, 2)
    before = {s: image_folder(folder=tmp_path / "set", size=8).content_hash(s) for s in SPLITS}
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    copy = image_folder(folder=tmp_path / "copy", size=8)
    assert copy.content_hash("test") == before["test"]
    save(tmp_path / "set" / "test" / "001.png", coded_image(0, 99))
    after = {s: image_folder(folder=tmp_path / "set", size=8).content_hash(s) for s in SPLITS}
    assert [before[s] == after[s] for s in SPLITS] == [True, True, False]
    for settings in ({"size": 4}, {"crop": 4}, {"flip": False}, {"image_channels": 1}):
        changed = image_folder(folder=tmp_path / "copy", **{"size": 8, **settings})
        assert changed.content_hash("test") != before["test"]


def test_recipe_and_data_set_agree(tmp_path: Path) -> None:
    _fill(tmp_path, 6)
    raw = {"name": "images", "folder": str(tmp_path), "size": 12, "image_channels": 1}
    made: Data = TypeAdapter(Data).validate_python(raw)
    opened = made.open()
    shape = tuple(opened.batch("train", [0], None)["target"].shape)
    assert shape == (1, made.channels[1], *made.image_size) == (1, 1, 12, 12)
    assert made.kind == "images"


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: no such folder"):
        image_folder(folder=tmp_path / "none")
    _fill(tmp_path, 2)
    with pytest.raises(DataError, match=r"the train split is empty, 2 images are left to share"):
        image_folder(folder=tmp_path)
    _fill(tmp_path, 4)
    small = image_folder(folder=tmp_path, crop=9)
    with pytest.raises(DataError, match=r"is 8x8, smaller than the crop of 9; make crop smaller"):
        small.check()
    (tmp_path / "003.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"003.png: not an image that can be read"):
        image_folder(folder=tmp_path).check()


@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_show_the_background(tmp_path: Path, channels: int) -> None:
    for i in range(5):
        save(tmp_path / f"{i}.png", noise(8, 8, 4, seed=i))
    refused = image_folder(folder=tmp_path, size=8, image_channels=channels)
    with pytest.raises(DataError, match=r"\d\.png: has transparent pixels; set data\.background"):
        refused.check()
    colour = np.array([250, 0, 9])
    data = image_folder(folder=tmp_path, size=8, image_channels=channels, background=(250, 0, 9))
    shown = to_bytes(data.batch("test", [0], None)["target"])[0].astype(int)
    path = data._paths["test"][0]
    alpha = np.asarray(Image.open(path))[..., 3:] / 255
    wanted = np.floor(np.asarray(Image.open(path))[..., :3] * alpha + colour * (1 - alpha) + 0.5)
    if channels == 1:
        assert np.abs(shown[..., 0] - wanted @ [0.299, 0.587, 0.114]).max() < 1
    else:
        assert np.array_equal(shown, wanted)
    assert data.content_hash("test") != refused.content_hash("test")


def test_backgrounds_are_named_or_parts() -> None:
    plain = "data={name: pairs, folder: x}"
    colours = {"white": (255, 255, 255), "black": (0, 0, 0), "[1, 2, 3]": (1, 2, 3)}
    for value, wanted in colours.items():
        recipe = load_recipe("edges2shoes", [plain, f"data.background={value}"])
        assert recipe.data.background == wanted
    before = stage_sections(load_recipe("edges2shoes", [plain]), "teacher")
    assert "background" not in before["data"] and "input_name" not in before["data"]
    for value in ("pink", "[1, 2, 256]"):
        with pytest.raises(RecipeError, match=r"data\.background.*: found .*allowed"):
            load_recipe("edges2shoes", [plain, f"data.background={value}"])
