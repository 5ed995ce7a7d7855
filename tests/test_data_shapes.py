"""Images of several shapes: `load_size` none and short:SIDE keep each as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import Pixels, noise, save, to_bytes
from opening import label_maps, pair_folders, unpaired_folders
from PIL import Image

from gancompress.data.crops import crops_of
from gancompress.data.inputsoptions import InputsOptions
from gancompress.errors import DataError, RecipeError
from gancompress.recipe.reading import load_recipe

SIDES = [(8, 12), (16, 8), (9, 9), (24, 40), (8, 8), (11, 30)]


def placed(height: int, width: int, channels: int = 3) -> Pixels:
    """An image whose pixels tell their row and column."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, rows * 0], axis=2)[..., :channels].astype(np.uint8)


def save_all(folder: Path) -> None:
    for i, (height, width) in enumerate(SIDES):
        for side in ("in", "to"):
            save(folder / side / f"{i}.png", placed(height, width))
        save(folder / "ids" / f"{i}.png", placed(height, width)[..., 1:2] % 3)


def folders(folder: Path) -> dict[str, Path]:
    return {"input_folder": folder / "in", "target_folder": folder / "to"}


def corner(window: Pixels) -> tuple[int, int]:
    """Where a window of `placed` lies; its rows and columns must be neighbours."""
    top, left = int(window[0, 0, 0]), int(window[0, 0, 1])
    expected = placed(top + len(window), left + window.shape[1])[top:, left:]
    assert np.array_equal(window, expected)
    return top, left


