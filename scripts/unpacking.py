"""Archives from strangers into folders: nothing lands outside, no links, all of it or nothing."""

from __future__ import annotations

import argparse
import difflib
import gzip
import shutil
import stat
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

# RuntimeError: of zipfile, for a compression that it does not know or an encrypted file.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError,
)  # fmt: skip

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
    Raises: DataError for a damaged archive, one with links or with names that lead outside, a disk
    without room, or no file that `place` takes.
    """
    rest = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(rest, ignore_errors=True)  # of an attempt that was killed
    with disk_errors(rest):
        rest.mkdir(parents=True)
    count = 0
    try:
        with tqdm(desc=f"{archive.name} -> {folder.name}", unit=" files") as bar:
            for entry in _entries(archive):
                if (name := place(_safe(entry, archive))) is not None:
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


def _entries(path: Path) -> Iterator[_Entry]:
    """The files of a .zip or .tar.gz; folders are passed over."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    mode = info.external_attr >> 16
                    kind = "a link" if stat.S_ISLNK(mode) else ""
                    yield _Entry(info.filename, info.file_size, kind, partial(packed.open, info))
        return
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.isdir():
                continue
            is_file = member.isreg()
            kind = "" if is_file else "a link" if member.issym() or member.islnk() else "a device"
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
            f"{archive}: {entry.name!r} in it is {entry.kind}; files alone are unpacked"
        )
    if not parts or parts[0] == "/" or ".." in parts or set(entry.name) & set("\\:\0"):
        raise DataError(
            f"{archive}: {entry.name!r} in it would lie outside of the folder; it is not unpacked"
        )
    return str(PurePosixPath(*parts))


def _write(entry: _Entry, path: Path) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.open("wb")
    with target, entry.open() as source:
        while chunk := source.read(2**20):
            with disk_errors(path):
                target.write(chunk)


@dataclass(frozen=True)
class Source:
    """A data set that is one archive: where it is, and what must be in the folder made of it."""

    url: str
    suffix: str
    folders: tuple[str, ...]
    place: Place


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
        print(f"{archive}: SHA-256 {fetch(source.url, archive, given.sha256)}")
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
