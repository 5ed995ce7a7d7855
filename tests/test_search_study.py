import itertools
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy
from search_landscape import small_space

from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError, MetricError, RunError
from gancompress.search.record import Claim, Progress, StudyIdentity
from gancompress.search.results import Measured
from gancompress.search.storage import Storage
from gancompress.search.study import Studies, Study
from gancompress.search.workers import Worker

SPACE = small_space(op=("dense", "separable"))
KEPT = StudyIdentity((("fd", "min"),), "weights", "images", {"seed": 0})
COSTS = {"macs": 1_234_567_890_123, "latency_ms": 0.1}
MANY = 1000

pytestmark = pytest.mark.usefixtures("no_wait_for_the_disk")


@contextmanager
def opened(path: Path) -> Iterator[Studies]:
    """The studies in a file, for a worker of their own."""
    with Storage(path) as storage, Worker(path.with_suffix(".workers"), 60) as worker:
        yield Studies(storage, worker)


def claim(study: Study, arch: Arch) -> Claim:
    claimed = study.claim(arch, COSTS, MANY)
    assert claimed is not None
    return claimed


def add(study: Study, arch: Arch, **scores: float) -> Measured:
    measured = study.record(claim(study, arch), scores)
    assert measured is not None
    return measured


def test_figures_come_back_to_the_last_bit_and_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(5)]
    with opened(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, KEPT)
        added = [add(study, a, l1=float(rng.random()), fd=float(rng.normal())) for a in archs]
    with opened(tmp_path / "study.db") as file:
        found = file.study("main", SPACE, KEPT).look().done
    assert list(found) == added
    assert [one.arch for one in found] == archs


def test_plain_optuna_sees_slots_as_parameters_and_figures_as_attributes(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    arch = SPACE.sample(np.random.default_rng(0))
    kept = replace(KEPT, objectives=(("fd", "max"), ("macs", "min")))
    with opened(path) as file:
        add(file.study("main", SPACE, kept), arch, fd=2.5, l1=0.25)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.load_study(study_name="main", storage=storage)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    (trial,) = study.best_trials
    assert trial.params == arch.values
    assert trial.values == [2.5, 1_234_567_890_123]
    assert trial.user_attrs["score l1"] == 0.25
    assert trial.user_attrs["cost latency_ms"] == 0.1
    assert Arch.from_json(trial.user_attrs["arch"]) == arch
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("folder", ["a?b", "50%20 #1", "ümläut"])
def test_any_folder_name_will_do(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "study.db"
    with opened(path) as file:
        add(file.study("main", SPACE, KEPT), SPACE.smallest, fd=1.0)
    assert path.is_file()
    with opened(path) as file:
        assert len(file.study("main", SPACE, KEPT).look().done) == 1


def test_optuna_says_nothing(tmp_path: Path) -> None:
    # its own handler keeps the stderr of the moment when it was imported: listen to the logger
    said: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = said.append  # type: ignore[method-assign]
    logger = logging.getLogger("optuna")
    before = optuna.logging.get_verbosity()
    logger.addHandler(listener)
    try:
        with opened(tmp_path / "study.db") as file:
            add(file.study("main", SPACE, KEPT), SPACE.smallest, fd=1.0)
            file.study("main", SPACE, KEPT)
    finally:
        logger.removeHandler(listener)
    assert said == []
    assert optuna.logging.get_verbosity() == before


def test_what_a_gone_worker_claimed_is_found_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with opened(path) as file:
        study = file.study("main", SPACE, KEPT)
        done = add(study, SPACE.smallest, fd=1.0)
        claim(study, SPACE.largest)
        assert study.look() == Progress((done,), (SPACE.largest,), ())
    with opened(path) as file:
        study = file.study("main", SPACE, KEPT)
        assert study.look() == Progress((done,), (), (SPACE.largest,))
        again = add(study, SPACE.largest, fd=2.0)
        assert study.look() == Progress((done, again), (), ())
    with closing(sqlite3.connect(path)) as connection:
        states = [row[0] for row in connection.execute("SELECT state FROM trials ORDER BY number")]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_claim_that_is_given_back_is_free_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, KEPT)
        study.give_back(claim(study, SPACE.smallest))
        assert study.look() == Progress((), (), (SPACE.smallest,))


def test_the_second_to_claim_an_arch_withdraws(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, KEPT)
        other = file.study("main", SPACE, KEPT)
        first = claim(study, SPACE.smallest)
        assert other.claim(SPACE.smallest, COSTS, MANY) is None
        done = study.record(first, {"fd": 1.0})
        assert other.claim(SPACE.smallest, COSTS, MANY) is None
        assert other.claim(SPACE.largest, COSTS, 1) is None  # one is all that was asked for
        assert study.look() == Progress((done,), (), ())  # type: ignore[arg-type]


def test_who_was_taken_for_dead_loses_its_claim(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, KEPT)
        claimed = claim(study, SPACE.smallest)
        study.give_back(claimed)
        assert study.record(claimed, {"fd": 1.0}) is None
        assert study.look().done == ()


def test_trials_of_another_program_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with opened(path) as file:
        study = file.study("main", SPACE, KEPT)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        queue = optuna.load_study(study_name="main", storage=storage)
        queue.enqueue_trial({"w0": 64})
        queue.ask()
        queue.enqueue_trial({"w0": 64})
        done = add(study, SPACE.smallest, fd=1.0)
        assert study.look() == Progress((done,), (), ())
        storage.remove_session()
        storage.engine.dispose()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"settings": {"seed": 1}}, "'main' was made with seed 0, not 1; search in another run"),
        ({"supernet": "b"}, r"made with another supernet \(its weights differ\); "),
        ({"images": "b"}, "made with other images or other features; "),
        ({"settings": {"seed": 0, "more": 3}}, "made with more None, not 3"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, changed: dict[str, Any], expected: str) -> None:
    with opened(tmp_path / "study.db") as file:
        done = add(file.study("main", SPACE, KEPT), SPACE.smallest, fd=1.0)
        with pytest.raises(RunError, match=expected):
            file.study("main", SPACE, replace(KEPT, **changed))
        with pytest.raises(RunError, match="made with another search space"):
            file.study("main", small_space(), KEPT)
        assert file.study("main", SPACE, KEPT).look().done == (done,)


