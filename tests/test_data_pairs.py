from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from images import Pixels, noise, save, save_pairs, to_bytes
from opening import pair_folders
from PIL import Image

from gancompress.data.dataset import SPLITS
from gancompress.data.pairs import PairFolders
from gancompress.errors import DataError


def _small(folder: Path, **settings: object) -> PairFolders:
    sizes = {"load_size": 8, "crop_size": 8}
    return pair_folders(folder=folder, **{**sizes, **settings})


def _two(tmp_path: Path, **settings: object) -> PairFolders:
    folders = {"input_folder": tmp_path / "in", "target_folder": tmp_path / "out"}
    sizes = {"load_size": 8, "crop_size": 8}
    return pair_folders(layout="two-folders", **{**folders, **sizes, **settings})


def _firsts(pairs: PairFolders) -> dict[str, list[int]]:
    """The first input byte of each pair, split by split: it tells the pairs apart."""
    return {
        split: to_bytes(pairs.batch(split, range(pairs.count(split)), None)["input"])[
            :, 0, 0, 0
        ].tolist()
        for split in SPLITS
    }


@pytest.mark.parametrize("swap", [False, True])
def test_left_half_is_the_input_unless_swapped(tmp_path: Path, swap: bool) -> None:
    for split in ("train", "search", "test"):
        save_pairs(tmp_path / split, 2)
    batch = _small(tmp_path, swap=swap).batch("test", [1, 0], None)
    halves = [noise(8, 16, seed=seed)[:, slice(8, 16) if swap else slice(0, 8)] for seed in (1, 0)]
    assert np.array_equal(to_bytes(batch["input"]), np.stack(halves))
    others = [noise(8, 16, seed=seed)[:, slice(0, 8) if swap else slice(8, 16)] for seed in (1, 0)]
    assert np.array_equal(to_bytes(batch["target"]), np.stack(others))


def test_two_folders_are_matched_by_stem(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", noise(8, 8, seed=number))
        save(tmp_path / "out" / f"{number}.bmp", 255 - noise(8, 8, seed=number))
    (tmp_path / "in" / "notes.txt").write_text("passed over")
    pairs = _two(tmp_path)
    assert sum(pairs.count(split) for split in SPLITS) == 4
    for split in SPLITS:
        batch = pairs.batch(split, range(pairs.count(split)), None)
        assert np.array_equal(to_bytes(batch["input"]), 255 - to_bytes(batch["target"]))


def test_file_without_partner_or_with_two_is_named(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", noise(8, 8))
        save(tmp_path / "out" / f"{number}.png", noise(8, 8))
    save(tmp_path / "out" / "7.png", noise(8, 8))
    with pytest.raises(DataError, match=r"out/7\.png: no partner of the same stem in .*in "):
        _two(tmp_path)
    save(tmp_path / "out" / "7.jpg", noise(8, 8))
    with pytest.raises(DataError, match=r"out/7\.png: 7\.jpg has the same stem; keep one"):
        _two(tmp_path)


def test_two_folders_need_the_same_split_folders(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "in" / split / "1.png", noise(8, 8))
    save(tmp_path / "out" / "1.png", noise(8, 8))
    with pytest.raises(DataError, match=r"out: has files without split folders and .* train/ test"):
        _two(tmp_path)


def test_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        save_pairs(tmp_path / split, 3 - index, first=10 * index)
    with_val = _small(tmp_path)
    assert [with_val.count(split) for split in SPLITS] == [3, 2, 1]
    found = _firsts(with_val)
    (tmp_path / "val").rename(tmp_path / "search")
    assert _firsts(_small(tmp_path)) == found


def test_search_split_is_set_aside_from_training_where_it_has_no_folder(tmp_path: Path) -> None:
    save_pairs(tmp_path / "train", 10)
    save_pairs(tmp_path / "test", 3, first=20)
    pairs = _small(tmp_path, search_fraction=0.3)
    assert [pairs.count(split) for split in SPLITS] == [7, 3, 3]
    found = _firsts(pairs)
    (tmp_path / "test").rename(tmp_path / "val")  # as pix2pix's data sets have it
    assert _firsts(_small(tmp_path, search_fraction=0.3)) == found


def test_flat_folder_is_split_by_seed_without_overlap(tmp_path: Path) -> None:
    save_pairs(tmp_path, 20)
    pairs = _small(tmp_path, search_fraction=0.2, test_fraction=0.1)
    assert [pairs.count(split) for split in SPLITS] == [14, 4, 2]
    found = _firsts(pairs)
    everything = [int(noise(8, 16, seed=seed)[0, 0, 0]) for seed in range(20)]
    assert sorted(sum(found.values(), [])) == sorted(everything)
    assert _firsts(_small(tmp_path, search_fraction=0.2, test_fraction=0.1)) == found
    assert _firsts(_small(tmp_path, search_fraction=0.2, test_fraction=0.1, split_seed=1)) != found


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ((), r"none: no such folder"),
        (("none/train",), r"none: has train/; train/ and test/ \(or val/\) are needed"),
        (("none/train", "none/test"), r"none/train: no images in it; files ending in \.png"),
        (("none",), r"none: no images in it"),
    ],
)
def test_missing_and_empty_folders_are_refused(
    tmp_path: Path, folders: tuple[str, ...], message: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match=message):
        _small(tmp_path / "none")


