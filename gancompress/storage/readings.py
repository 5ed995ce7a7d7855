"""What was read from files, kept for as long as these stay as they are."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gancompress.storage.checkpoint import file_hash, read_json, read_record
from gancompress.storage.regularfiles import open_regular

# A file that was written so lately may change again within the same tick of the system's clock.
SETTLED_NS = 50_000_000

Stamp = tuple[int, ...]


class Readings:
    """Records and hashes of files, each read once until the file changes.

    A file has changed when its place on the disk, its size or its times are others. What is
    returned belongs to the caller, who may change it. Raises: CheckpointError as what reads it.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[Stamp, Any]] = {}

    def record(self, path: Path) -> Any:
        """The content of a record, see `checkpoint.read_record`."""
        return self._once(read_record, path)

    def json(self, path: Path) -> Any:
        """The content of a JSON file, see `checkpoint.read_json`."""
        return self._once(read_json, path)

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file's bytes, in hexadecimal."""
        return str(self._once(file_hash, path))

    def _once(self, read: Callable[[Path], Any], path: Path) -> Any:
        key, stamp = (read.__name__, os.path.abspath(path)), _stamp(path)
        kept = self._kept.get(key)
        if kept is None or kept[0] != stamp:
            kept = (stamp, read(path))
            if _is_settled(stamp):
                self._kept[key] = kept
        return copy.deepcopy(kept[1])


def _stamp(path: Path) -> Stamp:
    """What changes when the file does; empty where there is none that can be read."""
    try:
        # Opened, so that a file system between machines asks anew how the file is.
        with open_regular(path) as file:
            told = os.fstat(file.fileno())
    except OSError:
        return ()
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def _is_settled(stamp: Stamp) -> bool:
    return bool(stamp) and time.time_ns() - max(stamp[-2:]) > SETTLED_NS
