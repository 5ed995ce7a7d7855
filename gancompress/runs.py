"""The directory of one compression: a folder per stage, provenance, resuming, one worker each."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from gancompress.checkpoint import (
    file_hash,
    read_json,
    remove_leftovers,
    write_json,
    write_text,
)
from gancompress.errors import CheckpointError, RunError
from gancompress.filelock import FileLock
from gancompress.metricslog import MetricsLog
from gancompress.stagetimes import note_redo, note_time

Status = Literal["new", "partial", "done"]

STAGES: dict[str, str] = {  # stage and the command that makes it
    "teacher": "train-teacher",
    "supernet": "train-supernet",
    "search": "search",
    "finetune": "finetune",
    "export": "export",
}
_ABSENT = object()
_SHOWN = 3  # differing keys named in a message; more are counted


class Run:
    """The directory of one compression.

    ROOT/recipe.yaml is the resolved recipe of the last command. ROOT/STAGE/ holds that stage's
    artefact, `stage.json` (provenance), `metrics.jsonl` and, while in progress, `state.pt`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def stage(self, name: str, variant: str = "") -> StageDir:
        """The folder of a stage; `variant` is added to its name where a stage is done in several
        ways side by side."""
        assert name in STAGES, f"{name!r} is not one of {list(STAGES)}"
        return StageDir(self.root, name, variant)

    def keep_recipe(self, text: str) -> None:
        """Writes ROOT/recipe.yaml. Raises: CheckpointError if that is impossible."""
        write_text(self.root / "recipe.yaml", text)


