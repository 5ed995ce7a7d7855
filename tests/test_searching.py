"""The stage search as the command does it: rows, two rungs, random search, several workers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from images import save_pairs

from gancompress.archs.arch import Arch
from gancompress.errors import BudgetError, RunError
from gancompress.metrics import evaluate, intervals
from gancompress.project import Project
from gancompress.project.results import exported_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import pipeline
from gancompress.storage.runs import Run

pytest.importorskip("efficientnet_lite_pytorch")

TOY = (
    "teacher={width: 6, steps: 2, batch_size: 4}", "space={widths: [6, 4, 3, 2]}",
    "family.blocks=1", "supernet.steps=2", "supernet.batch_size=4", "supernet.init=teacher",
    "task={name: pix2pix, discriminator_width: 4, discriminator_layers: 1}",
    "metrics.features=effnet-lite0",
    "metrics.images=4", "export={formats: [safetensors], images: 2, latency_repeats: 1}",
    "workers=0", "device=cpu", "threads=1", "precision=float32",
    "search={reduction: 1.5, more_reductions: [3], images: 6, first_images: 3, candidates: 10, "
    "population: 4}",
)  # fmt: skip
ROWS = ["compressed", "3x smaller"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, and beside it a run with teacher and supernet."""
    folder = tmp_path_factory.mktemp("searching")
    save_pairs(folder / "data", 24, 32, 32)
    for stage in ("teacher", "supernet"):
        pipeline.run_stage(Project(recipe_of(folder, folder / "run")), stage, quiet)
    return folder


def options(folder: Path, run: Path, *more: str) -> list[str]:
    sizes = "load_size: 32, crop_size: 32, flip: false, search_fraction: 0.3, test_fraction: 0.3"
    data = f"data={{name: pairs, folder: {folder}/data, {sizes}}}"
    return ["edges2shoes", data, *TOY, f"run={run}", *more]


def recipe_of(folder: Path, run: Path, *more: str) -> Recipe:
    name, *changes = options(folder, run, *more)
    return load_recipe(name, changes)


def quiet(text: str) -> None:
    """What these stages say is not looked at."""


def searched(trained: Path, run: Path, *more: str) -> dict[str, Any]:
    """The front of a search in a copy of the run."""
    if not run.exists():
        shutil.copytree(trained / "run", run)
    pipeline.run_stage(Project(recipe_of(trained, run, *more)), "search", quiet)
    return dict(json.loads((run / "search" / "front.json").read_text()))


def told(run: Path) -> list[dict[str, Any]]:
    return list(json.loads((run / "search" / "trials.json").read_text()))


def test_a_score_of_pixels_is_judged_in_full_and_the_highest_wins(
    trained: Path, tmp_path: Path
) -> None:
    front = searched(trained, tmp_path / "run", "search.objective=psnr")
    assert (front["objective"], front["better"], front["first_look"]) == ("psnr", "max", None)
    searches = told(tmp_path / "run")
    assert [plan["first_look"] for plan in searches] == [None] * len(searches)
    for winner in front["winners"]:
        inside = [
            one["scores"]["psnr"]
            for plan in searches
            for one in plan["full"]
            if one["costs"]["macs"] <= winner["budget_macs"]
        ]
        assert winner["scores"]["psnr"] == max(inside) > min(inside)


