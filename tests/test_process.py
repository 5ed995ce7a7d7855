"""Settings before torch: made where the user made none, left alone otherwise."""

import gc
import os
import platform
import subprocess
import sys

import pytest

from gancompress import process


def test_settle_limits_spinning_and_leaves_the_users_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    process.configure_runtime()
    assert os.environ["GOMP_SPINCOUNT"] == "20000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    process.configure_runtime()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    process.configure_runtime()
    assert "GOMP_SPINCOUNT" not in os.environ


# Small blocks come from the heap, whose freed pages stay with the process after `settle`.
RELEASING = """
from pathlib import Path
from gancompress import process

def megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

process.configure_runtime()
before = megabytes()
blocks = [bytearray(2**18) for _ in range(800)]
del blocks
kept = megabytes() - before
process.release_memory()
print(kept, megabytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_freed_memory_is_kept_until_it_is_released() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    ended = subprocess.run(
        [sys.executable, "-c", RELEASING],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kept, left = map(float, ended.stdout.split())
    assert kept > 190
    assert left < 20


def test_nothing_stays_frozen_where_a_library_would_complain_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "triton", sys)
    gc.disable()
    try:
        with process.collecting():
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() == 0
    finally:
        gc.enable()
