"""The lock excludes other processes and ends with its holder."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gancompress.errors import CheckpointError
from gancompress.storage.filelock import FileLock, is_held_elsewhere

HOLD = """
import sys, time
from pathlib import Path
from gancompress.storage.filelock import FileLock, is_held_elsewhere
assert FileLock.acquire(lock := FileLock(Path(sys.argv[1]))) is None
print("held", flush=True)
time.sleep(60)
"""


def holder_of(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_told_who_holds_it_until_that_one_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".teacher.lock"
    lock = FileLock(path)
    with holder_of(path) as other:
        assert lock.acquire() == str(other.pid)
        assert not lock.is_held
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert lock.acquire() is None
    assert path.read_text() == str(os.getpid())
    assert lock.acquire() is None, "taking it twice is no conflict"
    lock.release()
    assert not lock.is_held


def test_a_released_lock_is_free_for_others(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire() is None
    lock.release()
    with holder_of(tmp_path / "lock") as other:
        assert lock.acquire() == str(other.pid)
        other.kill()


def test_a_dropped_lock_is_given_back(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire() is None
    del lock
    gc.collect()
    with holder_of(tmp_path / "lock") as other:
        other.kill()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="file/lock: cannot be written"):
        FileLock(tmp_path / "file" / "lock").acquire()


@pytest.mark.parametrize("kind", ["link", "dangling link", "second name", "text", "pipe", "folder"])
def test_what_is_no_lock_of_ours_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "lock", tmp_path / "precious.txt"
    other.write_text("1234")
    match kind:
        case "link":
            path.symlink_to(other)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "second name":
            os.link(other, path)
        case "text":
            path.write_text("notes")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    lock = FileLock(path)
    with pytest.raises(CheckpointError, match="lock: a link, or a file with something else in it,"):
        lock.acquire()
    assert not lock.is_held
    assert other.read_text() == "1234" and not (tmp_path / "nowhere").exists()
    assert is_held_elsewhere(path) is None
    if kind == "text":
        assert path.read_text() == "notes"
