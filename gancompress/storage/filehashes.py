"""SHA-256 of files by path, size and times, so that none is read twice while it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from gancompress.bars import progress
from gancompress.errors import CheckpointError, DataError
from gancompress.storage.checkpoint import read_record, write_record
from gancompress.storage.digests import file_digest

_NAME = "file-hashes.json"


class FileHashes:
    """Hashes of a run's input files, kept in memory and, by `keep`, in ROOT/cache."""

    def __init__(self, root: Path) -> None:
        self._path = root / "cache" / _NAME

    def of(self, files: Sequence[Path]) -> list[str]:
        """SHA-256 of each, in hexadecimal; only what is new or has changed is read.

        Raises: DataError naming a file that cannot be read.
        """
        found: list[str] = []
        for path in progress(files, "hashing", unit="file", leave=False, delay=5):
            name = str(path.absolute())
            try:
                told = path.stat()
                # The change time betrays a replacement that keeps size and modification time.
                stamp = [told.st_size, told.st_mtime_ns, told.st_ctime_ns]
                row = self._rows.get(name)
                if not (isinstance(row, list) and row[:-1] == stamp):
                    row = self._rows[name] = [*stamp, file_digest(path)]
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise DataError(f"{path}: cannot be read ({reason}); put it back") from None
            found.append(str(row[-1]))
        return found

    def keep(self, files: Sequence[Path]) -> None:
        """Writes the hashes of these, and of no others, for later commands.

        Where ROOT cannot be written nothing is kept: they are hashed again then.
        """
        self.of([path for path in files if str(path.absolute()) not in self._rows])
        rows = {name: self._rows[name] for name in (str(path.absolute()) for path in files)}
        if rows != self._written:
            with suppress(CheckpointError):
                write_record(self._path, rows)
                self._written = rows

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return dict(self._written)

    @cached_property
    def _written(self) -> dict[str, Any]:
        """What the file holds; nothing if it is not there, or was damaged."""
        try:
            known = read_record(self._path)
        except CheckpointError:
            return {}
        return known if isinstance(known, dict) else {}
