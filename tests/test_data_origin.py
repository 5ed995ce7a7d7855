"""The line on a data set: images of each split, and what was left out."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest
from images import noise, save, save_coded_worlds, save_pairs
from opening import opened

from gancompress.data import DATASETS
from gancompress.data.dataset import SPLITS
from gancompress.data.origin import FromFiles, left_out, summary
from gancompress.errors import DataError


def told(name: str, data: FromFiles) -> str:
    return summary(name, data.origin)


def _fill(folder: Path, count: int, suffix: str = ".png") -> Path:
    for number in range(count):
        save(folder / f"{number}{suffix}", noise(8, 8, seed=number))
    return folder


def test_images_and_what_was_left_out_are_counted_by_kind(tmp_path: Path) -> None:
    _fill(tmp_path, 8, ".ppm")
    for i, suffix in enumerate([".png", ".jfif", ".gif"]):
        save(tmp_path / f"x{i}{suffix}", noise(8, 8))
    for name in ("a.txt", "b.TXT", "c.json", "README", ".hidden"):
        (tmp_path / name).touch()
    _fill(tmp_path / "validation", 2)
    _fill(tmp_path / "more" / "deep", 1)
    data = opened("images", folder=tmp_path, size=8, search_fraction=0.2, test_fraction=0.3)
    assert told("images", data) == (
        f"images: 6 train, 2 search, 3 test images from {tmp_path}; left out: "
        '1 file without ending, 1 .json file, 2 .txt files, 2 folders ("more", "validation")'
    )


def test_many_folders_are_counted_and_nothing_is_told_of_nothing(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / name).mkdir()
    assert left_out([tmp_path], []) == '5 folders ("a", "b", "c", …)'
    data = opened("images", folder=_fill(tmp_path / "a", 5), size=8)
    assert told("images", data) == f"images: 3 train, 1 search, 1 test images from {tmp_path}/a"


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_validation_beside_train_is_the_search_split(tmp_path: Path, name: str) -> None:
    for folder, count in (("train", 4), (name, 3), ("test", 2), ("old", 1)):
        _fill(tmp_path / folder, count)
    save(tmp_path / "loose.png", noise(8, 8))
    data = opened("superres", folder=tmp_path, crop_size=16, load_size=16)
    assert told("superres", data) == (
        f"superres: 4 train, 3 search, 2 test images from {tmp_path}; "
        'left out: 1 .png file, 1 folder ("old")'
    )


def test_two_names_of_one_split_are_refused(tmp_path: Path) -> None:
    for folder in ("train", "val", "validation"):
        _fill(tmp_path / folder, 2)
    with pytest.raises(DataError, match="validation: val/ is there too, and both name one split"):
        opened("images", folder=tmp_path, size=8)


def test_a_split_folder_that_is_not_needed_is_named(tmp_path: Path) -> None:
    for folder in ("train", "search", "val", "test"):
        _fill(tmp_path / folder, 2)
    data = opened("images", folder=tmp_path, size=8)
    assert told("images", data).endswith('left out: 1 folder ("val")')


def test_every_data_set_of_files_tells_its_own(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    save_pairs(pairs, 5)
    (pairs / "notes.md").touch()
    both = tmp_path / "both"
    for side in "ab":
        _fill(both / side, 5)
    (both / "a" / "list.csv").touch()
    cycle = tmp_path / "cycle"
    for place, count in (("trainA", 4), ("trainB", 5), ("testA", 2), ("testB", 3), ("junk", 1)):
        _fill(cycle / place, count)
    moods = tmp_path / "moods"
    for mood in ("glad", "sad", "other"):
        _fill(moods / mood, 4)
    save(moods / "loose.webp", noise(8, 8))
    labels, photos = tmp_path / "labels", tmp_path / "photos"
    for number in range(5):
        save(labels / f"{number}.png", noise(8, 8, 1) % 3)
        save(photos / f"{number}.jpg", noise(8, 8))
    (photos / "colours.txt").write_text("1 1 1\n2 2 2\n3 3 3\n")
    (photos / "more.txt").touch()
    digits = tmp_path / "digits"
    digits.mkdir()
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        shape = struct.pack(">4B3I", 0, 0, 8, 3, 10, 4, 4)
        (digits / name).write_bytes(gzip.compress(shape + bytes(160)))
    size = {"load_size": 8, "crop_size": 8}
    lines = {
        "pairs": (
            opened("pairs", folder=pairs, **size),
            f"3 train, 1 search, 1 test images from {pairs}; left out: 1 .md file",
        ),
        "two folders": (
            opened(
                "pairs", layout="two-folders",
                input_folder=both / "a", target_folder=both / "b", **size,
            ),
            f"3 train, 1 search, 1 test images from {both}/a and {both}/b; left out: 1 .csv file",
        ),
        "unpaired": (
            opened("unpaired", layout="cyclegan", folder=cycle, **size),
            f"2 train, 2 search, 2 test images from {cycle}: side A; "
            f"3 train, 2 search, 3 test images from {cycle}: side B; "
            'left out: 1 folder ("junk")',
        ),
        "domains": (
            opened("domains", folder=moods, domains=("glad", "sad"), size=8),
            f"4 train, 2 search, 2 test images from {moods}; "
            'left out: 1 .webp file, 1 folder ("other")',
        ),
        "labelmaps": (
            opened("labelmaps", classes=3, label_folder=labels, image_folder=photos,
                colour_file=photos / "colours.txt", **size,
            ),
            f"3 train, 1 search, 1 test images from {labels} and {photos}; left out: 1 .txt file",
        ),
        "idx": (
            opened("idx", images=digits, size=4),
            f"8 train, 1 search, 1 test images from {digits}; left out: 1 .gz file",
        ),
    }  # fmt: skip
    for name, (data, line) in lines.items():
        assert told(name, data) == f"{name}: {line}"


def test_a_file_of_attributes_in_the_folder_is_used(tmp_path: Path) -> None:
    _fill(tmp_path, 8)
    rows = [f"{n}.png {1 if n % 2 else -1}" for n in range(8)]
    (tmp_path / "list.txt").write_text("\n".join(["8", "Smiling", *rows]))
    data = opened(
        "domains", layout="attributes", folder=tmp_path, attribute_file=tmp_path / "list.txt",
        attributes=("Smiling",), size=8, search_fraction=0.25, test_fraction=0.25, split_seed=1,
    )  # fmt: skip
    assert told("domains", data).endswith(f"2 test images from {tmp_path}")
    assert "0/list.txt" in data.origin.named()
    up = f"{tmp_path}/../{tmp_path.name}/list.txt"
    for spelled in (up, os.path.relpath(tmp_path / "list.txt")):
        again = opened(
            "domains", layout="attributes", folder=tmp_path, attribute_file=spelled,
            attributes=("Smiling",),
            size=8, search_fraction=0.25, test_fraction=0.25, split_seed=1,
        )  # fmt: skip
        assert told("domains", again) == told("domains", data)
        assert list(again.origin.named()) == list(data.origin.named())


def test_files_keep_their_names_when_folders_move(tmp_path: Path) -> None:
    names = []
    for place in ("here", "elsewhere"):
        for side in ("a", "b"):
            for split in ("train", "test"):
                _fill(tmp_path / place / side / split, 4)
        data = opened(
            "unpaired",
            input_folder=tmp_path / place / "a", target_folder=f"{tmp_path}/{place}//b/",
            load_size=8, crop_size=8, search_fraction=0.1,
        )  # fmt: skip
        names.append(list(data.origin.named()))
    assert names[0] == names[1] and len(names[0]) == 16
    assert {"0/train/0.png", "1/test/2.png"} <= set(names[0])


def test_world_maps_tell_their_files_and_nothing_that_is_left_out(tmp_path: Path) -> None:
    save_coded_worlds(tmp_path, 768)
    (tmp_path / "other.jpg").touch()
    for name in [name for name in DATASETS if "map" in name and name != "labelmaps"]:
        data = opened(name, size=32, min_land=0, folder=tmp_path)
        counts = ", ".join(f"{data.count(split)} {split}" for split in SPLITS)
        assert told(name, data) == f"{name}: {counts} images from {tmp_path}"
        assert "bmng.jpg" in data.origin.named()
