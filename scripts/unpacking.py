"""Archives from strangers into folders: nothing lands outside, no links, all of it or nothing."""

from __future__ import annotations

import argparse
import difflib
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from downloading import check_space, disk_errors, fetch
from tqdm import tqdm

from gancompress.errors import DataError

# What reading raises where an archive is damaged, or made to do harm. RuntimeError: of zipfile, for
# a compression that it does not know. OSError: of decompressors.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
    OSError, ValueError, LookupError, OverflowError, MemoryError, struct.error,
)  # fmt: skip
MOST_GROWTH = 200  # times an archive's size that its files may have; images hardly grow
SPARE_GROWTH = 64 * 2**20  # bytes that a small archive may grow to beside
MOST_FILES = 2**21
_LONGEST_READ = 64 * 2**20  # bytes that headers of a .tar may ask for at once

Place = Callable[[str], str | None]  # name in the archive -> name in the folder, or not at all


@dataclass(frozen=True)
class _Entry:
    """One file of an archive; `kind` is empty, or what it is if it is neither file nor folder."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, place: Place) -> int:
    """Makes `folder`, which does not exist yet, of the files that `place` takes. Returns how many.

    Works in FOLDER.unpacking, so that an unfinished folder never has the name of a finished one.
    Raises: DataError for a damaged archive, one with links, with names that lead outside or come
    twice, with a password, or of files far larger than itself; a disk without room, or no file
    that `place` takes.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: not a file; give a .zip or .tar.gz")
    rest = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(rest, ignore_errors=True)  # of an attempt that was killed
    with disk_errors(rest):
        rest.mkdir(parents=True)
    count, taken = 0, _Taken(archive)
    try:
        with tqdm(desc=f"{archive.name} -> {folder.name}", unit=" files") as bar:
            for entry in _entries(archive):
                taken.weigh(entry)
                if (name := place(_safe(entry, archive))) is not None:
                    taken.add(name)
                    check_space(rest, entry.size)
                    _write(entry, rest / name)
                    count += 1
                    bar.update()
        if not count:
            raise DataError(f"{archive}: has none of the files that are needed; give another one")
        with disk_errors(folder):
            rest.replace(folder)
    except _DAMAGE as error:
        raise DataError(
            f"{archive}: damaged or truncated ({error}); remove it and fetch it again"
        ) from None
    finally:
        shutil.rmtree(rest, ignore_errors=True)
    return count


class _Taken:
    """What an archive has held so far: how much, and under which names."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._most = MOST_GROWTH * archive.stat().st_size + SPARE_GROWTH
        self._bytes = self._files = 0
        self._names: set[str] = set()
        self._folders: set[str] = set()

    def weigh(self, entry: _Entry) -> None:
        """Raises: DataError for more files or bytes than an archive of images holds."""
        self._files += 1
        self._bytes += max(0, entry.size)
        if self._bytes > self._most or self._files > MOST_FILES:
            raise DataError(
                f"{self._archive}: would unpack to {self._bytes / 1e9:.1f} GB or more, in "
                f"{self._files:,} files, far more than it holds itself; it is not unpacked"
            )

    def add(self, name: str) -> None:
        """Raises: DataError for a name that came before, in any case, or is a folder's too."""
        path = PurePosixPath(name.casefold())
        above = {str(parent) for parent in path.parents}
        if str(path) in self._names | self._folders or above & self._names:
            raise DataError(
                f"{self._archive}: {name!r} comes twice in it; it is not unpacked, as either could "
                "be meant"
            )
        self._names.add(str(path))
        self._folders |= above


class _Bounded(gzip.GzipFile):
    """A stream for tarfile, which reads headers of any size that they ask for into memory."""

    def read(self, size: int | None = -1) -> bytes:
        """Raises: tarfile.ReadError for more bytes at once than any file of ours asks for."""
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size or 0:,} bytes")
        return super().read(size)


