"""Processes that search together: which of them are alive."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gancompress.storage.filelock import FileLock, is_held_elsewhere

BEATS_PER_SILENCE = 4  # so that one that is late does not make a worker dead
BEAT = "beat"  # user attributes of a trial
WORKER = "worker"


def _machine() -> str:
    """This machine since it was switched on, and the container in it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    with suppress(OSError):
        return f"{socket.gethostname()} {boot.read_text().strip()}"
    return f"{socket.gethostname()} {uuid.getnode()}"


class Worker:
    """This process: a context manager, within which others find it alive.

    On one machine a lock tells at once: the system takes it back from a killed process. Between
    machines each worker changes a number in the record of what it measures every now and then;
    one whose number stays the same for `silence_seconds` on the clock of who looks is dead.

    folder: where the lock files of this machine's workers are.
    """

    def __init__(self, folder: Path, silence_seconds: float) -> None:
        self._machine = _machine()
        self._lock = FileLock(folder.resolve() / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.lock")
        self._silence = silence_seconds
        self._heard: dict[int, tuple[object, float]] = {}  # trial: its number, since when
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Worker:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()
        self._lock.release()  # the file stays: that nobody holds it says that this worker is gone

    def sweep(self) -> None:
        """Deletes the lock files of workers of this machine that are gone."""
        for path in self._lock.path.parent.glob("*.lock"):
            if path != self._lock.path and is_held_elsewhere(path) is False:
                path.unlink(missing_ok=True)

    @property
    def about(self) -> dict[str, str]:
        """What others need to find out whether this process lives."""
        return {"machine": self._machine, "lock": str(self._lock.path)}

    def is_dead(self, trial: int, attributes: Mapping[str, Any]) -> bool:
        """Whether the worker that measures that trial, with those user attributes, is dead."""
        told = attributes.get(WORKER) or {}
        path = Path(told.get("lock", ""))
        if path == self._lock.path:
            return False
        if told.get("machine") == self._machine:
            is_held = is_held_elsewhere(path)
            if is_held is not None:
                return not is_held
        beat, now = attributes.get(BEAT), time.monotonic()
        if self._heard.get(trial, (None, 0.0))[0] != (beat,):
            self._heard[trial] = ((beat,), now)
        return now - self._heard[trial][1] > self._silence

    def beat(self, tell: Callable[[int], bool]) -> None:
        """Calls `tell` with 1, 2, … from time to time until `rest`, or until it answers False."""
        self._stop = stop = threading.Event()

        def beats() -> None:
            number = 1
            while not stop.wait(self._silence / BEATS_PER_SILENCE) and tell(number):
                number += 1

        self._thread = threading.Thread(target=beats, daemon=True, name="search heartbeat")
        self._thread.start()

    def rest(self) -> None:
        """Ends `beat`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
