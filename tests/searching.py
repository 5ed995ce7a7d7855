"""A search of many processes on a space that needs no network, for the tests of workers."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy
from search_landscape import Landscape, budget_of_share, small_cost, small_space

from gancompress.archs.arch import Arch
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint
from gancompress.search.run import Evaluation, SearchResult, StudyConfig, search
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.workers import Worker

SPACE = small_space(op0=("dense", "separable"), op1=("dense", "separable"))  # 500 archs
BUDGET = budget_of_share(SPACE, 0.2)
LANDSCAPE = Landscape(0, SPACE)
# Children begin in a process that has imported all this and runs nothing: some ms each.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["searching"])


def costs(arch: Arch) -> dict[str, float]:
    return {"macs": small_cost(arch)}


def score(arch: Arch) -> dict[str, float]:
    return {"fd": LANDSCAPE(arch), "l1": 1 / small_cost(arch)}


def within(budget: int = BUDGET) -> FeasibleSampler:
    return FeasibleSampler(SPACE, costs, [Constraint("macs", budget, "MACs", "search.budget_macs")])


def no_wait_for_the_disk() -> None:
    """Processes are killed here, not the machine: what they wrote need not reach the disk."""
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", _relax)


def _relax(connection: object, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF").close()


def work(place: Path | str, folder: Path, candidates: int, seconds: float) -> SearchResult:
    """What one worker does; each arch that it begins and ends to measure is a line in a file."""

    def slow(arch: Arch) -> Mapping[str, float]:
        _note(folder / "begun", arch)
        time.sleep(seconds)
        _note(folder / "ended", arch)
        return score(arch)

    sampler = make_sampler("evolution", within(), population=4, mutation=0.3)
    config = StudyConfig(
        "main", sampler, candidates, Evaluation(slow, "fd", "min", "weights", "images")
    )
    with Storage(place) as storage, Worker(folder / "workers", silence_seconds=60) as worker:
        return search(Studies(storage, worker), SPACE, costs, config, seed=0, progress=False)


def _note(path: Path, arch: Arch) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{arch.key}\n".encode())
    os.close(handle)


def process(place: Path | str, folder: Path, candidates: int, seconds: float):  # type: ignore[no-untyped-def]
    """A started worker of its own process."""
    started = PROCESSES.Process(target=_in_process, args=(place, folder, candidates, seconds))
    started.start()
    return started


def _in_process(place: Path | str, folder: Path, candidates: int, seconds: float) -> None:
    no_wait_for_the_disk()
    work(place, folder, candidates, seconds)
