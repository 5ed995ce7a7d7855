import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy
from search_landscape import budget_of_share, small_cost
from searching import BUDGET, LANDSCAPE, SPACE, costs, score, within

from gancompress.archs.arch import Arch
from gancompress.errors import RunError
from gancompress.search.front import best_of, front
from gancompress.search.results import Measured
from gancompress.search.run import SEARCH_STREAM, Evaluation, SearchResult, StudyConfig, search
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.workers import Worker

Scored = Callable[[Arch], dict[str, float]]
Files = Callable[[str], Path]


pytestmark = pytest.mark.usefixtures("no_wait_for_the_disk")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file without studies: a copy of it saves Optuna's creating the tables."""
    path = tmp_path_factory.mktemp("empty") / "study.db"
    with Storage(path):
        return path


@pytest.fixture
def db(tmp_path: Path, empty: Path) -> Files:
    """The study file of that name in the test's folder, without studies at first."""

    def file(name: str) -> Path:
        path = tmp_path / f"{name}.db"
        if not path.exists():
            shutil.copy(empty, path)
        return path

    return file


def go(
    path: Path,
    scorer: Scored = score,
    *,
    name: str = "main",
    algorithm: str = "evolution",
    candidates: int = 10,
    budget: int = BUDGET,
    seed: int = 0,
    supernet: str = "weights",
    better: str = "min",
    progress: bool = False,
) -> SearchResult:
    sampler = make_sampler(algorithm, within(budget), population=4, mutation=0.3)
    evaluation = Evaluation(scorer, "fd", better, supernet, "images")
    weighed = "macs" if algorithm == "pareto" else None
    settings = {"seed": seed, "algorithm": algorithm, "budget": budget}
    config = StudyConfig(name, sampler, candidates, evaluation, weighed, settings)
    with Storage(path) as storage, Worker(path.with_suffix(".workers"), 60) as worker:
        studies = Studies(storage, worker)
        return search(studies, SPACE, costs, config, seed=seed, progress=progress)


def best(result: SearchResult, better: str = "min") -> Measured:
    return best_of(result.trials, "fd", better)


def front_of(result: SearchResult) -> str:
    return str(front(result.trials, "fd", "min"))


def keys(result: SearchResult) -> list[str]:
    return [one.arch.key for one in result.trials]