@pytest.mark.parametrize("algorithm", ["pareto", "evolution"])
def test_winners_are_the_best_of_all_that_was_measured_in_full(
    trained: Path, tmp_path: Path, algorithm: str
) -> None:
    front = searched(trained, tmp_path / "run", f"search.algorithm={algorithm}")
    searches = told(tmp_path / "run")
    named = ["search"] if algorithm == "pareto" else ROWS
    beside = [f"{row}, {what}" for what in ("random", "widened") for row in ROWS]
    assert [plan["name"] for plan in searches] == [*named, *beside]
    is_random = [True, True, False, False]
    assert [plan["is_baseline"] for plan in searches] == [False] * len(named) + is_random
    full = [one for plan in searches for one in plan["full"]]
    assert [winner["row"] for winner in front["winners"]] == ROWS
    for winner in front["winners"]:
        inside = [o for o in full if o["costs"]["macs"] <= winner["budget_macs"]]
        assert winner["scores"]["fd"] == min(one["scores"]["fd"] for one in inside)
        assert winner["costs"]["macs"] <= winner["limits"]["macs"] == winner["budget_macs"]
        both = [winner["by_search"]["scores"]["fd"], winner["by_chance"]["scores"]["fd"]]
        assert winner["scores"]["fd"] == min(both)
    assert front["points"][-1]["scores"]["fd"] == min(one["scores"]["fd"] for one in full)
    assert {"macs", "macs_true", "params", "activation_bytes"} < set(front["teacher"]["costs"])


