"""Which image files make a pair or a domain, and which split each belongs to."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from gancompress.data.dataset import Split
from gancompress.data.formats import COUNTED, SUFFIXES
from gancompress.errors import DataError
from gancompress.regularfiles import name_bytes, spelled

Pair = tuple[Path, ...]  # one file with both halves, or (input file, target file); or more
Listing = dict[str, list[Pair]]  # by the name of the split folder; "" for files without one

_SPLIT_FOLDERS = ("train", "search", "val", "test")
_ALSO_VAL = ("validation", "valid")  # other names of val/, beside a folder train/


def single_files(folder: Path) -> Listing:
    """The files of `folder`, each a pair by itself, by split folder and in order of name.

    Raises: DataError where there is no folder or no image in it.
    """
    return {
        name: [(path,) for path in image_files(place)]
        for name, place in _split_folders(folder).items()
    }


def side_files(folder: Path, side: str) -> Listing:
    """The files of train`side`/, test`side`/ and the like in `folder`, each by itself.

    So CycleGAN's data sets have them, of sides A and B.
    Raises: DataError where such a folder is missing or has no image in it.
    """
    places = _split_folders(folder, side)
    return {name: [(path,) for path in image_files(place)] for name, place in places.items()}


def matched_pairs(input_folder: Path, *others: Path) -> Listing:
    """Files with equal stems, one of each folder, by split folder and in order of stem.

    Raises: DataError where folders differ, a file lacks its partner or a stem comes twice.
    """
    inputs, columns = _split_folders(input_folder), [_split_folders(other) for other in others]
    for folder, places in zip(others, columns, strict=True):
        if inputs.keys() != places.keys():
            raise DataError(
                f"{folder}: has {_names(places)} and {input_folder} has {_names(inputs)}; "
                "both need the same"
            )
    return {
        name: matched_files(place, *(places[name] for places in columns))
        for name, place in inputs.items()
    }


def matched_files(folder: Path, *others: Path) -> list[Pair]:
    """Files with equal stems, one of each folder, in order of stem; see `matched_pairs`."""
    first, columns = _by_stem(folder), [_by_stem(other) for other in others]
    for other, stems in zip(others, columns, strict=True):
        if alone := sorted(first.keys() ^ stems.keys()):
            stem = alone[0]
            path, place = (first[stem], other) if stem in first else (stems[stem], folder)
            raise DataError(
                f"{path}: no partner of the same stem in {place} "
                f"({len(alone)} such files); add it or take the file away"
            )
    return [(first[stem], *(stems[stem] for stems in columns)) for stem in sorted(first)]


def domain_files(folder: Path, domains: Sequence[str] = ()) -> dict[str, Listing]:
    """The files of each domain, every one by itself, from sub-folders named after the domains.

    They lie in `folder` or in each of its split folders. `domains` chooses among them and gives
    their order; () takes all, in order of name.
    Raises: DataError for fewer than two domains, or one that is missing or empty anywhere.
    """
    places = _split_folders(folder)
    present = {place: _sub_folders(place) for place in places.values()}
    names = list(dict.fromkeys(map(spelled, domains))) or sorted(set().union(*present.values()))
    if len(names) < 2:
        raise DataError(
            f"{folder}: has {len(names)} domain(s); at least two folders of images are needed, "
            "one for each domain"
        )
    for place, name in ((place, name) for name in names for place in places.values()):
        if name not in present[place]:
            raise DataError(
                f"{place}: no folder of the domain {name!r}, which every split needs; "
                f"{nearest(name, [*present[place]])}"
            )
    return {
        name: {
            split: [(path,) for path in image_files(present[place][name])]
            for split, place in places.items()
        }
        for name in names
    }


def nearest(name: str, known: Sequence[str]) -> str:
    """Advice on a name that is not known."""
    close = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(known) or 'none'}"


def split_pairs(
    listing: Listing,
    search_fraction: float,
    test_fraction: float,
    seed: int,
    *,
    where: str = "pairs",
    unit: str = "pairs",
    least: int = 1,
) -> dict[Split, list[Pair]]:
    """The pairs of each split, `least` of them or more.

    From split folders: train/, test/ and search/ or else val/, which may be called validation/ or
    valid/. Without test/, val/ is the test split, as pix2pix's data sets have it. A split without
    folder takes its fraction of train/, or of all files, at least `least`: those whose stem and
    seed hash lowest, so that a file tends to keep its split while a set grows.
    Raises: DataError naming `where` if a split would have fewer.
    """
    folders = dict(listing)
    test = folders.pop("test", None) or folders.pop("val", None)
    search = folders.pop("search", None) or folders.pop("val", None)
    rest = sorted(folders.get("train", folders.get("", [])), key=lambda p: _draw(p, seed))
    total = len(rest)
    if test is None:
        taken = max(least, round(test_fraction * total))
        test, rest = rest[:taken], rest[taken:]
    if search is None:
        taken = max(least, round(search_fraction * total))
        search, rest = rest[:taken], rest[taken:]
    splits: dict[Split, list[Pair]] = {"train": rest, "search": search, "test": test}
    for split, pairs in splits.items():
        if len(pairs) < least:
            found = f"has {len(pairs)} of at least {least} {unit}" if pairs else "is empty"
            raise DataError(
                f"{where}: the {split} split {found}, {total} {unit} are left to share out; "
                "add images or lower search_fraction and test_fraction"
            )
    return {split: sorted(pairs) for split, pairs in splits.items()}


def _split_folders(folder: Path, side: str = "") -> dict[str, Path]:
    """The split folders inside by name, or the folder itself as ""; `side` ends their names.

    Raises: DataError if the folder is missing or its split folders do not suffice.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder with the images")
    places = {name: folder / f"{name}{side}" for name in _SPLIT_FOLDERS}
    found = {name: place for name, place in places.items() if place.is_dir()}
    if "train" in found:
        _take_other_names(found, [folder / f"{name}{side}" for name in _ALSO_VAL])
    if not found and not side:
        return {"": folder}
    if "train" not in found or not {"val", "test"} & found.keys():
        otherwise = "" if side else ", or no such folders at all"
        raise DataError(
            f"{folder}: has {_names(found, side)}; train{side}/ and test{side}/ (or val{side}/) "
            f"are needed, search{side}/ is optional{otherwise}"
        )
    if {"search", "val", "test"} <= found.keys():
        del found["val"]
    return found


