"""Several processes on one study: nothing is lost, nothing is measured twice, whoever is killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from searching import LANDSCAPE, process, work

from gancompress.errors import RecipeError
from gancompress.search.storage import Storage
from gancompress.search.workers import BEAT, WORKER, Worker

pytestmark = pytest.mark.usefixtures("no_wait_for_the_disk")


@dataclass
class Outcome:
    """What the files say afterwards: by arch, how often it was begun, and ended, to be measured."""

    begun: Counter[str]
    ended: Counter[str]
    trials: list[str]


def killed(place: Path | str, folder: Path, kills: int, candidates: int, seconds: float) -> Outcome:
    """Four workers, of which one after the other is killed and replaced."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    workers = [process(place, folder, candidates, seconds) for _ in range(4)]
    begun = folder / "begun"
    for kill in range(kills):
        wanted = (kill + 1) * candidates // (kills + 2)
        while not begun.exists() or len(begun.read_text().split()) < wanted:
            assert any(one.is_alive() for one in workers), "see what they said on stderr"
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, seconds)))
        chosen = int(rng.integers(4))
        pid = workers[chosen].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        workers[chosen].join()
        if kill + 1 < kills:
            workers[chosen] = process(place, folder, candidates, seconds)
    for one in workers:
        one.join(120)
        assert one.exitcode in (0, -signal.SIGKILL)
    result = work(place, folder, candidates, 0)  # measures nothing more: reads
    assert result.scored == 0 and not result.exhausted
    assert all(one.scores["fd"] == LANDSCAPE(one.arch) for one in result.trials)
    return Outcome(
        Counter(begun.read_text().split()),
        Counter((folder / "ended").read_text().split()),
        [one.arch.key for one in result.trials],
    )


def check_nothing_is_lost(found: Outcome, kills: int, candidates: int) -> None:
    assert len(set(found.trials)) == len(found.trials) == candidates
    assert set(found.ended) == set(found.begun) == set(found.trials)
    # Begun anew is what a killed worker had begun and not recorded, at most one arch each.
    assert candidates <= found.begun.total() <= candidates + kills
    assert found.ended.total() <= found.begun.total()


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_four_workers_lose_nothing_when_one_is_killed(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "study.db" if kind == "sqlite" else f"journal:{tmp_path / 'study.log'}"
    check_nothing_is_lost(killed(place, tmp_path / "log", 1, 40, 0.02), 1, 40)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_hundred_kills_in_a_row_lose_nothing(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "study.db" if kind == "sqlite" else f"journal:{tmp_path / 'study.log'}"
    check_nothing_is_lost(killed(place, tmp_path / "log", 100, 102, 0.1), 100, 102)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("postgres:/x", "found 'postgres:/x'; postgresql://USER@HOST/DATABASE, "),
        ("redis://h/0", "found 'redis://h/0'; postgresql://"),
        ("oracle+cx_oracle://u:secret@h/d", r"oracle\+cx_oracle://u:\*\*\*@h/d needs a driver"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_without_its_password(
    place: str, expected: str
) -> None:
    with pytest.raises(RecipeError, match=f"^search.storage: {expected}"):
        Storage(place)


def test_a_server_out_of_reach_is_refused_in_one_line() -> None:
    pytest.importorskip("psycopg")
    place = "postgresql://u:secret@127.0.0.1:1/d"
    with pytest.raises(RecipeError, match="cannot be reached .*; check address") as refused:
        Storage(place)
    assert "secret" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_database_server_serves_many_workers(tmp_path: Path) -> None:
    """Against a server of your own: GANCOMPRESS_TEST_STORAGE=postgresql://USER@HOST/EMPTY."""
    place = os.environ.get("GANCOMPRESS_TEST_STORAGE")
    if not place:
        pytest.skip("GANCOMPRESS_TEST_STORAGE names no server")
    check_nothing_is_lost(killed(place, tmp_path / "log", 3, 40, 0.1), 3, 40)


def test_a_worker_of_another_machine_is_dead_after_its_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("gancompress.search.workers.time.monotonic", lambda: now)
    worker = Worker(tmp_path, silence_seconds=60)
    far = {"machine": "another one", "lock": str(tmp_path / "x.lock")}
    assert not worker.is_dead(7, {WORKER: far})
    now += 50
    assert not worker.is_dead(7, {WORKER: far, BEAT: 1})  # it has said something since
    now += 59
    assert not worker.is_dead(7, {WORKER: far, BEAT: 1})
    now += 2
    assert worker.is_dead(7, {WORKER: far, BEAT: 1})
    assert not worker.is_dead(8, {WORKER: far, BEAT: 1})


def test_a_worker_of_this_machine_is_dead_as_soon_as_its_lock_is_free(tmp_path: Path) -> None:
    with Worker(tmp_path, silence_seconds=60) as gone:
        told = {WORKER: gone.about}
        assert not gone.is_dead(1, told)
    with Worker(tmp_path, silence_seconds=60) as here:
        assert here.is_dead(1, told)
        here.sweep()
        assert [path.name for path in tmp_path.iterdir()] == [Path(here.about["lock"]).name]


def test_signs_of_life_are_given_while_an_arch_is_measured(tmp_path: Path) -> None:
    with Worker(tmp_path, silence_seconds=0.04) as worker:
        numbers: list[int] = []
        worker.beat(lambda number: numbers.append(number) or number < 3)  # type: ignore[func-returns-value]
        time.sleep(0.2)
        worker.rest()
    assert numbers == [1, 2, 3]
