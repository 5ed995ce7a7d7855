"""Files opened only where they are regular: a pipe, a socket or a device never holds a command up.

A folder may hold anything under any name. To ask what a name is and to open it afterwards leaves a
moment in which it can be changed; here the file that was opened is asked, and opening never waits.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from io import BufferedReader
from pathlib import Path

# Of the systems that have them: a named pipe without writer is opened at once, bytes come as such.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path | str) -> BufferedReader:
    """The file at `path`, links followed, to be read. Raises: OSError, also where it is no file."""
    try:
        handle = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # sockets cannot be opened at all
            raise _not_a_file("a socket", path) from None
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise _not_a_file(_KINDS.get(stat.S_IFMT(mode), "something else"), path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _not_a_file(kind: str, path: Path | str) -> OSError:
    return OSError(errno.EINVAL, f"{kind}, not a file", str(path))


def spelled(name: str) -> str:
    """A file's name as all systems spell it: accents joined with their letters (NFC)."""
    return unicodedata.normalize("NFC", name)


def name_bytes(text: str) -> bytes:
    """UTF-8 of a text that holds names of files, which need not be UTF-8 themselves."""
    return spelled(text).encode(errors="surrogateescape")


def read_regular(path: Path | str) -> bytes:
    """All bytes of a regular file. Raises: OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()
