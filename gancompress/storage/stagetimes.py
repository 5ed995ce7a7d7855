"""How long the commands of a run worked on its stages, in ROOT/times.jsonl.

A file beside the stages, only ever added to: several workers of one stage may do so at once. A
command that is killed on the spot leaves no line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

NAME = "times.jsonl"


@dataclass(frozen=True)
class StageTime:
    """Seconds that commands worked on a stage, and how many commands; workers' times add up."""

    seconds: float
    commands: int


def note_time(root: Path, stage: str, seconds: float) -> None:
    """Adds what one command took. Raises: OSError."""
    _append(root, {"stage": stage, "seconds": round(seconds, 3)})


def note_redo(root: Path, stage: str) -> None:
    """From here on the stage's time counts anew. Raises: OSError."""
    _append(root, {"stage": stage, "seconds": None})


def times_of(root: Path) -> dict[str, StageTime]:
    """By stage, as far as it was noted."""
    path = root / NAME
    found: dict[str, StageTime] = {}
    lines = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in lines.splitlines():
        try:
            row = json.loads(line)
            stage, seconds = str(row["stage"]), row["seconds"]
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a kill
        if seconds is None:
            found.pop(stage, None)
        elif isinstance(seconds, int | float):
            before = found.get(stage, StageTime(0.0, 0))
            found[stage] = StageTime(before.seconds + seconds, before.commands + 1)
    return found


def _append(root: Path, row: dict[str, object]) -> None:
    with open(root / NAME, "a", encoding="utf-8") as file:  # one short write: lines stay whole
        file.write(json.dumps(row) + "\n")
