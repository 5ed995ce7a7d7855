"""Files of trained teachers: those that come with the package, and those that a stage wrote.

Reads headers alone, without torch: a recipe that names a teacher is read in no time.
"""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from gancompress.errors import CheckpointError
from gancompress.teachers.published import PUBLISHED, imported_path

SCRATCH = "scratch"  # The teacher is trained here.
NONE = "none"  # There is no teacher; the supernet learns from the targets alone.
_SUFFIX = ".safetensors"
_LONGEST_HEADER = 2**24  # bytes; of safetensors files of this size no header is nearly as long


def packaged_teachers() -> list[str]:
    """The names of the teachers that come with the package, sorted."""
    files = resources.files("gancompress.teachers").iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def teacher_path(given: str) -> Path:
    """The file of a packaged teacher, of a published one, or of the path `given`.

    Raises: CheckpointError if there is none; of a published one, too, that was not taken yet.
    """
    if given in packaged_teachers():
        return Path(str(resources.files("gancompress.teachers").joinpath(given + _SUFFIX)))
    path = imported_path(given) if given in PUBLISHED else Path(given).expanduser()
    if not path.is_file():
        if given in PUBLISHED:
            raise CheckpointError(
                f"{path}: the teacher {given} is not there; give `gancompress train-teacher` with "
                "the recipe, which fetches it"
            )
        names = ", ".join([*packaged_teachers(), *PUBLISHED])
        raise CheckpointError(
            f"teacher.from: found {given}; {SCRATCH}, {NONE}, a teacher that is known by name "
            f"({names}) or a file that train-teacher wrote (RUN/teacher/model.safetensors) is "
            "allowed"
        )
    return path


def teacher_sha256(given: str) -> str:
    """SHA-256 of the file of `given`, in hexadecimal. Raises: CheckpointError."""
    path = teacher_path(given)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); give a readable file") from None


@lru_cache(maxsize=4)  # The text of a header is asked for several times a command.
def teacher_texts(given: str) -> dict[str, str]:
    """The texts in the file of `given`: "arch" (JSON), and of packaged teachers "about" and
    "made_for" (JSON: keys of a recipe and their values).

    Raises: CheckpointError if there is no such file, or it holds no teacher of ours.
    """
    path = teacher_path(given)
    try:
        with open(path, "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header: Any = json.loads(file.read(min(size, _LONGEST_HEADER)))
        texts = header.get("__metadata__", {})
        if "arch" not in texts:
            raise ValueError
    except (OSError, ValueError, struct.error, AttributeError, TypeError, RecursionError):
        raise CheckpointError(
            f"{path}: not a teacher that train-teacher wrote; give RUN/teacher/model{_SUFFIX}, or "
            "take the weights of another program with `gancompress import-teacher`"
        ) from None
    return dict(texts)