ALGORITHMS = ["random", "evolution", "pareto"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_trial_fits_is_new_and_the_best_is_the_best(db: Files, algorithm: str) -> None:
    result = go(db("study"), algorithm=algorithm)
    assert len(set(keys(result))) == len(result.trials) == result.scored == 10
    assert all(one.costs["macs"] == small_cost(one.arch) <= BUDGET for one in result.trials)
    assert all(one.scores == score(one.arch) for one in result.trials)
    assert (result.exhausted, result.reused) == (False, 0)


def test_seed_and_algorithm_decide_the_sequence(db: Files) -> None:
    first = go(db("1"))
    assert go(db("2")).trials == first.trials
    assert keys(go(db("3"), seed=1)) != keys(first)
    drawn = keys(go(db("4"), algorithm="random"))
    assert drawn != keys(first) and drawn[:4] == keys(first)[:4]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sequence_is_that_of_the_sampler_alone(db: Files, algorithm: str) -> None:
    sampler = make_sampler(algorithm, within(), population=4, mutation=0.3)
    history: list[tuple[Arch, tuple[float, ...]]] = []
    for number in range(10):
        arch = sampler.propose(np.random.default_rng([7, SEARCH_STREAM, number]), history)
        assert arch is not None
        cost = (small_cost(arch),) if algorithm == "pareto" else ()
        history.append((arch, (LANDSCAPE(arch), *cost)))
    result = go(db("study"), algorithm=algorithm, seed=7)
    assert keys(result) == [arch.key for arch, _ in history]


def test_finished_search_is_read_back_and_goes_on_with_more_candidates(db: Files) -> None:
    whole = go(db("whole"))
    few = go(db("study"), candidates=5)
    more = go(db("study"))
    assert (few.scored, more.scored) == (5, 5)
    assert more.trials == whole.trials and few.trials == whole.trials[:5]
    again = go(db("study"))
    assert again.scored == 0 and again.trials == whole.trials
    assert go(db("study"), candidates=5).trials == few.trials


def killing_score(at: int) -> Scored:
    count = 0

    def scorer(arch: Arch) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(arch)

    return scorer


def test_search_killed_in_the_middle_of_trials_ends_as_if_it_never_was(db: Files) -> None:
    whole = go(db("whole"))
    path = db("study")
    measured = 0
    for at in (3, 1, 5):  # the third; the same one again; the seventh, an evolved child
        command = [sys.executable, __file__, str(path), str(at)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == -signal.SIGKILL, done.stderr
        measured += at - 1
    resumed = go(path)
    assert resumed.scored == len(whole.trials) - measured
    assert resumed.trials == whole.trials
    assert front_of(resumed).encode() == front_of(whole).encode()


class Stop(BaseException):
    """Stands for a kill: nothing catches it, and the open transaction is lost."""


@pytest.fixture
def stop_at_commit() -> Iterator[Callable[[int], None]]:
    """Sets after how many more commits to any database `Stop` is raised in place of one."""
    remaining = 0

    def count_down(_: sqlalchemy.Connection) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            raise Stop

    def stop_after(commits: int) -> None:
        nonlocal remaining
        remaining = commits

    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", count_down)
    yield stop_after
    sqlalchemy.event.remove(sqlalchemy.Engine, "commit", count_down)


@pytest.mark.parametrize(("begun", "stops"), [(0, range(1, 12, 5)), (1, range(1, 99, 2))])
def test_search_stopped_at_any_commit_ends_as_if_it_never_was(
    tmp_path: Path, db: Files, stop_at_commit: Callable[[int], None], begun: int, stops: range
) -> None:
    whole = go(db("whole"), candidates=2)
    if begun:
        go(db("begun"), candidates=begun)
    stopped = 0
    for commits in stops:
        path = tmp_path / f"{commits}.db"
        if begun:
            shutil.copy(db("begun"), path)
        stop_at_commit(commits)
        try:
            go(path, candidates=2)
            break
        except Stop:
            stopped += 1
        gc.collect()  # closes the connection: a killed process holds no lock
        resumed = go(path, candidates=2)
        assert resumed.trials == whole.trials, f"stopped at commit {commits}"
        assert front_of(resumed) == front_of(whole)
    assert stopped >= (6 if begun else 3)


def test_failing_score_leaves_what_was_measured(db: Files) -> None:
    calls: list[Arch] = []

    def failing(arch: Arch) -> dict[str, float]:
        calls.append(arch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score(arch)

    with pytest.raises(KeyboardInterrupt):
        go(db("study"), failing)
    resumed = go(db("study"))
    assert resumed.scored == 7
    assert resumed.trials == go(db("whole")).trials


def test_small_space_is_measured_whole(db: Files) -> None:
    budget = budget_of_share(SPACE, 0.05)
    result = go(db("study"), budget=budget, candidates=100)
    fitting = {a for a in SPACE.all() if small_cost(a) <= budget}
    assert result.exhausted and len(fitting) == len(result.trials)
    assert {one.arch for one in result.trials} == fitting
    assert best(result).scores["fd"] == min(LANDSCAPE(a) for a in fitting)
    again = go(db("study"), budget=budget, candidates=100)
    assert again.trials == result.trials and again.exhausted and again.scored == 0


def test_budgets_of_one_context_share_scores_without_changing_the_sequence(db: Files) -> None:
    calls: list[str] = []

    def counted(arch: Arch) -> dict[str, float]:
        calls.append(arch.key)
        return score(arch)

    shared = db("study")
    wider = budget_of_share(SPACE, 0.1)  # 50 archs, most of which the first search met
    first = go(shared, counted, name="first", budget=budget_of_share(SPACE, 0.05))
    second = go(shared, counted, name="second", budget=wider)
    assert len(calls) == len(set(calls)) == first.scored + second.scored
    assert second.reused > 0 and second.reused + second.scored == len(second.trials)
    alone = go(db("alone"), name="second", budget=wider)
    assert alone.trials == second.trials and alone.reused == 0
    other = go(shared, name="third", budget=wider, supernet="another")
    assert other.reused == 0


def test_higher_is_better_on_request(db: Files) -> None:
    def negated(arch: Arch) -> dict[str, float]:
        return {"fd": -score(arch)["fd"]}

    least, most = go(db("1")), go(db("2"), negated, better="max")
    assert keys(least) == keys(most)
    assert best(least).arch == best(most, "max").arch


def test_study_of_another_supernet_is_refused_and_stays(db: Files) -> None:
    first = go(db("study"))
    with pytest.raises(RunError, match="study 'main' was made with another supernet"):
        go(db("study"), supernet="another")
    assert go(db("study")).trials == first.trials


def test_bar_shows_the_best_score(db: Files, capfd: pytest.CaptureFixture[str]) -> None:
    result = go(db("study"), progress=True)
    shown = capfd.readouterr().err
    assert "main: 100%" in shown and "10/10" in shown
    assert f"best fd {best(result).scores['fd']:.4g}" in shown
    go(db("study"), progress=False)
    assert capfd.readouterr() == ("", "")


if __name__ == "__main__":
    go(Path(sys.argv[1]), killing_score(int(sys.argv[2])))