def test_too_few_pairs_for_three_splits_are_refused(tmp_path: Path) -> None:
    save_pairs(tmp_path, 2)
    with pytest.raises(DataError, match="the train split is empty, 2 pairs are left to share out"):
        _small(tmp_path)


def _gradient(height: int, width: int) -> Pixels:
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, rows * 0], axis=2).astype(np.uint8)


def test_crop_and_flip_are_random_and_the_same_for_both_images(tmp_path: Path) -> None:
    for split in ("train", "search", "test"):
        save(tmp_path / split / "a.png", np.tile(_gradient(12, 20), (1, 2, 1)))
    pairs = _small(tmp_path, load_size=[12, 20], crop_size=[8, 10])
    batch = pairs.batch("train", [0] * 300, np.random.default_rng(0))
    assert torch.equal(batch["input"], batch["target"])
    crops = to_bytes(batch["input"]).astype(int)
    rows, columns = crops[..., 0], crops[..., 1]
    assert (np.diff(rows, axis=1) == 1).all() and (np.diff(rows, axis=2) == 0).all()
    steps = np.diff(columns, axis=2)
    assert (steps == steps[:, :1, :1]).all() and set(np.unique(steps)) == {-1, 1}
    assert set(rows.min((1, 2))) == set(range(5)) and set(columns.min((1, 2))) == set(range(11))
    still = _small(tmp_path, load_size=[12, 20], crop_size=[8, 10], flip=False)
    steady = to_bytes(still.batch("train", [0] * 50, np.random.default_rng(0))["input"])
    assert (np.diff(steady[..., 1].astype(int), axis=2) == 1).all()


def test_without_generator_the_whole_image_is_resized_to_the_crop(tmp_path: Path) -> None:
    save_pairs(tmp_path, 4, height=24, width=20)
    pairs = _small(tmp_path, load_size=16, crop_size=[8, 12])
    got = to_bytes(pairs.batch("train", [0], None)["target"])[0]
    wanted = [
        np.asarray(
            Image.fromarray(noise(24, 40, seed=seed)[:, 20:]).resize(
                (12, 8), Image.Resampling.BICUBIC
            )
        )
        for seed in range(4)
    ]
    assert any(np.array_equal(got, one) for one in wanted)


def test_images_of_different_sizes_come_to_one(tmp_path: Path) -> None:
    for number, side in enumerate((8, 16, 31)):
        save(tmp_path / "in" / f"{number}.png", noise(side, side))
        save(tmp_path / "out" / f"{number}.png", noise(2 * side, 2 * side))
    pairs = _two(tmp_path)
    for split in SPLITS:
        assert pairs.batch(split, [0], None)["target"].shape == (1, 3, 8, 8)