def test_known_gathers_all_studies_of_one_context(tmp_path: Path) -> None:
    with opened(tmp_path / "study.db") as file:
        one = add(file.study("one", SPACE, KEPT), SPACE.smallest, fd=1.0)
        other = replace(KEPT, settings={"seed": 3})
        two = add(file.study("two", SPACE, other), SPACE.largest, fd=2.0)
        add(file.study("three", SPACE, replace(KEPT, images="b")), SPACE.largest, fd=9.0)
        assert file.known("weights", "images") == {
            one.arch.key: one.scores, two.arch.key: two.scores,
        }  # fmt: skip
        assert file.known("weights", "c") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    with opened(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, KEPT)
        claimed = claim(study, SPACE.smallest)
        with pytest.raises(MetricError, match=f"search: l1 of toy:w0=16.* is {value}; check"):
            study.record(claimed, {"fd": 1.0, "l1": value})
        with pytest.raises(MetricError, match="search: the score has no 'fd'; it has kid, l1"):
            study.record(claimed, {"l1": 1.0, "kid": 1.0})
        assert study.look().done == ()


def damage(path: Path, how: str) -> None:
    if how == "folder":
        path.mkdir()
        return
    with opened(path) as file:
        add(file.study("main", SPACE, KEPT), SPACE.smallest, fd=1.0)
    whole = path.read_bytes()
    text = {"text": b"not a database" * 99, "truncated": whole[: len(whole) // 2]}
    path.write_bytes(text.get(how, whole[:20_000] + bytes(4096) + whole[24_096:]))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("text", "file is not a database"),
        ("truncated", "database disk image is malformed"),
        ("overwritten", "the file is damaged"),
        ("folder", "unable to open database file"),
    ],
)
def test_damaged_file_is_refused_by_name(tmp_path: Path, how: str, expected: str) -> None:
    path = tmp_path / "study.db"
    damage(path, how)
    expected = f"study.db: .*{expected}.*; move the file away"
    with pytest.raises(CheckpointError, match=expected), opened(path):
        pass


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE studies (name TEXT)")
    with (
        pytest.raises(CheckpointError, match="study.db: no such column: studies"),
        opened(path) as file,
    ):
        file.study("main", SPACE, KEPT)


def test_full_disk_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.storages._rdb.storage.time.sleep", lambda _: None)
    path = tmp_path / "study.db"
    with opened(path) as file:
        study = file.study("main", SPACE, KEPT)
        done = add(study, SPACE.smallest, fd=1.0)
        pages = path.stat().st_size // 4096

        def fill(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}").close()

        assert file._storage._rdb is not None
        sqlalchemy.event.listen(file._storage._rdb.engine, "checkout", fill)
        with pytest.raises(CheckpointError, match="study.db: database or disk is full; free"):
            for arch in itertools.islice(SPACE.all(), 1, None):
                add(study, arch, fd=1.0)
    with opened(path) as file:
        assert file.study("main", SPACE, KEPT).look().done[0] == done
