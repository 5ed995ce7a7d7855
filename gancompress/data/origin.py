"""The files that a data set is made of, how many images they are, and what lies beside them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gancompress.data.dataset import SPLITS, Dataset, Split
from gancompress.storage.regularfiles import spelled

_NAMED = 3  # folders named of those left out; more are counted


@dataclass(frozen=True)
class Group:
    """Images that are counted together: where they lie, and how many each split has."""

    place: str
    counts: Mapping[Split, int]


@dataclass(frozen=True)
class Origin:
    """Where a data set comes from.

    files: all that are read, tables among them. roots: the folders that the user named, of which
    every entry is either read or told as left out; none for the built-in maps.
    """

    groups: tuple[Group, ...]
    files: tuple[Path, ...]
    roots: tuple[Path, ...] = ()

    def named(self) -> dict[str, Path]:
        """The files by names that stay when a folder moves: its number, and the path in it.

        A file in none of the folders goes by its own name.
        """
        roots, found = [_placed(root) for root in self.roots], {}
        for path in dict.fromkeys(self.files):
            place, key = _placed(path), path.name
            inside = [i for i, root in enumerate(roots) if place.is_relative_to(root)]
            if inside:
                key = f"{inside[0]}/{place.relative_to(roots[inside[0]]).as_posix()}"
            plain = spelled(key)
            found[key if plain in found else plain] = path
        return found


class FromFiles(Dataset, Protocol):
    """A data set that was opened from files, as every one of `DATASETS` is."""

    @property
    def origin(self) -> Origin:
        """The files that decide it, and how many images they make."""


def summary(name: str, origin: Origin) -> str:
    """One line: the images of each split, and what was left out, by kind.

    Hidden files are not told of.
    """
    parts = []
    for group in origin.groups:
        counts = ", ".join(f"{group.counts[split]} {split}" for split in SPLITS)
        parts.append(f"{counts} images from {group.place}")
    if left := left_out(origin.roots, origin.files):
        parts.append(f"left out: {left}")
    return f"{name}: {'; '.join(parts)}"


def left_out(roots: Iterable[Path], files: Iterable[Path]) -> str:
    """What the folders hold beside `files`, as `8 .txt files, 1 folder ("old")`; else empty."""
    used = {_placed(path) for path in files}
    parents = {parent for folder in {path.parent for path in used} for parent in folder.parents}
    parents |= {path.parent for path in used}
    files_left: list[Path] = []
    folders: list[str] = []

    def look(folder: Path, root: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path.name[0] == "." or path in used:
                continue
            if not path.is_dir():
                files_left.append(path)
            elif path in parents:
                look(path, root)
            else:
                folders.append(path.relative_to(root).as_posix())

    places = list(dict.fromkeys(_placed(root) for root in roots))
    for root in places:
        if not any(root != other and root.is_relative_to(other) for other in places):
            look(root, root)
    told = [by_ending(files_left)] if files_left else []
    if folders:
        names = ", ".join(f'"{name}"' for name in folders[:_NAMED])
        more = ", …" if len(folders) > _NAMED else ""
        told.append(f"{_plural(len(folders), 'folder')} ({names}{more})")
    return ", ".join(told)


def _placed(path: Path) -> Path:
    """The same place however it is spelled; links are not followed."""
    return Path(os.path.abspath(path))


def by_ending(files: Iterable[Path]) -> str:
    """Files counted by the ending of their names: `2 .json files, 1 .txt file`."""
    counts = sorted(Counter(path.suffix.lower() for path in files).items())
    return ", ".join(
        _plural(count, f"{ending} file") if ending else f"{_plural(count, 'file')} without ending"
        for ending, count in counts
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
