"""Files from public servers, for the scripts prepare_*.py: resumed, retried, checked, in one piece.

A file is written as NAME.part and gets its name when it is complete. Its SHA-256 goes into
SHA256SUMS beside it (`sha256sum -c SHA256SUMS` reads it); whoever comes again is checked by that.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tqdm import tqdm

from gancompress.errors import DataError, GanCompressError
from gancompress.storage.checkpoint import write_text

SUMS = "SHA256SUMS"
CHUNK = 2**20
ATTEMPTS = 6  # in a row that bring no byte
TIMEOUT_S = 60.0
SPARE_BYTES = 64 * 2**20  # that a disk keeps
# What a connection that breaks off raises; HTTPError, a URLError too, is told apart before.
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class _CutOff(ConnectionError):
    """The server ended before the length that it had announced."""


def run(main: Callable[[], None]) -> int:
    """The exit code of a script: 2 after one sentence of what is wrong, 130 after Ctrl-C."""
    try:
        main()
    except GanCompressError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; give the same command again to go on from here", file=sys.stderr)
        return 130
    return 0


def fetch(
    url: str,
    path: Path,
    sha256: str | None = None,
    *,
    known: str | None = None,
    wait_s: float = 1.0,
) -> str:
    """Has `path` hold what `url` gives, going on from an earlier attempt. Returns its SHA-256.

    Args:
        sha256: what the user says that the file must have.
        known: what it had when others fetched it; counts where the user says nothing. Without
            both, what SHA256SUMS notes of the first download does.
        wait_s: pause after the first broken attempt; it doubles with every one.

    Raises: DataError if it cannot be had, the disk is full or the sum is another.
    """
    part = path.with_name(f"{path.name}.part")
    with disk_errors(path):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _complete(url, part, wait_s)
        there = path if path.exists() else part
        found = checked_sum(there, path, sha256, known)
        if there is part:
            part.replace(path)
            _tag_file(part).unlink(missing_ok=True)
    return found


def checked_sum(file: Path, path: Path, sha256: str | None = None, known: str | None = None) -> str:
    """The SHA-256 of `file`, noted under the name of `path` in SHA256SUMS beside it.

    Raises: DataError if it is not `sha256`, or else not `known`, or not what was noted before.
    """
    sums = path.with_name(SUMS)
    noted = _read_sums(sums)
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    wanted, source, remedy = noted.get(path.name), str(sums), "correct the sum"
    if sha256:
        wanted, source = sha256.strip().lower(), "--sha256"
    elif known:
        wanted, source = known, "the script"
        remedy = "give --sha256 with the sum of a file that you trust"
    if wanted not in (None, found):
        raise DataError(
            f"{file}: has SHA-256 {found}; {source} says {wanted}; remove it to fetch it again, or "
            f"{remedy}"
        )
    if noted.get(path.name) != found:
        noted[path.name] = found
        write_text(sums, "".join(f"{value}  {name}\n" for name, value in sorted(noted.items())))
    return found


def check_space(folder: Path, needed: int) -> None:
    """Raises: DataError if the disk of `folder`, which exists, has no room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise DataError(
            f"{folder}: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free; make "
            "room or choose a folder on another disk"
        )


def _read_sums(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name.lstrip(" *"): value for value, _, name in (line.partition(" ") for line in lines)}


def _complete(url: str, part: Path, wait_s: float) -> None:
    """Fetches until `part` is complete, waiting longer after every attempt without a byte."""
    idle = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise DataError(
                    f"{url}: the server answers {error.code} {error.reason}; check the name, or "
                    "give another source with --url"
                ) from None
            reason = f"{error.code} {error.reason}"
        except (http.client.InvalidURL, ValueError) as error:
            raise DataError(
                f"{url}: not an address that can be fetched ({error}); give one with http:// or "
                "https://"
            ) from None
        except _BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        idle = 0 if _size(part) > before else idle + 1
        if idle == ATTEMPTS:
            raise DataError(
                f"{url}: cannot be fetched ({reason}); what has come is kept, give the same "
                "command again later to go on from there"
            )
        print(f"{url}: broken off ({reason}); going on", file=sys.stderr)
        time.sleep(wait_s * 2**idle)


def _attempt(url: str, part: Path) -> None:
    """One request for what is missing in `part`."""
    have = _size(part)
    headers = {"User-Agent": "gancompress"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag := _tag(part):
            headers["If-Range"] = tag  # otherwise all of it, should the file have changed
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416:  # nothing lies behind what we have
                raise
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
        part.unlink()
        raise _CutOff("the part that is here does not belong to the file there") from None
    with answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise _CutOff("the server goes on at another place")
        _tag_file(part).write_text(
            answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "", "utf-8"
        )
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, have if resumed else 0, part)


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], have: int, part: Path) -> None:
    """Raises: _CutOff if fewer bytes come than announced; DataError if the disk is too small."""
    length = answer.headers.get("Content-Length") or ""
    total = have + int(length) if length.isdecimal() else None
    check_space(part.parent, (total or 0) - have)
    name = part.name.removesuffix(".part")
    with tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True) as bar:
        while chunk := answer.read(CHUNK):
            _written(file, chunk)
            bar.update(len(chunk))
            have += len(chunk)
    if total is not None and have < total:
        raise _CutOff(f"after {have:,} of {total:,} bytes")


def _written(file: IO[bytes], chunk: bytes) -> None:
    with disk_errors(Path(file.name)):
        file.write(chunk)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What the disk refuses as a DataError naming `path`."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: cannot be written ({reason}); make room or allow it") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _tag(part: Path) -> str:
    """What the server called the version of the file that `part` is the beginning of, if known."""
    file = _tag_file(part)
    tag = file.read_text("utf-8") if file.exists() else ""
    return "" if tag.startswith("W/") else tag  # If-Range takes strong ones alone: RFC 9110, 13.1.5