def test_a_row_tells_by_how_much_its_search_leads_over_chance(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (intervals, evaluate):  # The toy's split has six images.
        monkeypatch.setattr(module, "FEWEST", 4)
    leads = []
    for winner in searched(trained, tmp_path / "run")["winners"]:
        ours, theirs, lead = winner["by_search"], winner["by_chance"], winner["lead"]
        assert (lead is None) == (ours["arch"] == theirs["arch"])
        if lead is not None:
            assert lead[0] < lead[1]
            by = theirs["scores"]["fd"] - ours["scores"]["fd"]
            leads.append(sum(lead) / 2 == pytest.approx(by, abs=1e-4))
    assert leads and all(leads)


def test_all_are_looked_at_and_few_are_measured_in_full(trained: Path, tmp_path: Path) -> None:
    front = searched(trained, tmp_path / "run", "search.candidates=16", "search.survivors=0.1")
    plan = told(tmp_path / "run")[0]
    assert len(plan["first_look"]) == 16 > len(plan["full"])
    archs = [str(one["arch"]) for one in plan["first_look"]]
    assert {str(one["arch"]) for one in plan["full"]} < set(archs)
    assert all(set(one["scores"]) == {"fd", "kid", "l1"} for one in plan["full"])
    assert all(isinstance(one["forecast"], float) for one in plan["first_look"])
    assert front["first_look"]["n"] >= len(plan["full"])
    (tmp_path / "once").mkdir()
    searched(trained, tmp_path / "once" / "run", "search.first_images=0", "search.baseline=false")
    only, *widened = told(tmp_path / "once" / "run")
    assert only["first_look"] is None and len(only["full"]) == 10
    assert all(plan["name"].endswith(", widened") for plan in widened)


def test_what_the_search_found_best_is_widened_to_its_budget(trained: Path, tmp_path: Path) -> None:
    front = searched(trained, tmp_path / "run", "search.first_images=0")
    project = Project(recipe_of(trained, tmp_path / "run"))
    searches = {plan["name"]: plan["full"] for plan in told(tmp_path / "run")}
    model, space = project.cost_model, project.space
    for winner in front["winners"]:
        most = winner["budget_macs"]
        inside = [one for one in searches["search"] if one["costs"]["macs"] <= most]
        start = min(inside, key=lambda one: one["scores"]["fd"])["arch"]["slots"]
        for one in searches[f"{winner['row']}, widened"]:
            slots = one["arch"]["slots"]
            arch = Arch.of(one["arch"]["family"], slots)
            widths = [slot for slot in slots if slot.endswith(".width")]
            assert {**slots, **{w: start[w] for w in widths}} == start != slots
            assert all(slots[slot] >= start[slot] for slot in widths)
            assert one["costs"]["macs"] <= most
            wider = [
                arch.replace({slot: value})
                for slot in widths
                for value in space.fitting(slot, arch.values)
                if value > slots[slot]  # type: ignore[operator]  # widths
            ]
            assert all(model(one).macs(project.recipe.search.convention) > most for one in wider)


def test_workers_that_begin_together_end_with_one_front(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run)
    command = [sys.executable, "-m", "gancompress", "search", *options(trained, run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    for plan in told(run):
        for kind in ("first_look", "full"):
            archs = [str(one["arch"]) for one in plan[kind]]
            assert len(archs) == len(set(archs))
    assert sum(b"compressed:" in out for out, _ in said) == 1  # one of them wrote the front
    assert all(b"front.json" in out for out, _ in said)
    again: list[str] = []
    pipeline.run_stage(Project(recipe_of(trained, run)), "search", again.append)
    assert len(again) == 1 and "done already" in again[0]


def test_an_export_within_a_budget_of_its_own_picks_from_the_front(
    trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    front = searched(trained, run)
    point = front["points"][len(front["points"]) // 2]
    most = point["costs"]["macs"]
    recipe = recipe_of(trained, run, f"export.budget_macs={most}")
    first, *others = exported_of(Run(run), recipe.export.budget_macs)
    assert {"family": first.arch.family, "slots": first.arch.values} == point["arch"]
    assert [other.row for other in others] == ROWS
    said: list[str] = []
    pipeline.run_stages(Project(recipe), ["export"], said.append)
    card = json.loads((run / f"export-{most}" / "card.json").read_text())
    assert list(card["archs"]) == [f"at most {most:,} MACs", *ROWS]
    assert card["archs"][f"at most {most:,} MACs"] == point["arch"]
    assert not Project(recipe_of(trained, run)).stage("export").path.exists()
    low = recipe_of(trained, run, "export.budget_macs=10")
    with pytest.raises(BudgetError, match="export.budget_macs: 10 is below all that the search"):
        pipeline.run_stages(Project(low), ["export"], said.append)


def test_a_front_of_latency_keeps_its_budget(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = ("search.cost=latency_ms", "search.budget_latency_ms=12", "search.more_reductions=[]")
    with pytest.raises(RunError, match="no latency table yet; run `gancompress latency-table"):
        pipeline.preflight(Project(recipe_of(trained, tmp_path / "run", *timed)), ["teacher"])

    def ms(arch: Arch) -> float:
        return 2.0 * arch.width("stem.width") + arch.width("up.1.width")

    table = SimpleNamespace(ms=ms)
    monkeypatch.setattr("gancompress.stages.budgets.table_of", lambda project, runtime: table)
    front = searched(trained, tmp_path / "run", *timed)
    measured = [one for plan in told(tmp_path / "run") for one in plan["full"]]
    assert measured and all(one["costs"]["latency_ms"] <= 12 for one in measured)
    points = [(p["costs"]["latency_ms"], p["scores"]["fd"]) for p in front["points"]]
    assert points == sorted(points) and [fd for _, fd in points] == sorted(
        (fd for _, fd in points), reverse=True
    )
    for point in front["points"]:
        arch = Arch.of(point["arch"]["family"], point["arch"]["slots"])
        assert point["costs"]["latency_ms"] == ms(arch)


def test_budgets_hold_together_and_contradictions_are_refused_before_training(
    trained: Path, tmp_path: Path
) -> None:
    free = searched(trained, tmp_path / "run")
    params = min(point["costs"]["params"] for point in free["points"]) + 1
    tight = (f"search.budget_params={params}", "search.more_reductions=[]")
    (tmp_path / "tight").mkdir()
    front = searched(trained, tmp_path / "tight" / "run", *tight)
    measured = [one for plan in told(tmp_path / "tight" / "run") for one in plan["full"]]
    assert measured and all(one["costs"]["params"] <= params for one in measured)
    assert front["winners"][0]["limits"]["params"] == params
    nowhere = recipe_of(trained, tmp_path / "none", "search.budget_params=10")
    with pytest.raises(BudgetError, match=r"search.budget_params: 10 is below the smallest"):
        pipeline.preflight(Project(nowhere), ["teacher"])
    assert not (tmp_path / "none").exists()
