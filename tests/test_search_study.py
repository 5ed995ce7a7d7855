import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
import sqlalchemy
from search_landscape import small_space

from gancompress.arch import Arch
from gancompress.errors import CheckpointError, MetricError, RunError
from gancompress.search.study import Measured, Setting, Study, StudyFile

SPACE = small_space(op=("dense", "separable"))
SETTINGS: dict[str, Setting] = {"objective": "fd", "better": "min", "context": "a", "seed": 0}


def add(study: Study, arch: Arch, **scores: float) -> Measured:
    return study.record(study.claim(arch, 1_234_567_890_123), scores)


def test_figures_come_back_to_the_last_bit_and_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    archs = [SPACE.sample(rng) for _ in range(5)]
    with StudyFile(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, SETTINGS)
        added = [add(study, a, l1=float(rng.random()), fd=float(rng.normal())) for a in archs]
    with StudyFile(tmp_path / "study.db") as file:
        found = file.study("main", SPACE, SETTINGS).measured()
        assert file.names() == ["main"]
    assert found == added
    assert [one.arch for one in found] == archs


def test_plain_optuna_sees_slots_as_parameters_and_figures_as_attributes(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    arch = SPACE.sample(np.random.default_rng(0))
    with StudyFile(path) as file:
        add(file.study("main", SPACE, {**SETTINGS, "better": "max"}), arch, fd=2.5, l1=0.25)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    study = optuna.load_study(study_name="main", storage=storage)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.best_params == arch.values
    assert study.best_value == 2.5
    assert study.best_trial.user_attrs["score l1"] == 0.25
    assert study.best_trial.user_attrs["macs"] == 1_234_567_890_123
    assert Arch.from_json(study.best_trial.user_attrs["arch"]) == arch
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("folder", ["a?b", "50%20 #1", "ümläut"])
def test_any_folder_name_will_do(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "study.db"
    with StudyFile(path) as file:
        add(file.study("main", SPACE, SETTINGS), SPACE.smallest, fd=1.0)
    assert path.is_file()
    with StudyFile(path) as file:
        assert len(file.study("main", SPACE, SETTINGS).measured()) == 1


def test_optuna_says_nothing(tmp_path: Path) -> None:
    # its own handler keeps the stderr of the moment when it was imported: listen to the logger
    said: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = said.append  # type: ignore[method-assign]
    logger = logging.getLogger("optuna")
    before = optuna.logging.get_verbosity()
    logger.addHandler(listener)
    try:
        with StudyFile(tmp_path / "study.db") as file:
            add(file.study("main", SPACE, SETTINGS), SPACE.smallest, fd=1.0)
            file.study("main", SPACE, SETTINGS)
    finally:
        logger.removeHandler(listener)
    assert said == []
    assert optuna.logging.get_verbosity() == before


def test_unfinished_trials_are_given_up(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with StudyFile(path) as file:
        study = file.study("main", SPACE, SETTINGS)
        done = add(study, SPACE.smallest, fd=1.0)
        study.claim(SPACE.largest, 7)
    with StudyFile(path) as file:
        study = file.study("main", SPACE, SETTINGS)
        assert study.measured() == [done]
        again = add(study, SPACE.largest, fd=2.0)
        assert study.measured() == [done, again]
    with closing(sqlite3.connect(path)) as connection:
        states = [row[0] for row in connection.execute("SELECT state FROM trials ORDER BY number")]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]


def test_trials_queued_by_another_program_are_given_up_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with StudyFile(path) as file:
        study = file.study("main", SPACE, SETTINGS)
        queue = optuna.load_study(study_name="main", storage=file._storage)
        queue.enqueue_trial({"w0": 64})
        with pytest.raises(RunError, match="trial 0 was taken over by another process"):
            study.claim(SPACE.smallest, 7)
        queue.enqueue_trial({"w0": 64})
        study = file.study("main", SPACE, SETTINGS)
        done = add(study, SPACE.smallest, fd=1.0)
        assert study.measured() == [done]


def test_second_process_makes_the_first_one_stop(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with StudyFile(path) as file, StudyFile(path) as second:
        study = file.study("main", SPACE, SETTINGS)
        claim = study.claim(SPACE.smallest, 7)
        taken = second.study("main", SPACE, SETTINGS)  # gives up what the first is measuring
        with pytest.raises(RunError, match="study.db: trial 0 was taken over by another process"):
            study.record(claim, {"fd": 1.0})
        assert taken.measured() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"seed": 1}, "study 'main' was made with seed 0, not 1; search in another run folder"),
        ({"context": "b"}, "made with another supernet, other images or other features; "),
        ({"more": 3}, "made with more None, not 3"),
    ],
)
def test_other_settings_are_refused(
    tmp_path: Path, changed: dict[str, Setting], expected: str
) -> None:
    with StudyFile(tmp_path / "study.db") as file:
        done = add(file.study("main", SPACE, SETTINGS), SPACE.smallest, fd=1.0)
        with pytest.raises(RunError, match=expected):
            file.study("main", SPACE, {**SETTINGS, **changed})
        with pytest.raises(RunError, match="made with another search space"):
            file.study("main", small_space(), SETTINGS)
        assert file.study("main", SPACE, SETTINGS).measured() == [done]


def test_known_gathers_all_studies_of_one_context(tmp_path: Path) -> None:
    with StudyFile(tmp_path / "study.db") as file:
        one = add(file.study("one", SPACE, SETTINGS), SPACE.smallest, fd=1.0)
        two = add(file.study("two", SPACE, {**SETTINGS, "seed": 3}), SPACE.largest, fd=2.0)
        add(file.study("three", SPACE, {**SETTINGS, "context": "b"}), SPACE.largest, fd=9.0)
        assert file.known("a") == {one.arch.key: one, two.arch.key: two}
        assert file.known("c") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_figures_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    with StudyFile(tmp_path / "study.db") as file:
        study = file.study("main", SPACE, SETTINGS)
        with pytest.raises(MetricError, match=f"search: l1 of toy:w0=16.* is {value}; check"):
            add(study, SPACE.smallest, fd=1.0, l1=value)
        with pytest.raises(MetricError, match="search: the score has no 'fd'; it has l1, kid"):
            add(study, SPACE.smallest, l1=1.0, kid=1.0)
        assert study.measured() == []


def damage(path: Path, how: str) -> None:
    if how == "folder":
        path.mkdir()
        return
    with StudyFile(path) as file:
        add(file.study("main", SPACE, SETTINGS), SPACE.smallest, fd=1.0)
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
    with pytest.raises(CheckpointError, match=f"study.db: .*{expected}.*; move the file away"):
        StudyFile(path)


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE studies (name TEXT)")
    with (
        StudyFile(path) as file,
        pytest.raises(CheckpointError, match="study.db: table studies has"),
    ):
        file.study("main", SPACE, SETTINGS)


def test_full_disk_is_reported_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.storages._rdb.storage.time.sleep", lambda _: None)
    path = tmp_path / "study.db"
    with StudyFile(path) as file:
        study = file.study("main", SPACE, SETTINGS)
        done = add(study, SPACE.smallest, fd=1.0)
        pages = path.stat().st_size // 4096

        def fill(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}").close()

        sqlalchemy.event.listen(file._storage.engine, "checkout", fill)
        with pytest.raises(CheckpointError, match="study.db: database or disk is full; free"):
            for _ in range(100):
                add(study, SPACE.largest, fd=1.0)
    with StudyFile(path) as file:
        assert file.study("main", SPACE, SETTINGS).measured()[0] == done