def test_images_keep_their_pixels_and_their_middle_is_judged(tmp_path: Path) -> None:
    save_all(tmp_path)
    data = pair_folders(layout="two-folders", **folders(tmp_path), load_size="none", crop_size=8,
                       flip=False)  # fmt: skip
    seen = []
    for split in ("train", "search", "test"):
        batch = data.batch(split, range(data.count(split)), None)
        assert batch["input"].equal(batch["target"])
        seen += [corner(window) for window in to_bytes(batch["input"])]
    assert sorted(seen) == sorted(((h - 8) // 2, (w - 8) // 2) for h, w in SIDES)
    drawn = set()
    for step in range(40):
        batch = data.batch("train", range(4), np.random.default_rng(step))
        assert batch["input"].equal(batch["target"])
        drawn |= {corner(window) for window in to_bytes(batch["input"])}
    assert len(drawn) > 30  # anywhere in the larger ones


def test_the_shorter_side_is_resized_and_the_shape_kept(tmp_path: Path) -> None:
    save_all(tmp_path)
    data = unpaired_folders(layout="two-folders", **folders(tmp_path), load_size="short:16",
                           crop_size=16)  # fmt: skip
    images = set()
    for split in ("train", "search", "test"):
        shown = to_bytes(data.batch(split, range(data.count(split)), None)["input"])
        images |= {window.tobytes() for window in shown}
    expected = set()
    for height, width in SIDES:
        larger = 16 / min(height, width)
        size = round(width * larger), round(height * larger)
        whole = np.asarray(Image.fromarray(placed(height, width)).resize(size, 3))
        top, left = (whole.shape[0] - 16) // 2, (whole.shape[1] - 16) // 2
        expected.add(whole[top : top + 16, left : left + 16].tobytes())
    assert images == expected


def test_label_maps_and_photographs_are_cut_alike(tmp_path: Path) -> None:
    save_all(tmp_path)
    data = label_maps(label_folder=tmp_path / "ids", image_folder=tmp_path / "to", classes=3,
                     load_size="none", crop_size=8)  # fmt: skip
    for step in range(5):
        batch = data.batch("train", range(4), np.random.default_rng(step))
        columns = to_bytes(batch["target"])[..., 1]
        assert np.array_equal(batch["input"].argmax(1).numpy(), columns % 3)


@pytest.mark.parametrize("megabytes", [0, 1e-3, 2000])
def test_what_is_kept_in_memory_makes_no_difference(tmp_path: Path, megabytes: float) -> None:
    save_all(tmp_path)
    data = pair_folders(layout="two-folders", **folders(tmp_path), load_size="none", crop_size=8,
                       cache_mb=megabytes)  # fmt: skip
    for _ in range(2):
        found = data.batch("train", range(4), np.random.default_rng(0))["input"]
    kept = sum(image.nbytes for pair in data._files._kept.values() for image in pair)
    assert kept <= megabytes * 1e6 and (len(data._files._kept) == 4) == (megabytes > 1)
    other = pair_folders(layout="two-folders", **folders(tmp_path), load_size="none", crop_size=8)
    assert found.equal(other.batch("train", range(4), np.random.default_rng(0))["input"])
    assert other.content_hash("train") == data.content_hash("train")
    resized = pair_folders(layout="two-folders", **folders(tmp_path), load_size=8, crop_size=8)
    assert resized.content_hash("train") != data.content_hash("train")


def test_of_a_range_of_sizes_training_draws_and_evaluation_takes_the_least(tmp_path: Path) -> None:
    save(tmp_path / "train" / "0.png", noise(40, 100))
    for split in ("search", "test"):
        save(tmp_path / split / "0.png", noise(40, 100))
    crops = crops_of("short:10-80", (8, 8), flip=False)
    rng = np.random.default_rng(0)
    drawn = {crops.before(rng).of((40, 100))[0] for _ in range(200)}
    # Equal ratios of 10 to 80, where 40, what the file has, is not gone beyond.
    wanted = {round(10 * 8 ** (i / 7)) for i in range(8)}
    assert drawn == {min(side, 40) for side in wanted} and len(drawn) == 6
    assert crops.before(None).of((40, 100)) == (10, 25)
    assert crops.before(rng).of((6, 8))[0] == 10  # less than the least is enlarged to it
    assert crops.settings() != crops_of("short:10", (8, 8), flip=False).settings()
    plain = crops_of("short:10", (8, 8), flip=False)
    assert plain.settings() == (None, (8, 8), False, 10)  # as in runs of earlier versions
    options = InputsOptions(folder=str(tmp_path), load_size="short:10-80", crop_size=8)
    assert options.open().batch("train", [0, 0], rng)["input"].shape == (2, 3, 8, 8)


def test_an_image_smaller_than_the_crop_is_named(tmp_path: Path) -> None:
    save_all(tmp_path)
    save(tmp_path / "in" / "0.png", noise(8, 7))
    save(tmp_path / "to" / "0.png", noise(8, 7))
    for load, made in (("none", ""), ("short:9", ", made 9x10")):
        data = pair_folders(layout="two-folders", **folders(tmp_path), load_size=load,
                           crop_size=[9, 11])  # fmt: skip
        with pytest.raises(DataError, match=rf"0\.png: is 7x8{made}; at least crop_size, 11x9, is"):
            for split in ("train", "search", "test"):
                data.batch(split, range(data.count(split)), None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("shirt:256", "data.load_size: found 'shirt:256'; a side, .height, width., short:SIDE, s"),
        ("short:0", "data.load_size: found 'short:0'"),
        ("short:300-256", "data.load_size: found 'short:300-256'"),
        ("short:256-", "data.load_size: found 'short:256-'; a side, .height, width., short:SIDE, "),
        ("short:100", "data.load_size: found short:100; at least crop_size, 256, or none"),
        ("[300, none]", 'data.load_size.1: found "none"; an integer is allowed'),
    ],
)
def test_recipes_refuse_other_load_sizes(value: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        load_recipe("edges2shoes", [f"data={{name: pairs, folder: x, load_size: {value}}}"])
    with pytest.raises(RecipeError, match=reason.split(": ", 1)[1]):
        load_recipe("edges2shoes", ["data={name: pairs, folder: x}", f"data.load_size={value}"])


@pytest.mark.parametrize("value", ["none", "short:256", "short:256-512", "300", "[300, 400]"])
def test_recipes_take_load_sizes(value: str) -> None:
    wanted = {"300": (300, 300), "[300, 400]": (300, 400)}.get(value, value)
    for changes in (
        [f"data={{name: pairs, folder: x, load_size: {value}}}"],
        ["data={name: pairs, folder: x}", f"data.load_size={value}"],
    ):
        assert load_recipe("edges2shoes", changes).data.load_size == wanted
