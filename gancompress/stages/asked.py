"""What a user asks `gancompress compress` for, kept in its run, which goes on with that alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gancompress.errors import RunError
from gancompress.importers.generators import How
from gancompress.storage.checkpoint import read_json, write_json

RECIPE, ASKED = "compress.yaml", "asked.json"
PAIRS = "pairs:"  # What TEACHER begins with where pairs are given in place of a generator.


@dataclass(frozen=True)
class CompressOptions:
    """What a user asks `gancompress compress` for; see its options.

    images: the folder of inputs, or of pairs. like: the family of a generator that no teacher is
    given for; "" where there is one.
    """

    teacher: str
    images: Path
    out: Path
    how: How = field(default_factory=How)
    reduction: float = 10.0
    minutes: float = 30.0
    value_range: str | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    formats: Sequence[str] = ()
    overrides: Sequence[str] = ()
    like: str = ""

    @property
    def recipe(self) -> Path:
        """Where the recipe of the run lies."""
        return self.out / RECIPE


def keep_asked(options: CompressOptions) -> None:
    """Writes what the run is begun with into its folder."""
    write_json(options.out / ASKED, _asked(options))


def check_same(options: CompressOptions) -> None:
    """Raises: RunError for a run that was begun with other options."""
    path = options.out / ASKED
    begun = read_json(path) if path.exists() else {}
    for option, value in _asked(options).items():
        if begun.get(option) != value:
            raise RunError(
                f"{options.out}: was begun with {option} {begun.get(option) or '(none)'}, not "
                f"{value or '(none)'}; give another --out, or what it was begun with after editing "
                f"{options.recipe}"
            )


def _asked(options: CompressOptions) -> dict[str, str]:
    """What the run is begun with, as text by option; overrides are applied anew at each call."""
    how = options.how
    return {
        "TEACHER": options.teacher,
        "--images": str(options.images),
        "--like": options.like,
        "--weights": str(how.weights or ""),
        "--part": how.part or "",
        "--args": json.dumps(dict(how.arguments), sort_keys=True),
        "--bind": " ".join(
            f"{name}={hashlib.sha256(value.numpy().tobytes()).hexdigest()[:16]}"
            for name, value in sorted(how.bound.items())
        ),
        "--reduction": f"{options.reduction:g}",
        "--minutes": f"{options.minutes:g}",
        "--range": options.value_range or "",
        "--size": "x".join(map(str, options.size or ())),
        "--channels": str(options.channels or ""),
        "--for": " ".join(options.formats),
    }


def run_name(teacher: str) -> str:
    """What a run is called that nobody names."""
    if teacher.startswith(PAIRS):
        return Path(teacher.removeprefix(PAIRS)).expanduser().resolve().name or "pairs"
    stem, colon, name = teacher.rpartition(":")
    return name if colon and name.isidentifier() else Path(teacher).stem