class StageDir:
    """The folder of one stage of a run.

    Between `begin` and `finish` (or `release`, or the end of a `with` block) the process holds
    the stage's lock; the system gives it back when the process is killed.
    """

    def __init__(self, root: Path, name: str, variant: str = "") -> None:
        self.root = root
        self.name = name
        self.path = root / (name + variant)
        self.state = self.path / "state.pt"
        self.metrics = MetricsLog(self.path / "metrics.jsonl")
        self._lock = FileLock(root / f".{name}{variant}.lock")
        self._since: float | None = None  # when the work that goes on was taken up
        self.changes: tuple[str, ...] = ()  # What `begin` found to go on with other values of.

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def begin(
        self,
        sections: Mapping[str, Any],
        parents: Sequence[str] = (),
        *,
        changeable: Collection[str] = (),
        shared: bool = False,
    ) -> Status:
        """Takes the stage up: "new", "partial" (go on, from `state` if it is there yet) or "done".

        `sections` are the plain JSON values that decide this stage, `parents` the stages whose
        artefacts it reads. What is there is left as it is. changeable: dotted keys of `sections`
        that an unfinished stage may go on with other values of; they are recorded then. shared:
        beside other processes that work on it so, too.

        Raises:
            RunError: another command works on this stage; a parent is not finished; or the folder
                holds the work of other sections or of another parent artefact.
            CheckpointError: a file of this stage or of a parent was changed or truncated.
        """
        self._acquire(shared=shared)
        try:
            status = self._take_up(dict(sections), parents, changeable)
            self._since = None if status == "done" else time.monotonic()
            return status
        except BaseException:
            self.release()
            raise

    def _take_up(
        self, sections: dict[str, Any], parents: Sequence[str], changeable: Collection[str]
    ) -> Status:
        hashes = {name: StageDir(self.root, name).hash() for name in parents}
        plain = json.loads(json.dumps(sections))  # as it will be read back: tuples are lists
        if not self.record_path.exists():
            self._write_record({"finished": False, "sections": plain, "parents": hashes})
            return "new"
        record = self.record()
        record["sections"].pop("precision", None)  # Versions before 0.2 counted it in.
        changed = dict(_differences(record["sections"], plain))
        if changed and not record["finished"] and changed.keys() <= set(changeable):
            record["sections"], self.changes = plain, tuple(changed.values())
            self._write_record(record)
        self._refuse_other(record, plain, hashes)
        if record["finished"]:
            self.artefact()
            return "done"
        if not self._lock.is_shared:
            remove_leftovers(self.path)
        return "partial"

    def _refuse_other(
        self, record: Mapping[str, Any], sections: dict[str, Any], hashes: dict[str, str]
    ) -> None:
        ways_out = "give another run=DIR, or --redo to set this one aside and begin again"
        changes = [text for _, text in _differences(record["sections"], sections)]
        if changes:
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise RunError(
                f"{self.path}: made with another recipe, {', '.join(changes[:_SHOWN])}{more}; "
                + ways_out
            )
        for parent in sorted({*record["parents"], *hashes}):
            if record["parents"].get(parent) != hashes.get(parent):
                path = self.root / parent
                if parent in record["parents"] and parent in hashes:
                    found = f"made from another {parent} than {path} holds now"
                else:  # a parent that the stage can do without: nothing before it is to be redone
                    ways_out = f"give `gancompress {STAGES[self.name]} … --redo` to make it again"
                    found = f"made before {path} was"
                    if parent in record["parents"]:
                        found = f"made from {path}, which is no longer finished or up to date"
                raise RunError(f"{self.path}: {found}; {ways_out}")

    def finish(self, artefact: str, extra: Mapping[str, Any] | None = None) -> None:
        """Declares the stage done: `artefact` is the file in this folder that later stages read.

        `extra` is kept in the record. Raises: CheckpointError if the record cannot be written.
        """
        done = {
            "finished": True,
            "artefact": artefact,
            "sha256": file_hash(self.path / artefact),
            "extra": dict(extra or {}),
        }
        self._write_record({**self.record(), **done})
        self.state.unlink(missing_ok=True)
        self.release()

    def artefact(self) -> Path:
        """The file that this stage made, checked against its hash.

        Raises: RunError if the stage is not finished; CheckpointError if the file was changed.
        """
        record = self._finished_record()
        path: Path = self.path / record["artefact"]
        if not path.is_file() or file_hash(path) != record["sha256"]:
            raise self._damaged(path)
        return path

    def hash(self) -> str:
        """SHA-256 of the artefact, checked. Raises: as `artefact`."""
        self.artefact()
        return str(self._finished_record()["sha256"])

    def extra(self) -> dict[str, Any]:
        """What `finish` was given beside the artefact. Raises: RunError if not finished."""
        return dict(self._finished_record()["extra"])

    def is_finished(self) -> bool:
        return self.record_path.exists() and bool(self.record()["finished"])

    def is_up_to_date(self) -> bool:
        """Whether the stage is finished, and made from what its parents hold now."""
        if not self.is_finished():
            return False
        parents = {name: StageDir(self.root, name) for name in self.record()["parents"]}
        return all(
            parent.is_finished() and parent.hash() == self.record()["parents"][name]
            for name, parent in parents.items()
        )

    @property
    def record_path(self) -> Path:
        return self.path / "stage.json"

    def record(self) -> dict[str, Any]:
        """The content of `stage.json`. Raises: CheckpointError if it is not this stage's."""
        try:
            record = read_json(self.record_path)
        except CheckpointError:
            raise self._damaged(self.record_path) from None
        if not _is_record(record, self.name):
            raise self._damaged(self.record_path)
        return dict(record)

    def _finished_record(self) -> dict[str, Any]:
        if not self.is_finished():
            state = "is not finished" if self.record_path.exists() else "was not made yet"
            raise RunError(
                f"{self.path}: stage {self.name} {state}; "
                f"run `gancompress {STAGES[self.name]} …` first"
            )
        return self.record()

    def _damaged(self, path: Path) -> CheckpointError:
        return CheckpointError(
            f"{path}: changed on disk or truncated; delete {self.path} or give --redo to make it "
            "again"
        )

    def _write_record(self, record: Mapping[str, Any]) -> None:
        versions = {"python": platform.python_version()}
        versions |= {package: version(package) for package in ("gancompress", "torch")}
        write_json(self.record_path, {"kind": self.name, **record, "versions": versions})

    def set_aside(self) -> Path | None:
        """Renames the folder to STAGE.1, STAGE.2, … so that the stage begins anew; None if empty.

        Raises: RunError if another command works on this stage.
        """
        if not self.path.exists():
            return None
        held = self._lock.is_held
        self._acquire()
        try:
            number = 1
            while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
                number += 1
            self.path.rename(aside)
            with suppress(OSError):  # only the report misses it
                note_redo(self.root, self.path.name)
        finally:
            if not held:
                self.release()
        return aside

    def _acquire(self, *, shared: bool = False) -> None:
        holder = self._lock.acquire(shared=shared)
        if holder is not None:
            raise RunError(
                f"{self.path}: another command (process {holder}) works on it; wait for its end, "
                "or give another run=DIR"
            )

    def release(self) -> None:
        """Gives the stage's lock back, if it is held, and notes how long the work took."""
        if self._since is not None:
            with suppress(OSError):  # a full disk has been told of; only the report misses it
                note_time(self.root, self.path.name, time.monotonic() - self._since)
            self._since = None
        self._lock.release()


def _is_record(record: object, kind: str) -> bool:
    """Whether a stage.json says what the code above relies on."""
    if not isinstance(record, dict) or record.get("kind") != kind:
        return False
    wanted: dict[str, type] = {"finished": bool, "sections": dict, "parents": dict}
    if record.get("finished"):
        wanted |= {"artefact": str, "sha256": str, "extra": dict}
    return all(isinstance(record.get(key), kind_) for key, kind_ in wanted.items())


def _differences(old: object, new: object, key: str = "") -> Iterator[tuple[str, str]]:
    """The dotted key, and `dotted.key (was …, now …)`, of every leaf in which values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), inner)
    elif old != new:
        yield key, f"{key} (was {_shown(old)}, now {_shown(new)})"


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
