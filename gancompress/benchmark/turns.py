"""Model files timed in turns, each in a process of its own, all of a group alive at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from gancompress.archs.arch import Arch
from gancompress.benchmark.roofline import Rates
from gancompress.benchmark.worker import THREADS
from gancompress.errors import ExportError
from gancompress.export.card import Card, read_manifest
from gancompress.turns import in_turns

BURST = 3  # timed calls of a turn, behind one that is not counted
PAUSE_S = 0.05  # before a turn, until the threads of the one before no longer spin


@dataclass(frozen=True)
class TimedFile:
    """A file to time: whose it is, for the table; its place; a maker's own code, if it needs it."""

    name: str
    path: Path
    file: str | None = None


@dataclass(frozen=True)
class Settings:
    """How calls are made. size: (height, width), or None for each file's own."""

    batch: int
    repeats: int
    warmup: int
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class FileTimes:
    """One file on so many threads.

    times_ms: of every timed call. imported_bytes: what the process held before it read the file;
    peak_bytes: the most at any time.
    """

    subject: TimedFile
    format: str
    threads: int
    arch: Arch
    card: Card
    size: tuple[int, int]
    times_ms: tuple[float, ...]
    imported_bytes: int
    peak_bytes: int


class ModelProcess:
    """The caller's side of `worker`; `errors` is the file that it complains to. Close it."""

    def __init__(self, job: Mapping[str, Any], errors: IO[str]) -> None:
        self._where = job["path"] or "roofline"
        self._errors = errors
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gancompress.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=os.environ | dict.fromkeys(THREADS, str(job["threads"])),
        )
        self.ask(job)

    def ask(self, what: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it has ended; `answer` says why
            return

    def answer(self) -> dict[str, Any]:
        """Raises: ExportError with what the worker refused, or how it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ExportError(f"{self._where}: cannot be run here ({self._end()})")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise ExportError(told["error"])
        return told

    def _end(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"killed by signal {-code}" if code < 0 else last or f"exit code {code}"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def working(job: Mapping[str, Any]) -> Iterator[ModelProcess]:
    # A file, as a pipe that nobody reads would fill up and stop it.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        worker = ModelProcess(job, errors)
        try:
            yield worker
        finally:
            worker.close()


def rates_on(threads: int) -> Rates:
    """This machine's rates on so many threads. Raises: ExportError."""
    with working({"path": None, "threads": threads}) as worker:
        return Rates(**worker.answer())


def time_group(
    subjects: Sequence[TimedFile], threads: int, settings: Settings, bar: tqdm[Any]
) -> tuple[list[FileTimes], list[str]]:
    """Times files by a few calls each, see `in_turns`; `bar` moves by one for every such call.

    Returns those that could be run, and a sentence for every other one.
    """
    times: dict[int, list[float]] = {}
    told: dict[int, dict[str, Any]] = {}
    refused: list[str] = []
    with ExitStack() as stack:
        workers = {  # all begin to load at once; nothing is timed before the last is ready
            i: stack.enter_context(working(_job(one, threads, settings)))
            for i, one in enumerate(subjects)
        }
        for i, worker in list(workers.items()):
            try:
                told[i], times[i] = worker.answer(), []
            except ExportError as error:
                refused.append(str(error))
                del workers[i]
                bar.update(settings.repeats)
        bursts = _bursts(settings.repeats)
        timed = {i: partial(_burst_ms, worker, iter(bursts), bar) for i, worker in workers.items()}
        for found in in_turns(timed, len(bursts)):
            for i, ms in found.items():
                times[i] += ms
        for i, worker in workers.items():
            worker.ask(0)
            told[i] |= worker.answer()
    return [_measured(subjects[i], threads, told[i], times[i]) for i in sorted(times)], refused


def _job(subject: TimedFile, threads: int, settings: Settings) -> dict[str, Any]:
    return {
        "path": str(subject.path),
        "file": subject.file,
        "threads": threads,
        "size": settings.size,
        "batch": settings.batch,
        "warmup": settings.warmup,
    }


def _bursts(repeats: int) -> list[int]:
    """Calls of each round: `BURST`, and what is left over last."""
    return [min(BURST, repeats - done) for done in range(0, repeats, BURST)]


def _burst_ms(worker: ModelProcess, bursts: Iterator[int], bar: tqdm[Any]) -> list[float]:
    """The times of the next few calls."""
    time.sleep(PAUSE_S)
    calls = next(bursts)
    worker.ask(calls)
    found: list[float] = worker.answer()["times_ms"]
    bar.update(calls)
    return found


def _measured(
    subject: TimedFile, threads: int, told: Mapping[str, Any], times: Sequence[float]
) -> FileTimes:
    arch, card = read_manifest(told["manifest"], told["path"])
    height, width = told["size"]
    return FileTimes(
        subject=subject,
        format=told["format"],
        threads=threads,
        arch=arch,
        card=card,
        size=(height, width),
        times_ms=tuple(times),
        imported_bytes=told["imported_bytes"],
        peak_bytes=told["peak_bytes"],
    )
