"""A lock that the operating system gives back when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gancompress.errors import CheckpointError


class FileLock:
    """One process at a time; the file holds the number of the process, for messages.

    A POSIX record lock: unlike `flock`, data loading processes do not inherit it, so that it ends
    with its holder even when those live on for a moment. Two locks of the same file within one
    process do not exclude each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_shared = False
        self._close: weakref.finalize[..., FileLock] | None = None

    @property
    def is_shared(self) -> bool:
        return self.is_held and self._is_shared

    @property
    def is_held(self) -> bool:
        return self._close is not None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> str | None:
        """Takes the lock, or returns the process that holds it ("unknown" where unreadable).

        shared: beside others that take it so. wait: until it is free, so that None is returned.
        Raises: CheckpointError if the lock file cannot be made.
        """
        if self._close is not None:
            return None
        handle = self._open()
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.lockf(handle, kind if wait else kind | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 20).decode(errors="replace").strip()
            os.close(handle)
            if error.errno not in (errno.EACCES, errno.EAGAIN):  # not: locked by another process
                raise
            return holder or "unknown"
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._is_shared = shared
        self._close = weakref.finalize(self, os.close, handle)  # a dropped lock is given back too
        return None

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CheckpointError(
                f"{self.path}: cannot be written ({reason}); choose another folder"
            ) from None

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._close is not None:
            self._close()
            self._close = None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time; the others wait. Raises: CheckpointError as `FileLock.acquire`."""
    lock = FileLock(path)
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def is_held_elsewhere(path: Path) -> bool | None:
    """Whether another process of this machine holds that lock; None if there is no such file.

    Not for a lock of this process: looking would give it back.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two may look at once
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
