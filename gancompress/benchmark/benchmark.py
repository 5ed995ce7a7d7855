"""`gancompress benchmark`: teacher and compressed generator, every format, every thread count."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gancompress.bars import progress
from gancompress.benchmark.roofline import Rates, card_work
from gancompress.benchmark.runs import is_run, subjects_of_run
from gancompress.benchmark.table import Benchmark, BenchmarkRow, as_json, table
from gancompress.benchmark.turns import FileTimes, Settings, TimedFile, rates_on, time_group
from gancompress.benchmark.worker import RUNTIMES
from gancompress.errors import CheckpointError, ExportError
from gancompress.export.formats import FORMATS, format_of
from gancompress.export.opening import files_of, locate, models_in
from gancompress.latency.places import processor
from gancompress.storage.checkpoint import remove_dead, write_json, write_text

Say = Callable[[str], None]

GROUP = 8  # files alive at once beside the one that all are compared with: some 0.5 GB each


def benchmark(
    targets: Sequence[Path],
    settings: Settings,
    say: Say = print,
    *,
    formats: Sequence[str] = (),
    threads: Sequence[int] = (),
    file: str | None = None,
) -> Benchmark:
    """Times what runs and model files hold; a run gets its `benchmark.json` and `benchmark.md`.

    targets: runs, export folders, model files; the first is what all are compared with, in a run
    its teacher in torch. formats: of a run; default: those of its recipe
    and of its export. threads: default one, and as many as the machine has. file: Python file of a
    generator that is its maker's own code.
    Raises: ExportError if a target holds no model, a format is unknown, or nothing can be timed.
    """
    counts = list(dict.fromkeys(threads)) or sorted({1, processors()})
    for name in formats:
        format_of(name)
    with TemporaryDirectory() as folder:
        left_out: list[str] = []
        subjects: list[TimedFile] = []
        for i, target in enumerate(targets):
            if is_run(target):
                place = Path(folder, str(i))
                some = subjects_of_run(
                    target, formats, settings.size, place, left_out, say, file=file
                )
                whose = f"{target}: " if len(targets) > 1 else ""
                subjects += [replace(one, name=whose + one.name) for one in some]
            else:
                subjects += [TimedFile(str(target), path, file) for path in _files(target)]
        for sentence in left_out:
            say(f"left out: {sentence}")
        found = measure(subjects, counts, settings)
    found = replace(found, left_out=(*left_out, *found.left_out))
    for root in filter(is_run, targets):
        remove_dead(root)
        try:
            write_json(root / "benchmark.json", as_json(found))
            write_text(root / "benchmark.md", table(found) + "\n")
        except CheckpointError as error:  # The table is printed all the same.
            say(f"not kept in the run: {error}")
    return found


def _files(path: Path) -> list[Path]:
    """The models in a folder, or a model file. Raises: ExportError."""
    found = models_in(path) if path.is_dir() else {}
    return list(found.values()) or [locate(path)[1]]


def measure(subjects: Sequence[TimedFile], threads: Sequence[int], settings: Settings) -> Benchmark:
    """Times all files on each number of threads. Raises: ExportError if none can be run.

    In groups, each with the first file again, so that what is compared was timed in turn.
    """
    groups = _groups(subjects)
    calls = settings.repeats * len(threads) * sum(map(len, groups))
    rows: list[BenchmarkRow] = []
    refused: list[str] = []
    with progress(total=calls, desc="timing", unit="call", leave=False) as bar:
        for count in threads:
            rates = rates_on(count)
            for number, group in enumerate(groups):
                found, sentences = time_group(group, count, settings, bar)
                rows += _rows(found, subjects[0], rates, settings.batch, again=number > 0)
                refused += sentences
    if not rows:
        raise ExportError(refused[0])
    order = {id(one): i for i, one in enumerate(subjects)}
    rows.sort(key=lambda row: (row.measured.threads, order[id(row.measured.subject)]))
    return Benchmark(tuple(rows), _machine(rows), settings, tuple(dict.fromkeys(refused)))


def _groups(subjects: Sequence[TimedFile]) -> list[list[TimedFile]]:
    """At most `GROUP` files in each, and the first one; files of equal names stay together."""
    by_name: dict[str, list[TimedFile]] = {}
    for one in subjects[1:]:
        by_name.setdefault(one.path.name, []).append(one)
    groups: list[list[TimedFile]] = [[]]
    for same in by_name.values():
        for some in (same[i : i + GROUP] for i in range(0, len(same), GROUP)):
            if len(groups[-1]) + len(some) > GROUP:
                groups.append([])
            groups[-1] += some
    return [[subjects[0], *group] for group in groups]


def _rows(
    found: Sequence[FileTimes], first: TimedFile, rates: Rates, batch: int, *, again: bool
) -> list[BenchmarkRow]:
    """The rows of one group; `again`: without the first file, which has its row already."""
    median = {id(one): float(np.median(one.times_ms)) for one in found}
    first_ms = next((median[id(one)] for one in found if one.subject is first), None)
    same_ms = {one.format: median[id(one)] for one in found if one.subject.name == first.name}
    return [
        BenchmarkRow(
            measured=one,
            file_bytes=file_bytes(one.subject.path, one.format),
            first_ms=first_ms,
            same_ms=same_ms.get(one.format),
            work=card_work(one.arch, one.card, one.size, batch),
            rates=rates,
        )
        for one in found
        if not (again and one.subject is first)
    ]


def file_bytes(path: Path, format: str) -> int:
    """Bytes of all files of a model; those that share the first one's stem share `path`'s."""
    return sum(one.stat().st_size for one in files_of(format, path) if one.is_file())


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine(rows: Sequence[BenchmarkRow]) -> str:
    """The processor, and the versions of what ran."""
    used = {package for row in rows for package in FORMATS[row.measured.format].packages}
    versions = [f"{name} {version(name)}" for name in ("torch", *sorted(used & set(RUNTIMES)))]
    return f"{processor()}, {processors()} processors, {', '.join(versions)}"