def test_channels_are_converted_where_asked(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        np.save(tmp_path / "in" / f"{number}.npy", noise(8, 8, 5, seed=number))
        save(tmp_path / "out" / f"{number}.png", noise(8, 8, 4, seed=number))
    pairs = _two(tmp_path, input_channels=5, target_channels=4)
    assert pairs.channels == (5, 4)
    batch = pairs.batch("train", [0], np.random.default_rng(0))
    assert [batch[key].shape[1] for key in ("input", "target")] == [5, 4]
    gray = _two(tmp_path, input_channels=5, target_channels=1)
    with pytest.raises(DataError, match=r"out/\d\.png: has transparent pixels; set"):
        gray.batch("train", [0], None)
    swapped = _two(tmp_path, input_channels=4, target_channels=3, swap=True)
    with pytest.raises(DataError, match=r"in/\d\.npy: has 5 channels and 3 are asked for"):
        swapped.batch("train", [0], None)


def test_odd_width_and_partners_of_other_shape_are_refused_by_name(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", noise(8, 15))
        save(tmp_path / "in" / f"{number}.png", noise(8, 8))
        save(tmp_path / "out" / f"{number}.png", noise(8, 12))
    with pytest.raises(DataError, match=r"\d\.png: is 15 pixels wide; two equal halves need"):
        _small(tmp_path).batch("train", [0], None)
    with pytest.raises(
        DataError, match=r"out/\d\.png: is 12x8 and its partner .*in/\d\.png is 8x8"
    ):
        _two(tmp_path).batch("train", [0], None)


@pytest.mark.parametrize(("cache_mb", "stays"), [(0.004, True), (0.0005, False)])
def test_small_sets_are_kept_in_memory_and_large_ones_stream(
    tmp_path: Path, cache_mb: float, stays: bool
) -> None:
    save_pairs(tmp_path / "set", 10)  # 10 pairs of 8 x 8 x 6 bytes: 3.84 kB
    pairs = _small(tmp_path / "set", cache_mb=cache_mb)
    before = pairs.batch("train", [0, 1], np.random.default_rng(0))
    shutil.rmtree(tmp_path / "set")
    if not stays:
        with pytest.raises(DataError, match=r"\.png: cannot be read .*No such file"):
            pairs.batch("train", [0, 1], np.random.default_rng(0))
        return
    after = pairs.batch("train", [0, 1], np.random.default_rng(0))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_cached_and_streamed_batches_are_equal(tmp_path: Path) -> None:
    save_pairs(tmp_path, 6, height=12, width=12)
    for rng_seed in (None, 3):
        answers = []
        for cache_mb in (0, 100, 100):
            pairs = _small(tmp_path, load_size=10, crop_size=8, cache_mb=cache_mb)
            for _ in range(2):  # the second time from memory
                rng = None if rng_seed is None else np.random.default_rng(rng_seed)
                answers.append(pairs.batch("train", [2, 0, 1], rng)["input"])
        assert all(torch.equal(answers[0], other) for other in answers)


def test_content_hash_follows_the_pixels_of_its_own_split(tmp_path: Path) -> None:
    for split in ("train", "search", "test"):
        save_pairs(tmp_path / split, 2)
    before = {split: _small(tmp_path).content_hash(split) for split in SPLITS}
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert _small(tmp_path / "copy").content_hash("test") == before["test"]
    save(tmp_path / "test" / "001.png", noise(8, 16, seed=99))
    after = {split: _small(tmp_path).content_hash(split) for split in SPLITS}
    assert [before[s] == after[s] for s in SPLITS] == [True, True, False]
    assert _small(tmp_path, swap=True).content_hash("train") != before["train"]
    assert _small(tmp_path, crop_size=4).content_hash("train") != before["train"]


def test_check_finds_the_damaged_file(tmp_path: Path) -> None:
    save_pairs(tmp_path, 12)
    _small(tmp_path).check()
    (tmp_path / "007.png").write_bytes((tmp_path / "007.png").read_bytes()[:100])
    with pytest.raises(DataError, match=r"007\.png: cannot be read"):
        _small(tmp_path).check()
