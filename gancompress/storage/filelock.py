"""A lock that the operating system gives back when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gancompress.errors import CheckpointError

# A link would lock, and empty, a file elsewhere; to open a pipe would wait for its other end.
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST = 20  # bytes of a process's number


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
        Raises: CheckpointError if the lock file cannot be made, or what is there is none of ours.
        """
        if self._close is not None:
            return None
        handle = self._open()
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.lockf(handle, kind if wait else kind | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, _LONGEST).decode(errors="replace").strip()
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
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # link, socket, folder
                raise self._foreign() from None
            reason = (error.strerror or str(error)).lower()
            raise CheckpointError(
                f"{self.path}: cannot be written ({reason}); choose another folder"
            ) from None
        if not _is_ours(handle):
            os.close(handle)
            raise self._foreign()
        return handle

    def _foreign(self) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: a link, or a file with something else in it, where a lock is kept; look "
            "what it is and remove it"
        )

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._close is not None:
            self._close()
            self._close = None


def _is_ours(handle: int) -> bool:
    """Whether a file is a lock: a regular one of a single name, empty or with a process's number.

    What is locked is emptied, so that nothing else may be.
    """
    told = os.fstat(handle)
    if not stat.S_ISREG(told.st_mode) or told.st_nlink > 1 or told.st_size > _LONGEST:
        return False
    content = os.pread(handle, _LONGEST, 0)
    return not content or content.strip().isdigit()


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
        handle = os.open(path, os.O_RDWR | _SAFELY)
    except OSError:
        return None
    try:
        if not _is_ours(handle):
            return None
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two may look at once
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
