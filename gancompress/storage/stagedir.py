"""The folder of one stage of a run: its record and artefact, resuming, one worker at a time."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from gancompress import __version__
from gancompress.errors import CheckpointError, RunError
from gancompress.storage.asides import set_aside
from gancompress.storage.checkpoint import file_hash, remove_leftovers, write_record
from gancompress.storage.contents import Files
from gancompress.storage.filelock import FileLock
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.readings import Readings
from gancompress.storage.refusals import refuse_changed, refuse_other
from gancompress.storage.stagenames import STAGES
from gancompress.storage.stagerecords import StageRecord, changed, is_bare, record_of
from gancompress.storage.stagetimes import note_redo, note_time

Status = Literal["new", "partial", "done"]


class StageDir:
    """The folder of one stage of a run.

    Between `begin` and `finish` (or `release`, or the end of a `with` block) the process holds
    the stage's lock; the system gives it back when the process is killed.
    readings: of all stages of the run, so that each file is read once.
    """

    def __init__(
        self, root: Path, name: str, variant: str = "", readings: Readings | None = None
    ) -> None:
        self.root = root
        self.name = name
        self.path = root / (name + variant)
        self.state = self.path / "state.pt"
        self._readings = Readings() if readings is None else readings
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
        files: Files | None = None,
        accepts: bool = False,
    ) -> Status:
        """Takes the stage up: "new", "partial" (go on, from `state` if it is there yet) or "done".

        `sections` are the plain JSON values that decide this stage, `parents` the stages whose
        artefacts it reads, the one that it follows first. What is there is left as it is.
        changeable: dotted keys of `sections` that an unfinished stage may go on with other values
        of; they are recorded then. shared: beside other processes that work on it so, too. files:
        those that `sections` name, which count by content. accepts: they may be others than those
        that the parent was made from.

        Raises:
            RunError: another command works on this stage; a parent is not finished; or the folder
                holds the work of other sections, of other files or of another parent artefact.
            CheckpointError: a file of this stage or of a parent was changed or truncated.
        """
        try:
            self._acquire(shared=shared)
        except CheckpointError:
            if not self.is_finished():
                raise
            # Of what is finished nothing is written, so that it may lie where nobody can.
        try:
            status = self._take_up(dict(sections), parents, changeable, files, accepts=accepts)
            self._since = None if status == "done" else time.monotonic()
            return status
        except BaseException:
            self.release()
            raise

    def _take_up(
        self,
        sections: dict[str, Any],
        parents: Sequence[str],
        changeable: Collection[str],
        files: Files | None,
        *,
        accepts: bool,
    ) -> Status:
        hashes = {name: self._beside(name).hash() for name in parents}
        plain = json.loads(json.dumps(sections))  # as it will be read back: tuples are lists
        is_begun = self.record_path.exists()
        # Where nothing was made yet another recipe is welcome: messages may have advised it.
        if not is_begun or (not self._lock.is_shared and is_bare(self.path, self.record())):
            if files is not None and parents and not accepts:
                parent = self._beside(parents[0])
                contents = parent.record().contents
                refuse_changed(parent.path, contents, files, self.name, self.path)
            found = None if files is None else dict(files.read().digests)
            begun = StageRecord(
                kind=self.name, finished=False, sections=plain, parents=hashes, contents=found
            )
            self._write_record(begun)
            return "partial" if is_begun else "new"
        record = self.record()
        if not record.finished:
            record = self._with_changes(record, plain, changeable)
        refuse_other(self.path, record, plain, hashes, files)
        # What is done needs its files no more: they may be gone, but not be other ones.
        is_done = record.finished
        if files is not None and (not is_done or files.moved(record.sections)):
            refuse_changed(self.path, record.contents, files, self.name, self.path)
        if is_done:
            self.check()
            return "done"
        if not self._lock.is_shared:
            remove_leftovers(self.path)
        return "partial"

    def _with_changes(
        self, record: StageRecord, sections: dict[str, Any], changeable: Collection[str]
    ) -> StageRecord:
        """Records other values of `changeable` keys where nothing else differs."""
        found = changed(record.sections, sections)
        if found and found.keys() <= set(changeable):
            record, self.changes = replace(record, sections=sections), tuple(found.values())
            self._write_record(record)
        return record

    def finish(
        self,
        artefact: str,
        extra: Mapping[str, Any] | None = None,
        files: Collection[str] = (),
    ) -> None:
        """Declares the stage done: `artefact` is the file in this folder that later stages read.

        `extra` is kept in the record, and the hashes of further `files` in this folder are.
        Raises: CheckpointError if the record cannot be written.
        """
        done = replace(
            self.record(),
            finished=True,
            artefact=artefact,
            sha256=file_hash(self.path / artefact),
            files={name: file_hash(self.path / name) for name in files},
            extra=dict(extra or {}),
        )
        self._write_record(done)
        self.state.unlink(missing_ok=True)
        self.release()

    def artefact(self) -> Path:
        """The file that this stage made, checked against its hash.

        Raises: RunError if the stage is not finished; CheckpointError if the file was changed.
        """
        record = self._finished_record()
        return self._checked(record.artefact, record.sha256)

    def file(self, name: str) -> Path | None:
        """Another file that `finish` was given, checked against its hash; None if it was not.

        Raises: as `artefact`.
        """
        sums = self._finished_record().files
        return self._checked(name, sums[name]) if name in sums else None

    def check(self) -> None:
        """Raises: as `artefact`, for it and for all files that `finish` was given."""
        self.artefact()
        for name in self._finished_record().files:
            self.file(name)

    def _checked(self, name: str, sha256: str) -> Path:
        path = self.path / name
        if not path.is_file() or self._readings.sha256(path) != sha256:
            raise self._damaged(path)
        return path

    def _beside(self, name: str) -> StageDir:
        """Another stage of the same run."""
        return StageDir(self.root, name, readings=self._readings)

    def hash(self) -> str:
        """SHA-256 of the artefact, checked. Raises: as `artefact`."""
        self.artefact()
        return self._finished_record().sha256

    def extra(self) -> dict[str, Any]:
        """What `finish` was given beside the artefact. Raises: RunError if not finished."""
        return self._finished_record().extra

    def is_finished(self) -> bool:
        return self.record_path.exists() and self.record().finished

    def is_up_to_date(self) -> bool:
        """Whether the stage is finished, and made from what its parents hold now."""
        if not self.is_finished():
            return False
        made_from = ((self._beside(name), sha) for name, sha in self.record().parents.items())
        return all(parent.is_finished() and parent.hash() == sha for parent, sha in made_from)

    @property
    def record_path(self) -> Path:
        return self.path / "stage.json"

    def record(self) -> StageRecord:
        """The content of `stage.json`. Raises: CheckpointError if it is not this stage's."""
        try:
            plain = self._readings.record(self.record_path)
        except CheckpointError:
            raise self._damaged(self.record_path) from None
        record = record_of(plain, self.name)
        if record is None:
            raise self._damaged(self.record_path)
        return record

    def _finished_record(self) -> StageRecord:
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

    def _write_record(self, record: StageRecord) -> None:
        versions = {"python": platform.python_version(), "gancompress": __version__}
        versions["torch"] = version("torch")
        write_record(self.record_path, replace(record, versions=versions).as_dict())

    def set_aside(self) -> Path | None:
        """Renames the folder to STAGE.1, STAGE.2, … so that the stage begins anew; None if empty.

        Raises: RunError if another command works on this stage.
        """
        if not self.path.exists():
            return None
        held = self._lock.is_held
        self._acquire()
        try:
            aside = set_aside(self.path)
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
