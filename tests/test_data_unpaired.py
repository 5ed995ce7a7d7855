from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from images import coded_image, noise, save, to_bytes
from opening import unpaired_folders
from PIL import Image

from gancompress.data.batches import batch_at
from gancompress.data.dataset import SPLITS, Split
from gancompress.data.unpaired import UnpairedFolders, partners
from gancompress.errors import DataError

HORSE, ZEBRA = 0, 1


def _two(folder: Path, **settings: object) -> UnpairedFolders:
    folders = {"input_folder": folder / "horses", "target_folder": folder / "zebras"}
    defaults = {**folders, "load_size": 8, "crop_size": 8, "flip": False}
    return unpaired_folders(**{**defaults, **settings})


def _one(folder: Path, **settings: object) -> UnpairedFolders:
    sizes = {"load_size": 8, "crop_size": 8, "flip": False}
    return unpaired_folders(layout="cyclegan", folder=folder, **{**sizes, **settings})


def _fill(folder: Path, kind: int, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        save(folder / f"{number:03}.png", coded_image(kind, number))


def _both(folder: Path, horses: int, zebras: int) -> None:
    _fill(folder / "horses", HORSE, horses)
    _fill(folder / "zebras", ZEBRA, zebras, first=100)


def _numbers(images: torch.Tensor) -> list[int]:
    return [int(n) for n in to_bytes(images)[:, 0, 0, 1]]


def _seen(data: UnpairedFolders, split: Split, rounds: int = 30) -> tuple[set[int], set[int]]:
    """The numbers of all A and B that training batches of the split show."""
    horses, zebras = set(), set()
    for seed in range(rounds):
        batch = data.batch(split, range(data.count(split)), np.random.default_rng(seed))
        assert (to_bytes(batch["input"])[..., 0] == HORSE).all()
        assert (to_bytes(batch["target"])[..., 0] == ZEBRA).all()
        horses |= set(_numbers(batch["input"]))
        zebras |= set(_numbers(batch["target"]))
    return horses, zebras


def test_inputs_and_targets_are_of_the_two_folders_and_splits_share_none(tmp_path: Path) -> None:
    _both(tmp_path, 20, 30)
    data = _two(tmp_path, search_fraction=0.2, test_fraction=0.1)
    assert (data.channels, data.paired) == ((3, 3), False)
    assert [data.count(split) for split in SPLITS] == [14, 4, 2]
    seen = [_seen(data, split) for split in SPLITS]
    assert [len(zebras) for _, zebras in seen] == [21, 6, 3]
    for side, everything in enumerate((range(20), range(100, 130))):
        assert sorted(n for both in seen for n in both[side]) == list(everything)


def test_targets_are_spread_evenly_without_generator(tmp_path: Path) -> None:
    for name, kind, count, first in (("horses", HORSE, 6, 0), ("zebras", ZEBRA, 12, 100)):
        for split in ("train", "search", "test"):
            _fill(tmp_path / name / split, kind, count, first)
    data = _two(tmp_path)
    batch = data.batch("test", range(6), None)
    assert _numbers(batch["input"]) == list(range(6))
    assert _numbers(batch["target"]) == [100, 102, 104, 106, 108, 110]
    part = _two(tmp_path).batch("test", [4, 1], None)
    assert all(torch.equal(part[key], batch[key][[4, 1]]) for key in batch)


def test_partners_are_all_equally_likely_with_a_generator() -> None:
    drawn = Counter(partners([0] * 3000, 9, 3, np.random.default_rng(0)))
    assert drawn.keys() == {0, 1, 2} and min(drawn.values()) > 900
    assert partners(range(6), 6, 3, None) == [0, 0, 1, 1, 2, 2]


def test_cyclegan_layout_holds_both_sides_and_sets_search_aside(tmp_path: Path) -> None:
    for side, kind, count in (("A", HORSE, 10), ("B", ZEBRA, 20)):
        _fill(tmp_path / f"train{side}", kind, count, first=100 * kind)
        _fill(tmp_path / f"test{side}", kind, count // 2, first=100 * kind + 50)
    data = _one(tmp_path, search_fraction=0.3)
    assert [data.count(split) for split in SPLITS] == [7, 3, 5]
    horses, zebras = _seen(data, "test")
    assert (horses, zebras) == (set(range(50, 55)), set(range(150, 160)))
    kept = [_seen(data, split) for split in ("train", "search")]
    assert [len(zebras) for _, zebras in kept] == [14, 6]
    assert sorted(n for horses, _ in kept for n in horses) == list(range(10))


def test_training_batch_is_a_function_of_step_and_seed(tmp_path: Path) -> None:
    _both(tmp_path, 20, 20)
    settings = {"load_size": 16, "crop_size": 8, "flip": True}
    one, two = (batch_at(_two(tmp_path, **settings), "train", 3, 4, seed=1) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    streamed = batch_at(_two(tmp_path, cache_mb=0, **settings), "train", 3, 4, seed=1)
    assert all(torch.equal(one[key], streamed[key]) for key in one)
    other = batch_at(_two(tmp_path, **settings), "train", 3, 4, seed=2)
    assert not any(torch.equal(one[key], other[key]) for key in one)


def test_sides_are_cropped_and_mirrored_independently(tmp_path: Path) -> None:
    _both(tmp_path, 6, 6)
    data = _two(tmp_path, load_size=8, crop_size=6, flip=True)
    batch = data.batch("train", [0, 1] * 100, np.random.default_rng(0))
    found = []
    for images in (batch["input"], batch["target"]):
        columns = to_bytes(images)[:, 0, :, 2].astype(int) // 8
        assert set(np.unique(np.diff(columns, axis=1))) == {-1, 1}
        found.append([(row.min(), row[0] < row[-1]) for row in columns])
    kinds = Counter(zip(*found, strict=True))
    assert len(kinds) == 36 and len({start for start, _ in found[0]}) == 3


def test_without_generator_the_whole_image_is_resized_to_the_crop(tmp_path: Path) -> None:
    for name in ("horses", "zebras"):
        for number in range(6):
            save(tmp_path / name / f"{number}.png", noise(24, 20, seed=7))
    got = to_bytes(
        _two(tmp_path, load_size=16, crop_size=[8, 12]).batch("test", [0], None)["input"]
    )
    wanted = Image.fromarray(noise(24, 20, seed=7)).resize((12, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(got[0], np.asarray(wanted))


def test_content_hash_follows_both_sides_of_its_own_split(tmp_path: Path) -> None:
    for name, kind in (("horses", HORSE), ("zebras", ZEBRA)):
        for split in ("train", "search", "test"):
            _fill(tmp_path / "set" / name / split, kind, 3)
    before = {split: _two(tmp_path / "set").content_hash(split) for split in SPLITS}
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert _two(tmp_path / "copy").content_hash("test") == before["test"]
    save(tmp_path / "set" / "zebras" / "test" / "001.png", coded_image(ZEBRA, 99))
    after = {split: _two(tmp_path / "set").content_hash(split) for split in SPLITS}
    assert [before[s] == after[s] for s in SPLITS] == [True, True, False]
    assert _two(tmp_path / "copy", crop_size=4).content_hash("train") != before["train"]


def test_inputs_are_shown_as_they_are(tmp_path: Path) -> None:
    _both(tmp_path, 6, 6)
    images = _two(tmp_path).batch("test", [0, 1], None)["input"]
    assert torch.equal(_two(tmp_path).shown(images), images)


@pytest.mark.parametrize("lonely", ["horses", "zebras"])
def test_folder_of_one_image_is_refused(tmp_path: Path, lonely: str) -> None:
    _both(tmp_path, *((1, 9) if lonely == "horses" else (9, 1)))
    with pytest.raises(DataError, match=rf"{lonely}: has one image; at least two images are need"):
        _two(tmp_path)


def test_split_of_one_image_is_refused_on_either_side(tmp_path: Path) -> None:
    for side, kind in (("A", HORSE), ("B", ZEBRA)):
        _fill(tmp_path / f"train{side}", kind, 9)
        _fill(tmp_path / f"test{side}", kind, 2 - kind)
    with pytest.raises(DataError, match=r"testB: has one image; at least two images are needed"):
        _one(tmp_path)
    _fill(tmp_path / "testB", ZEBRA, 2)
    assert [_one(tmp_path).count(split) for split in SPLITS] == [7, 2, 2]  # two, not a tenth of 9
    for number in range(3, 9):
        (tmp_path / "trainB" / f"{number:03}.png").unlink()
    message = r"side B: the train split has 1 of at least 2 images, 3 images are left to share out"
    with pytest.raises(DataError, match=message):
        _one(tmp_path)


def test_folders_that_are_missing_or_empty_are_refused(tmp_path: Path) -> None:
    _fill(tmp_path / "horses", HORSE, 6)
    with pytest.raises(DataError, match=r"zebras: no such folder"):
        _two(tmp_path)
    (tmp_path / "zebras").mkdir()
    with pytest.raises(DataError, match=r"zebras: no images in it"):
        _two(tmp_path)
    for name in ("trainA", "testA", "trainB"):
        _fill(tmp_path / name, HORSE, 4)
    with pytest.raises(DataError, match=r": has trainB/; trainB/ and testB/ \(or valB/\) are need"):
        _one(tmp_path)
    (tmp_path / "testB").mkdir()
    with pytest.raises(DataError, match=r"testB: no images in it"):
        _one(tmp_path)


def test_check_finds_the_damaged_file_of_either_side(tmp_path: Path) -> None:
    _both(tmp_path, 6, 6)
    _two(tmp_path).check()
    (tmp_path / "zebras" / "103.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"zebras/103\.png: "):
        _two(tmp_path).check()


def test_gray_images_stay_gray_where_asked(tmp_path: Path) -> None:
    for side in "ab":
        for i in range(6):
            save(tmp_path / side / f"{i}.png", noise(8, 8, 1 if i % 2 else 3, seed=i))
    folders = {"input_folder": tmp_path / "a", "target_folder": tmp_path / "b"}
    both = [unpaired_folders(**folders, load_size=8, crop_size=8, image_channels=n) for n in (1, 3)]
    assert [data.channels for data in both] == [(1, 1), (3, 3)]
    gray, colour = (data.batch("train", [0, 1], None)["input"] for data in both)
    luma = (colour * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    assert gray.shape == (2, 1, 8, 8) and (gray - luma).abs().max() < 1.01 / 127.5
    assert both[0].content_hash("train") != both[1].content_hash("train")