def _take_other_names(found: dict[str, Path], others: Sequence[Path]) -> None:
    """Adds validation/ and the like as val. Raises: DataError where more than one of them is."""
    present = [found[name] for name in ("val",) if name in found]
    present += [place for place in others if place.is_dir()]
    if len(present) > 1:
        raise DataError(
            f"{present[1]}: {present[0].name}/ is there too, and both name one split; keep one"
        )
    if present:
        found["val"] = present[0]


def _sub_folders(folder: Path) -> dict[str, Path]:
    """The folders inside by name, in order; hidden ones are passed over."""
    return {spelled(path.name): path for path in sorted(_entries(folder)) if path.is_dir()}


def image_files(folder: Path) -> list[Path]:
    """Image files of `folder` in order of name; hidden and other files are passed over.

    Raises: DataError where there is none.
    """
    files = [
        path for path in _entries(folder) if path.suffix.lower() in SUFFIXES and not path.is_dir()
    ]
    if not files:
        raise DataError(f"{folder}: no images in it; {COUNTED}")
    return sorted(files)


def _entries(folder: Path) -> list[Path]:
    """What is in the folder and not hidden."""
    try:
        return [path for path in folder.iterdir() if path.name[0] != "."]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); allow reading") from None


def _by_stem(folder: Path) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    for path in image_files(folder):
        stem = spelled(path.stem)
        if stem in stems:
            raise DataError(f"{path}: {stems[stem].name} has the same stem; keep one of them")
        stems[stem] = path
    return stems


def _draw(pair: Pair, seed: int) -> str:
    return hashlib.sha256(name_bytes(f"{seed}:{pair[0].stem}")).hexdigest()


def _names(folders: dict[str, Path], side: str = "") -> str:
    named = " ".join(f"{name}{side}/" for name in folders if name)
    return named or "files without split folders"
