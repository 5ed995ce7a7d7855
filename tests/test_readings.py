"""Files are read once until they change."""

import os
import time
from pathlib import Path

import pytest

from gancompress.errors import CheckpointError
from gancompress.storage import readings
from gancompress.storage.checkpoint import write_record
from gancompress.storage.readings import SETTLED_NS, Readings
from gancompress.storage.runs import Run

Reads = list[str]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """The names of the files that are read from now on."""
    found: Reads = []
    for name in ("read_record", "read_json", "file_hash"):
        read = getattr(readings, name)

        def counted(path: Path, read=read):  # type: ignore[no-untyped-def]
            found.append(path.name)
            return read(path)

        counted.__name__ = name
        monkeypatch.setattr(readings, name, counted)
    return found


def settle(*paths: Path) -> None:
    """Waits until the files' times are told from any later ones."""
    latest = max(max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths)
    while time.time_ns() - latest <= SETTLED_NS:
        time.sleep(0.005)


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, reads: Reads) -> None:
    path, kept = tmp_path / "a.json", Readings()
    write_record(path, {"a": [1]})
    settle(path)
    assert [kept.record(path) for _ in range(3)] == [{"a": [1]}] * 3 and reads == ["a.json"]
    write_record(path, {"a": [2]})
    assert kept.record(path) == {"a": [2]} and len(reads) == 2


def test_a_change_that_keeps_size_and_modification_time_is_noticed(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.bin", Readings()
    path.write_bytes(b"one")
    settle(path)
    before, told = kept.sha256(path), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert kept.sha256(path) != before


def test_what_was_written_just_now_is_not_trusted(tmp_path: Path, reads: Reads) -> None:
    path, kept = tmp_path / "a.json", Readings()
    os.utime(write(path, "[1]"), ns=(2**62, 2**62))  # as a clock that is ahead would have it
    assert kept.json(path) == kept.json(path) == [1] and len(reads) == 2


def test_what_is_returned_belongs_to_the_caller(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.json", Readings()
    settle(write(path, '{"a": [1]}'))
    kept.json(path)["a"].append(2)
    assert kept.json(path) == {"a": [1]}


def test_what_cannot_be_read_is_refused_each_time(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.json", Readings()
    for _ in range(2):
        with pytest.raises(CheckpointError, match="no such file"):
            kept.json(path)
    settle(write(path, "{"))
    for _ in range(2):
        with pytest.raises(CheckpointError, match="not JSON"):
            kept.json(path)


def test_a_runs_stages_share_their_readings(tmp_path: Path, reads: Reads) -> None:
    run = Run(tmp_path)
    for name, parents in (("teacher", ()), ("supernet", ("teacher",))):
        stage = run.stage(name)
        stage.begin({}, parents)
        write(stage.path / "artefact", name)
        stage.finish("artefact")
    settle(*tmp_path.glob("*/*"))
    reads.clear()
    run = Run(tmp_path)  # which knows nothing of them yet
    for _ in range(3):
        assert run.stage("supernet").is_up_to_date() and run.stage("teacher").is_up_to_date()
    assert sorted(reads) == ["artefact", "stage.json", "stage.json"]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