def _entries(path: Path) -> Iterator[_Entry]:
    """The files of a .zip or .tar.gz; folders are passed over."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    mode = info.external_attr >> 16
                    kind = "a link" if stat.S_ISLNK(mode) else ""
                    kind = "encrypted" if info.flag_bits & 1 else kind
                    yield _Entry(info.filename, info.file_size, kind, partial(packed.open, info))
        return
    with _Bounded(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.isdir():
                continue
            is_file = member.isreg() and not member.issparse()
            kind = "a link" if member.issym() or member.islnk() else "a device"
            kind = "" if is_file else "a sparse file" if member.issparse() else kind
            yield _Entry(member.name, member.size, kind, partial(_opened, tar, member))
        while stream.read(2**20):  # to the end, where the checksum is
            pass


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None, "a regular file"
    return file


def _safe(entry: _Entry, archive: Path) -> str:
    """The entry's name. Raises: DataError if it is a link or would lie outside of the folder."""
    parts = PurePosixPath(entry.name).parts
    if entry.kind:
        raise DataError(
            f"{archive}: {entry.name!r} in it is {entry.kind}; plain files alone are unpacked"
        )
    if not parts or parts[0] == "/" or ".." in parts or set(entry.name) & set("\\:\0"):
        raise DataError(
            f"{archive}: {entry.name!r} in it would lie outside of the folder; it is not unpacked"
        )
    return str(PurePosixPath(*parts))


def _write(entry: _Entry, path: Path) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("xb")
    left = entry.size
    with target, entry.open() as source:
        while chunk := source.read(2**20):
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{entry.name!r} holds more than it says")
            with disk_errors(path):
                target.write(chunk)


@dataclass(frozen=True)
class Source:
    """A data set that is one archive: where it is, and what must be in the folder made of it.

    sha256: of the archive, where it is known.
    """

    url: str
    suffix: str
    folders: tuple[str, ...]
    place: Place
    sha256: str | None = None


def arguments(about: str, names: Sequence[str], argv: Sequence[str]) -> argparse.Namespace:
    """The command line of a script that prepares one of `names`: name, folder, url, sha256.

    Raises: DataError for a name that is not among them, unless --url says where it is.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--folder", type=Path, help="default: datasets/NAME")
    parser.add_argument("--url", help="another source of the same archive")
    parser.add_argument("--sha256", metavar="SUM", help="what the archive must have")
    parser.add_argument(
        "--remove-archive", action="store_true", help="keep the images alone, not the archive"
    )
    given = parser.parse_args(argv)
    if given.name == "cityscapes" and not given.url:
        raise DataError(
            "cityscapes: its licence lets nobody pass it on; get the two archives with an account "
            "of your own and give them to scripts/prepare_cityscapes.py"
        )
    if given.name not in names and not given.url:
        close = difflib.get_close_matches(given.name, names, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"one of {', '.join(names)}"
        raise DataError(f"{given.name}: no such data set; {hint}")
    given.folder = given.folder or Path("datasets") / given.name
    return given


def prepare(source: Source, given: argparse.Namespace) -> None:
    """Has `given.folder` hold the images of `source`, as `arguments` read the command line."""
    folder: Path = given.folder
    archive = folder.with_name(f"{folder.name}{source.suffix}")
    if archive.exists() or not folder.exists():
        found = fetch(source.url, archive, given.sha256, known=source.sha256)
        print(f"{archive}: SHA-256 {found}")
    if not folder.exists():
        unpack(archive, folder, source.place)
    missing = [name for name in source.folders if not (folder / name).is_dir()]
    if missing:
        raise DataError(
            f"{folder}: has no {missing[0]}/, so it is another data set; move it away, or choose "
            "another --folder"
        )
    if given.remove_archive:
        archive.unlink(missing_ok=True)
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        print(f"{place}: {sum(1 for _ in place.iterdir()):,} images")
