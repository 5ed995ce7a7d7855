"""The files of a user's set: their splits, how they are read, which are kept, and their hashes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gancompress.data.dataoptions import FilesOptions
from gancompress.data.dataset import SPLITS, Split
from gancompress.data.folders import Pair
from gancompress.data.images import Reading, fits_in_memory
from gancompress.data.origin import Group, Origin
from gancompress.storage.digests import Digests, file_digests, files_digest

V = TypeVar("V")


@dataclass(frozen=True)
class FileGroup:
    """Items of one kind: what messages call their place, and those of each split, in order."""

    place: str
    items: Mapping[Split, Sequence[Pair]]

    @property
    def counts(self) -> dict[Split, int]:
        """How many items each split has."""
        return {split: len(self.items[split]) for split in SPLITS}

    def all(self) -> Iterator[Pair]:
        """The items of the splits one after the other."""
        return (item for split in SPLITS for item in self.items[split])


class FolderFiles:
    """What every data set of a user's files holds: one group of items, or one for each side.

    roots: the folders that the user named. also: further files that decide the data. digests:
    gives SHA-256 of files. At most the options' `cache_mb` of decoded images are kept.
    """

    def __init__(
        self,
        options: FilesOptions,
        *groups: FileGroup,
        roots: Sequence[str | None],
        also: Sequence[str | None] = (),
        digests: Digests | None = None,
    ) -> None:
        self.groups = groups
        self.reading = Reading(options.max_value, options.background)
        files = [path for item in self.all() for path in item]
        files += [Path(path) for path in also if path is not None]
        places = dict.fromkeys(Path(root) for root in roots if root is not None)
        told = tuple(Group(group.place, group.counts) for group in groups)
        self.origin = Origin(told, tuple(files), tuple(places))
        self._digests_of = file_digests if digests is None else digests
        self._limit = options.cache_mb * 1e6
        self._kept: dict[Hashable, Any] = {}
        self._taken = 0  # bytes of what is kept

    def all(self) -> Iterator[Pair]:
        """The items of all groups and splits."""
        return (item for group in self.groups for item in group.all())

    def digest(self, split: Split, settings: Sequence[object], beside: Sequence[str] = ()) -> str:
        """Hash of a split's file names and bytes, of settings, and of a text for each file.

        beside: those texts, if any. All files are read at every call, see `hashedonce`.
        """
        files = [p for group in self.groups for item in group.items[split] for p in item]
        known = [*settings, *self.reading.settings()]
        return files_digest(known, files, self._digests_of, beside)

    def kept(self, key: Hashable, decode: Callable[[], V], *, item_bytes: int | None = None) -> V:
        """What `decode` gives, an array or several; kept if the limit allows, then not made anew.

        item_bytes: of every item once decoded, where all are of one size: then all are kept, or
        none. Items of different sizes are kept until the limit is reached.
        """
        if key in self._kept:
            found: V = self._kept[key]
            return found
        value = decode()
        if item_bytes is not None:
            if fits_in_memory(sum(1 for _ in self.all()) * item_bytes, self._limit):
                self._kept[key] = value
            return value
        arrays: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
        taken = self._taken + sum(array.nbytes for array in arrays)
        if fits_in_memory(taken, self._limit):
            self._kept[key], self._taken = value, taken
        return value


def group_of(items: Mapping[Split, Sequence[Pair]], *roots: str | None) -> FileGroup:
    """The items under the names of the folders that they lie in."""
    places = dict.fromkeys(str(Path(root)) for root in roots if root is not None)
    return FileGroup(" and ".join(places), items)
