"""What the files behind a stage held when it was made: by content, not by where they lie.

A folder may move, or be spelled otherwise; an image that vanished, came or changed is found by its
SHA-256. Hashes are kept in ROOT/cache/file-hashes.json by path, size and times of a file, so that
later commands ask the system for those alone. ROOT/cache/data-….json lists the files of a data set
that a stage was made from, for the sentence on what has changed.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import read_json, write_json
from gancompress.storage.filehashes import FileHashes

DATA = "data"  # the key of all files of the data set together


@dataclass(frozen=True)
class Contents:
    """SHA-256 of the files that a recipe names, by dotted key; of its data set under `DATA`."""

    digests: Mapping[str, str]


@dataclass(frozen=True)
class Files:
    """The files and folders that a recipe names, by dotted key, and how to read what they hold."""

    named: Mapping[str, str]
    read: Callable[[], Contents]

    def spelled_alike(
        self, before: dict[str, Any], now: dict[str, Any], *, any_place: bool
    ) -> dict[str, Any]:
        """`before` with the names of `now` where they mean the same place, or `any_place`.

        Both are plain values of a recipe's sections. Of a file with its hash beside it the name
        never counts.
        """
        alike = copy.deepcopy(before)
        for key in self.named:
            (old, last), (new, _) = _place(alike, key), _place(now, key)
            if not (isinstance(old.get(last), str) and isinstance(new.get(last), str)):
                continue
            if any_place or "sha256" in new or _is_same(old[last], new[last]):
                old[last] = new[last]
        return alike

    def moved(self, before: dict[str, Any]) -> bool:
        """Whether one of them is at another place than in `before`."""
        recorded = ((_place(before, key), name) for key, name in self.named.items())
        return any(
            isinstance(old.get(last), str) and not _is_same(old[last], name)
            for (old, last), name in recorded
        )


def _place(sections: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds a dotted key, empty if there is none, and the key's last part."""
    *before, last = key.split(".")
    for part in before:
        inner = sections.get(part)
        sections = inner if isinstance(inner, dict) else {}
    return sections, last


def _is_same(one: str, other: str) -> bool:
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def read_contents(
    root: Path,
    named: Mapping[str, Path],
    data: Mapping[str, Path],
    hashes: FileHashes | None = None,
) -> Contents:
    """Of files by their keys in the recipe, and of a data set's files by name.

    hashes: of the run, where some are known in this command already. Where ROOT cannot be written
    nothing is kept. Raises: DataError naming an unreadable file.
    """
    known = FileHashes(root) if hashes is None else hashes
    places = [path for _, path in sorted(data.items())]
    listed = dict(zip(sorted(data), known.of(places), strict=True))
    own = dict(zip(named, known.of(list(named.values())), strict=True))
    known.keep([*named.values(), *data.values()])
    digest = _digest(listed)
    if not (place := _listing(root, digest)).exists():
        with suppress(CheckpointError):  # The sentence on what has changed is shorter then.
            write_json(place, listed)
    return Contents({DATA: digest, **own})


def changes(root: Path, before: Mapping[str, Any], now: Contents) -> str:
    """What differs between the digests of a record and those of now; empty if nothing does.

    What only one of them has is not compared.
    """
    told: list[str] = []
    for key, digest in now.digests.items():
        if before.get(key, digest) == digest:
            continue
        is_data = key == DATA
        told.append(_of_data(root, before[key], digest) if is_data else f"{key} is another file")
    return ", ".join(told)


def _digest(listed: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def _of_data(root: Path, before: str, now: str) -> str:
    try:
        old, new = read_json(_listing(root, before)), read_json(_listing(root, now))
    except CheckpointError:  # the cache was emptied
        return "the images are not the same"
    if (_digest(old), _digest(new)) != (before, now):  # the cache was damaged
        return "the images are not the same"
    kinds = {
        "vanished": [name for name in old if name not in new],
        "came": [name for name in new if name not in old],
        "changed": [name for name in old if new.get(name, old[name]) != old[name]],
    }
    return ", ".join(
        f"{len(names)} {'file' if len(names) == 1 else 'files'} {what} ({_shown(names)})"
        for what, names in kinds.items()
        if names
    )


def _shown(names: list[str]) -> str:
    """The first of some names, without the number of its folder."""
    number, slash, inside = min(names).partition("/")
    first = inside if slash and number.isdecimal() else min(names)
    return first if len(names) == 1 else f"first {first}"


def _listing(root: Path, digest: str) -> Path:
    return root / "cache" / f"data-{digest[:16]}.json"
