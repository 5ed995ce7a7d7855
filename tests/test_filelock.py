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
from gancompress.filelock import FileLock

HOLD = """
import sys, time
from pathlib import Path
from gancompress.filelock import FileLock
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
