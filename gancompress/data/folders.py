"""Which image files make a pair, and which split a pair belongs to."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gancompress.data.dataset import Split
from gancompress.data.images import SUFFIXES
from gancompress.errors import DataError

Pair = tuple[Path, ...]  # one file with both halves, or (input file, target file)
Listing = dict[str, list[Pair]]  # by the name of the split folder; "" for files without one

_SPLIT_FOLDERS = ("train", "search", "val", "test")


def single_files(folder: Path) -> Listing:
    """The files of `folder`, each a pair by itself, by split folder and in order of name.

    Raises: DataError where there is no folder or no image in it.
    """
    return {
        name: [(path,) for path in _images(place)] for name, place in _split_folders(folder).items()
    }


def matched_pairs(input_folder: Path, target_folder: Path) -> Listing:
    """Pairs of files with equal stems, by split folder and in order of stem.

    Raises: DataError where folders differ, a file lacks its partner or a stem comes twice.
    """
    inputs, targets = _split_folders(input_folder), _split_folders(target_folder)
    if inputs.keys() != targets.keys():
        raise DataError(
            f"{target_folder}: has {_names(targets)} and {input_folder} has {_names(inputs)}; "
            "both need the same"
        )
    return {name: _matched(inputs[name], targets[name]) for name in inputs}


def split_pairs(
    listing: Listing, search_fraction: float, test_fraction: float, seed: int
) -> dict[Split, list[Pair]]:
    """The pairs of each split, none of them empty.

    From split folders: train/, test/ and search/ or else val/. Without test/, val/ is the test
    split, as pix2pix's data sets have it. A split without folder takes its fraction of train/, or
    of all files, at least one pair: those whose stem and seed hash lowest, so that a file tends to
    keep its split while a set grows.
    Raises: DataError if a split would be empty.
    """
    folders = dict(listing)
    test = folders.pop("test", None) or folders.pop("val", None)
    search = folders.pop("search", None) or folders.pop("val", None)
    rest = sorted(folders.get("train", folders.get("", [])), key=lambda p: _draw(p, seed))
    total = len(rest)
    if test is None:
        taken = max(1, round(test_fraction * total))
        test, rest = rest[:taken], rest[taken:]
    if search is None:
        taken = max(1, round(search_fraction * total))
        search, rest = rest[:taken], rest[taken:]
    splits: dict[Split, list[Pair]] = {"train": rest, "search": search, "test": test}
    for split, pairs in splits.items():
        if not pairs:
            raise DataError(
                f"pairs: the {split} split is empty, {total} pairs are left to share out; "
                "add images or lower search_fraction and test_fraction"
            )
    return {split: sorted(pairs) for split, pairs in splits.items()}


def _split_folders(folder: Path) -> dict[str, Path]:
    """The split folders inside by name, or the folder itself as "".

    Raises: DataError if the folder is missing or its split folders do not suffice.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder with the images")
    found = {name: folder / name for name in _SPLIT_FOLDERS if (folder / name).is_dir()}
    if not found:
        return {"": folder}
    if "train" not in found or not {"val", "test"} & found.keys():
        raise DataError(
            f"{folder}: has {_names(found)}; train/ and test/ (or val/) are needed, search/ is "
            "optional, or no such folders at all"
        )
    if {"search", "val", "test"} <= found.keys():
        del found["val"]
    return found


def _images(folder: Path) -> list[Path]:
    """Image files of `folder` in order of name; hidden and other files are passed over."""
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); allow reading") from None
    if not files:
        raise DataError(f"{folder}: no images in it; files ending in {' '.join(SUFFIXES)} count")
    return sorted(files)


def _by_stem(folder: Path) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in _images(folder):
        if path.stem in stems:
            raise DataError(f"{path}: {stems[path.stem].name} has the same stem; keep one of them")
        stems[path.stem] = path
    return stems


def _matched(input_folder: Path, target_folder: Path) -> list[Pair]:
    inputs, targets = _by_stem(input_folder), _by_stem(target_folder)
    alone = sorted(inputs.keys() ^ targets.keys())
    if alone:
        stem = alone[0]
        path, other = (
            (inputs[stem], target_folder) if stem in inputs else (targets[stem], input_folder)
        )
        raise DataError(
            f"{path}: no partner of the same stem in {other} "
            f"({len(alone)} such files); add it or take the file away"
        )
    return [(inputs[stem], targets[stem]) for stem in sorted(inputs)]


def _draw(pair: Pair, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{pair[0].stem}".encode()).hexdigest()


def _names(folders: dict[str, Path]) -> str:
    return " ".join(f"{name}/" for name in folders if name) or "files without split folders"
