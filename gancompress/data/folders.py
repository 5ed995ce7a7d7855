"""Which image files make a pair or a domain, and which split each belongs to."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from gancompress.data.dataset import Split
from gancompress.data.formats import COUNTED, SUFFIXES
from gancompress.errors import DataError
from gancompress.storage.regularfiles import name_bytes, spelled

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

    So CycleGAN's data sets have them, of sides A and B; train_A/ and train/A/ are the same.
    Raises: DataError where such a folder is missing or has no image in it.
    """
    places = _split_folders(folder, side)
    return {name: [(path,) for path in image_files(place)] for name, place in places.items()}


def matched_pairs(input_folder: Path, *others: Path, names: Sequence[str] = ()) -> Listing:
    """Files with equal stems, one of each folder, by split folder and in order of stem.

    names: for each folder what its stems look like, as `*_A`; what stands for the star is equal.
    Raises: DataError where folders differ, a file lacks its partner or a stem comes twice.
    """
    folders = (input_folder, *others)
    return _matched([(folder, _split_folders(folder)) for folder in folders], names)


def matched_sides(folder: Path, names: Sequence[str] = ()) -> Listing:
    """As `matched_pairs`, of trainA/ and trainB/ and the like in one folder; see `side_files`."""
    return _matched([(folder, _split_folders(folder, side)) for side in "AB"], names)


def matched_names(folder: Path, names: Sequence[str]) -> Listing:
    """As `matched_pairs`, of files that lie in one folder and differ by `names`."""
    places = _split_folders(folder)
    return _matched([(folder, places) for _ in names], names)


def _matched(sides: Sequence[tuple[Path, dict[str, Path]]], names: Sequence[str]) -> Listing:
    (first, splits), *others = sides
    for folder, places in others:
        if splits.keys() != places.keys():
            raise DataError(
                f"{folder}: has {_names(places)} and {first} has {_names(splits)}; "
                "both need the same"
            )
    return {
        split: matched_files(*(places[split] for _, places in sides), names=names)
        for split in splits
    }


def matched_files(folder: Path, *others: Path, names: Sequence[str] = ()) -> list[Pair]:
    """Files with equal stems, one of each folder, in order of stem; see `matched_pairs`."""
    names = names or ["*"] * (1 + len(others))
    first, *columns = (
        _by_stem(place, name) for place, name in zip((folder, *others), names, strict=True)
    )
    for other, name, stems in zip(others, names[1:], columns, strict=True):
        if alone := sorted(first.keys() ^ stems.keys()):
            stem = alone[0]
            path, place = (first[stem], other) if stem in first else (stems[stem], folder)
            named = "" if (names[0], name) == ("*", "*") else f", {names[0]} beside {name},"
            raise DataError(
                f"{path}: no partner of the same stem{named} in {place} "
                f"({len(alone)} such files); add it or take the file away"
            )
        if both := {*first.values()} & {*stems.values()}:
            raise DataError(
                f"{min(both)}: is named as {names[0]} and as {name}; give names that tell the "
                "files of a pair apart"
            )
    return [(first[stem], *(stems[stem] for stems in columns)) for stem in sorted(first)]


def domain_files(folder: Path, domains: Sequence[str]) -> dict[str, Listing]:
    """The files of each domain, every one by itself, from sub-folders named after the domains.

    They lie in `folder` or in each of its split folders. `domains` chooses among them and gives
    their order.
    Raises: DataError for fewer than two domains, or one that is missing or empty anywhere.
    """
    places = _split_folders(folder)
    present = {place: _sub_folders(place) for place in places.values()}
    names = list(dict.fromkeys(map(spelled, domains)))  # One folder may be spelled in two ways.
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
    inside = _by_name(folder)
    named = {name: _spelled_as(inside, (name,), side) for name in _SPLIT_FOLDERS}
    if named["train"]:
        named["val"] += _spelled_as(inside, _ALSO_VAL, side)
    for places in named.values():
        if len(places) > 1:
            other = places[0].relative_to(folder)
            raise DataError(
                f"{places[1]}: {other}/ is there too, and both name one split; keep one"
            )
    found = {name: places[0] for name, places in named.items() if places}
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


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """The folders inside by name in small letters: several where case tells them apart."""
    found: dict[str, list[Path]] = {}
    for path in _sub_folders(folder).values():
        found.setdefault(path.name.casefold(), []).append(path)
    return found


def _spelled_as(inside: dict[str, list[Path]], names: Sequence[str], side: str) -> list[Path]:
    """Those of the folders that have one of these names: trainA, train_A, train-A or train/A."""
    if not side:
        return [path for name in names for path in inside.get(name, [])]
    ends = [f"{between}{side}".casefold() for between in ("", "_", "-")]
    found = [path for name in names for end in ends for path in inside.get(f"{name}{end}", [])]
    for parent in (path for name in names for path in inside.get(name, [])):
        found += _by_name(parent).get(side.casefold(), [])
    return found


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
        inner = ", ".join(f"{name}/" for name in _sub_folders(folder))
        advice = f"; it has folders, {inner}: give one, or the data.layout that takes them"
        raise DataError(f"{folder}: no images in it; {COUNTED}{advice if inner else ''}")
    return sorted(files)


def _entries(folder: Path) -> list[Path]:
    """What is in the folder and not hidden."""
    try:
        return [path for path in folder.iterdir() if path.name[0] != "."]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); allow reading") from None


def _by_stem(folder: Path, name: str = "*") -> dict[str, Path]:
    """The images that `name` is the name of, by what its star stands for in their stems."""
    before, _, behind = spelled(name).partition("*")
    stems: dict[str, Path] = {}
    for path in image_files(folder):
        stem = spelled(path.stem)
        if not (stem.startswith(before) and stem.endswith(behind)):
            continue
        if len(stem) < len(before) + len(behind):
            continue
        stem = stem[len(before) : len(stem) - len(behind)]
        if stem in stems:
            raise DataError(f"{path}: {stems[stem].name} has the same stem; keep one of them")
        stems[stem] = path
    if not stems:
        raise DataError(f"{folder}: no images of the name {name} in it; give another name")
    return stems


def _draw(pair: Pair, seed: int) -> str:
    return hashlib.sha256(name_bytes(f"{seed}:{pair[0].stem}")).hexdigest()


def _names(folders: dict[str, Path], side: str = "") -> str:
    named = " ".join(f"{name}{side}/" for name in folders if name)
    return named or "files without split folders"
