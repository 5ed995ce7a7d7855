"""A record of a search that was changed on the disk: noticed, set aside, measured again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from search_landscape import Landscape, small_cost, small_space

from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError, GanCompressError
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint
from gancompress.search.results import Measured
from gancompress.search.run import Evaluation, SearchResult, StudyConfig, search
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.workers import Worker

SPACE = small_space(op=("dense", "separable"))
LANDSCAPE = Landscape(0, SPACE)
CANDIDATES = 6
LIMIT = Constraint("macs", 10**12, "MACs", "search.budget_macs")
JUDGING = Evaluation(
    lambda arch: {"fd": LANDSCAPE(arch), "l1": 0.5}, "fd", "min", "weights", "images"
)

pytestmark = pytest.mark.usefixtures("no_wait_for_the_disk")


def costs(arch: Arch) -> dict[str, float]:
    return {"macs": small_cost(arch)}


@contextmanager
def opened(path: Path, said: list[str]) -> Iterator[Studies]:
    with Storage(path) as storage, Worker(path.with_suffix(".workers"), 60) as worker:
        yield Studies(storage, worker, say=said.append)


def searched(path: Path, said: list[str], candidates: int = CANDIDATES) -> SearchResult:
    feasible = FeasibleSampler(SPACE, costs, [LIMIT])
    sampler = make_sampler("evolution", feasible, population=3, mutation=0.3)
    config = StudyConfig("main", sampler, candidates, JUDGING)
    with opened(path, said) as studies:
        return search(studies, SPACE, costs, config, seed=0, progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """What the search finds that nothing disturbs."""
    return searched(tmp_path_factory.mktemp("whole") / "study.db", [])


def changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


def value_of(trial: int, key: str) -> str:
    """Where one value of a trial is."""
    place = f"(SELECT trial_id FROM trials ORDER BY number LIMIT 1 OFFSET {trial})"
    return f"WHERE key = '{key}' AND trial_id = {place}"


ATTRIBUTE = "UPDATE trial_user_attributes SET"


@pytest.mark.parametrize(
    "change",
    [
        f"{ATTRIBUTE} value_json = '-9.5' {value_of(2, 'score fd')}",  # it would win
        f"{ATTRIBUTE} value_json = 'nonsense' {value_of(2, 'score fd')}",
        f"{ATTRIBUTE} value_json = CAST(x'22ff22' AS TEXT) {value_of(2, 'score l1')}",
        f"{ATTRIBUTE} key = 'score fe' {value_of(2, 'score fd')}",
        f"{ATTRIBUTE} value_json = '\"0\"' {value_of(2, 'digest')}",
        f"{ATTRIBUTE} value_json = replace(value_json, '16', '24') {value_of(2, 'arch')}",
        f"{ATTRIBUTE} value_json = '1' {value_of(2, 'arch')}",
        f"{ATTRIBUTE} key = 'brch' {value_of(2, 'arch')}",
        f"{ATTRIBUTE} key = 'cost mbcs' {value_of(2, 'cost macs')}",
    ],
)
def test_a_changed_trial_is_measured_again_in_its_place(
    whole: SearchResult, tmp_path: Path, change: str
) -> None:
    begun = 4
    path, said = tmp_path / "study.db", list[str]()
    searched(path, said, begun)
    assert said == []
    changed(path, change)
    found = searched(path, said)
    assert found.trials == whole.trials
    assert found.scored == CANDIDATES - begun + 1
    (sentence,) = said
    assert sentence.startswith(f"{path}: trial 2 was changed on disk; it is set aside, and its")
    assert searched(path, said).trials == whole.trials and len(said) == 1


def test_a_changed_trial_of_a_finished_search_is_measured_again(
    whole: SearchResult, tmp_path: Path
) -> None:
    path = tmp_path / "study.db"
    searched(path, [])
    changed(path, f"{ATTRIBUTE} value_json = '-9.5' {value_of(2, 'score fd')}")
    assert searched(path, []) == SearchResult(whole.trials, False, 1, 0)


def test_figures_of_a_changed_trial_are_not_used_by_other_searches(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    first = searched(path, [])
    changed(path, f"{ATTRIBUTE} value_json = '-9.5' {value_of(0, 'score fd')}")
    with opened(path, []) as studies:
        known = studies.known("weights", "images")
    assert known == {one.arch.key: one.scores for one in first.trials[1:]}


def test_a_record_without_hashes_is_taken_as_it_is(tmp_path: Path) -> None:
    """Versions before wrote none."""
    path = tmp_path / "study.db"
    whole = searched(path, [])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM trial_user_attributes WHERE key LIKE 'digest%'")
    said: list[str] = []
    assert searched(path, said) == SearchResult(whole.trials, False, 0, 0)
    assert said == []


def test_an_index_that_does_not_fit_is_made_anew(whole: SearchResult, tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    searched(path, [])
    content = path.read_bytes()
    for place in (content.find(b"score l1", at) for at in range(0, len(content), 4096)):
        if place < 0:
            continue
        path.write_bytes(content[:place] + b"scope" + content[place + 5 :])
        said: list[str] = []
        found = searched(path, said)
        assert found.trials == whole.trials and (said == []) == (found.scored == 0)


def test_a_state_that_nobody_knows_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    searched(path, [])
    changed(path, "UPDATE trials SET state = 'CNMPLETE' WHERE number = 3")
    with pytest.raises(CheckpointError, match="study.db: .*CNMPLETE.*; free .* otherwise move the"):
        searched(path, [])


def test_flipped_bits_change_no_search(tmp_path: Path) -> None:
    """Bits of the pages that hold something; scripts/fuzz_bits.py has figures of a whole run."""
    path = tmp_path / "study.db"
    before = searched(path, [])
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    places = np.flatnonzero(np.frombuffer(whole, np.uint8))
    outcomes: set[str] = set()
    for place in rng.choice(places, 15, replace=False).tolist():
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            found: tuple[Measured, ...] = searched(path, []).trials
        except GanCompressError:
            outcomes.add("noticed")
        else:
            assert found == before.trials
            outcomes.add("the same")
    assert outcomes == {"noticed", "the same"}
