"""What a stage's stage.json must say, and how two recipes in such records differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import StrictBool, TypeAdapter, ValidationError

from gancompress.storage.checkpoint import TEMPORARY_PREFIX

_ABSENT = object()
_NAMED = 3  # differing keys named in a message; more are counted


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What stage.json says, in its order; it leaves out what is None.

    kind: the stage. sections: plain values of the recipe that decide it. parents: by stage, SHA-256
    of the artefacts that it was made from. contents: of the files that sections name, by dotted
    key; earlier versions had none. artefact: the file that later stages read, sha256 its hash,
    files those of others; with `extra`, once it is finished.
    """

    kind: str
    finished: StrictBool
    sections: dict[str, Any]
    parents: dict[str, str]
    contents: dict[str, str] | None = None
    versions: dict[str, str] | None = None
    artefact: str = ""
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        known = {key: value for key, value in vars(self).items() if value is not None}
        done = ("artefact", "sha256", "files", "extra")
        return {key: value for key, value in known.items() if self.finished or key not in done}


_RECORD = TypeAdapter(StageRecord)


def record_of(plain: object, kind: str) -> StageRecord | None:
    """Inverse of `as_dict`; None for what is no record of the stage `kind`."""
    try:
        record = _RECORD.validate_python(plain)
    except ValidationError:
        return None
    is_complete = not record.finished or (record.artefact and record.sha256)
    return record if record.kind == kind and is_complete else None


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The keys in which two plain values differ, `dotted.key (was …, now …)`; empty if in none."""
    told = list(changed(old, new).values())
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return ", ".join(told[:_NAMED]) + more


def changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """By dotted key: `key (was …, now …)` for every leaf in which two plain values differ."""
    return dict(_differences(old, new))


def is_bare(folder: Path, record: StageRecord) -> bool:
    """Whether a stage was begun and nothing was made that could be gone on with."""
    # The log of steps before the first saved state, and the precision that was chosen for them.
    kept = {"stage.json", "metrics.jsonl", "training.json"}
    made = (path.name for path in folder.iterdir() if not path.name.startswith(TEMPORARY_PREFIX))
    return not record.finished and not set(made) - kept


def _differences(old: object, new: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
    elif old != new:
        yield key, f"{key} (was {_shown(old)}, now {_shown(new)})"


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
