"""Two rungs: all is looked at on few images, the best is measured in full, and only that wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from searching import BUDGET, LANDSCAPE, SPACE, costs, within

from gancompress.archs.arch import Arch
from gancompress.search.limits import Constraint
from gancompress.search.run import Evaluation, StudyConfig
from gancompress.search.rungs import PROBES, Rungs, agreement, chosen, search_in_rungs
from gancompress.search.samplers import make_sampler
from gancompress.search.storage import Storage
from gancompress.search.study import Studies
from gancompress.search.workers import Worker

BUDGETS = (Constraint("macs", BUDGET, "MACs", "x"), Constraint("macs", BUDGET // 3, "MACs", "x"))

pytestmark = pytest.mark.usefixtures("no_wait_for_the_disk")


def look(arch: Arch) -> dict[str, float]:
    """The score, and an error of the arch's own."""
    noise = np.random.default_rng(abs(hash(arch.values["w0"])) % 1000).normal()
    return {"look": LANDSCAPE(arch) + 0.01 * float(noise)}


FIRST = Evaluation(look, "look", "min", "weights", "few images")
FULL = Evaluation(lambda arch: {"fd": LANDSCAPE(arch)}, "fd", "min", "weights", "images")


def go(folder: Path, algorithm: str, candidates: int, survivors: float = 0.25) -> Rungs:
    sampler = make_sampler(algorithm, within(), population=8, mutation=0.3)
    weighed = "macs" if algorithm == "pareto" else None
    config = StudyConfig("main", sampler, candidates, FULL, weighed)
    rows = [(limit,) for limit in BUDGETS] if algorithm == "pareto" else []
    with Storage(folder / "study.db") as storage, Worker(folder, 60) as worker:
        studies = Studies(storage, worker)
        return search_in_rungs(
            studies, SPACE, costs, config, FIRST, survivors, rows=rows, seed=0, progress=False
        )


def test_the_best_of_the_first_look_are_measured_in_full_and_some_probes(tmp_path: Path) -> None:
    found = go(tmp_path, "evolution", 32)
    assert found.first is not None and len(found.first.trials) == 32
    ranked = sorted(found.first.trials, key=lambda one: (one.scores["look"], one.arch.key))
    full = [one.arch for one in found.full.trials]
    assert full[:8] == [one.arch for one in ranked[:8]]
    assert len(full) == 8 + PROBES and set(full[8:]) < {one.arch for one in ranked[8:]}
    assert all(one.scores == {"fd": LANDSCAPE(one.arch)} for one in found.full.trials)


def test_every_row_has_candidates_that_were_measured_in_full(tmp_path: Path) -> None:
    found = go(tmp_path, "pareto", 32, survivors=0.01)
    assert found.first is not None
    for limit in BUDGETS:
        inside = [one for one in found.first.trials if one.costs["macs"] <= limit.most]
        best = min(inside, key=lambda one: one.scores["look"])
        assert best.arch in {one.arch for one in found.full.trials}


def test_a_search_in_two_rungs_goes_on_where_it_stopped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    whole = go(tmp_path / "a", "pareto", 16)
    again = go(tmp_path / "a", "pareto", 16)
    assert again.full.trials == whole.full.trials
    assert again.full.scored == 0 and again.first is not None and again.first.scored == 0


def test_without_survivors_to_leave_out_there_are_no_probes(tmp_path: Path) -> None:
    found = go(tmp_path, "random", 12, survivors=1.0)
    assert found.first is not None
    config = StudyConfig("main", make_sampler("random", within(), 4, 0.3), 12, FIRST)
    assert len(chosen(found.first.trials, config, 1.0, [])) == len(found.full.trials) == 12


def test_agreement_is_kendalls_tau_of_what_both_hold(tmp_path: Path) -> None:
    found = go(tmp_path, "random", 24, survivors=0.5)
    assert found.first is not None
    full = {one.arch: one.scores["fd"] for one in found.full.trials}
    looks = {one.arch: one.scores["look"] for one in found.first.trials}
    expected = kendalltau(list(full.values()), [looks[arch] for arch in full]).statistic
    alike = agreement(found.first.trials, found.full.trials, (FIRST, FULL))
    assert alike is not None and alike.n == len(full)
    assert alike.kendall_tau == pytest.approx(expected)
    assert agreement(found.first.trials, found.full.trials[:2], (FIRST, FULL)) is None
