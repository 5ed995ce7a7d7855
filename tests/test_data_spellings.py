"""Folders as people have them: other spellings, sides, and both images of a pair in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import noise, save
from opening import pair_folders, unpaired_folders

from gancompress.data.folders import single_files
from gancompress.errors import DataError, RecipeError
from gancompress.recipe.reading import load_recipe

SIZES = {"load_size": 8, "crop_size": 8}


def save_sides(folder: Path, spelling: str, endings: tuple[str, str] = ("", "")) -> None:
    """Pairs of trainings and tests, of sides A and B, at the places that the spelling tells."""
    for split, count in (("train", 5), ("test", 2)):
        for side, ending in zip("AB", endings, strict=True):
            place = folder / spelling.format(split=split, Split=split.title(), side=side,
                                             small=side.lower())  # fmt: skip
            for i in range(count):
                save(place / f"{split}{i}{ending}.png", noise(8, 8, seed=i))


@pytest.mark.parametrize(
    "spelling",
    ["{split}{side}", "{split}_{side}", "{split}-{side}", "{split}/{side}", "{Split}{side}",
     "{Split}/{small}", "{split}{small}"],
)  # fmt: skip
def test_sides_are_found_however_they_are_spelled(tmp_path: Path, spelling: str) -> None:
    save_sides(tmp_path, spelling)
    pairs = pair_folders(layout="cyclegan", folder=tmp_path, **SIZES)
    unpaired = unpaired_folders(layout="cyclegan", folder=tmp_path, **SIZES)
    assert [pairs.count(s) for s in ("train", "search", "test")] == [4, 1, 2]
    assert [unpaired.count(s) for s in ("train", "search", "test")] == [3, 2, 2]
    batch = pairs.batch("test", [0, 1], None)
    assert batch["input"].equal(batch["target"])  # of one number: the same noise


def test_split_folders_may_begin_with_capitals_but_come_once(tmp_path: Path) -> None:
    for name in ("Train", "TEST"):
        save(tmp_path / name / "a.png", noise(8, 16))
    assert {*single_files(tmp_path)} == {"train", "test"}
    save(tmp_path / "train" / "a.png", noise(8, 16))
    with pytest.raises(DataError, match="[Tt]rain/ is there too, and both name one split"):
        single_files(tmp_path)
    save_sides(tmp_path / "sides", "{split}{side}")
    save(tmp_path / "sides" / "train" / "A" / "a.png", noise(8, 8))
    with pytest.raises(DataError, match="train/A: trainA/ is there too, and both name one split"):
        pair_folders(layout="cyclegan", folder=tmp_path / "sides", **SIZES)


def test_a_folder_of_folders_says_which_it_has(tmp_path: Path) -> None:
    save_sides(tmp_path, "{split}{side}")
    with pytest.raises(DataError, match=r"folders, testA/, testB/, trainA/, trainB/: give one, or"):
        pair_folders(folder=tmp_path, **SIZES)


NAMED = {"input_name": "*_A", "target_name": "*_B"}


def test_pairs_of_one_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    for i in range(6):
        for ending in ("A", "B", "C"):
            save(tmp_path / f"{i}_{ending}.png", noise(8, 8, seed=i))
    pairs = pair_folders(layout="one-folder", folder=tmp_path, **NAMED, **SIZES)
    assert [pairs.count(s) for s in ("train", "search", "test")] == [4, 1, 1]
    batch = pairs.batch("train", range(4), None)
    assert batch["input"].equal(batch["target"])
    for name, reason in (
        ({"input_name": "in *"}, r"no images of the name in \* in it; give another name"),
        ({"target_name": "*"}, r"no partner of the same stem, \*_A beside \*,"),
    ):
        with pytest.raises(DataError, match=reason.replace("as *", r"as \*")):
            pair_folders(layout="one-folder", folder=tmp_path, **{**NAMED, **name}, **SIZES)
    (tmp_path / "3_B.png").unlink()
    with pytest.raises(DataError, match=r"3_A\.png: no partner of the same stem, \*_A beside \*_B"):
        pair_folders(layout="one-folder", folder=tmp_path, **NAMED, **SIZES)


def test_names_tell_pairs_of_two_folders_too(tmp_path: Path) -> None:
    save_sides(tmp_path, "{split}{side}", ("_A", "_B"))
    pairs = pair_folders(layout="cyclegan", folder=tmp_path, **NAMED, **SIZES)
    assert pairs.count("train") == 4
    two = {"input_folder": tmp_path / "trainA", "target_folder": tmp_path / "trainB"}
    assert pair_folders(layout="two-folders", **two, **NAMED, **SIZES).count("train") == 3
    with pytest.raises(DataError, match=r"no partner of the same stem in"):
        pair_folders(layout="two-folders", **two, **SIZES)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("layout: one-folder", r"target_name: found '\*', as input_name; layout one-folder needs"),
        ("layout: cyclegan, input_name: A", "input_name: found 'A'; a name with one star"),
        ('input_name: "*_A"', "input_name: given; layout side-by-side has one file"),
        ("layout: cyclegan, input_folder: x", "input_folder: given; layout cyclegan takes folder"),
    ],
)
def test_recipes_say_what_their_layout_takes(values: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        load_recipe("edges2shoes", [f"data={{name: pairs, folder: x, {values}}}"])
