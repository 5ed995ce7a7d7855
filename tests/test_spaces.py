"""`gancompress space`: its figures against enumeration, its words, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gancompress.cli.commands import app
from gancompress.cli.spaces import space_summary, space_text
from gancompress.latency.table import LatencyTable
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages.budgets import budgets_of

SMALL = [
    "space.widths=[24, 8]", "space.ops=[separable]", "space.bands=[0]",
    "search.more_reductions=[20]",
]  # fmt: skip  # 256 archs


def recipe_of(folder: Path, *more: str) -> Recipe:
    return load_recipe("quickstart", [*SMALL, f"run={folder}", *more])


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["space", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_figures_equal_enumeration(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "search.budget_params=120_000")
    model, archs = Project(recipe).cost_model, list(Project(recipe).space.all())
    costs = {arch: model(arch) for arch in archs}
    found = space_summary(Project(recipe))
    assert found["size"] == len(archs) == 256
    names = ["macs_true", "macs_published", "params", "activation_bytes"]
    assert list(found["costs"]) == names
    for name in names:
        every, ends = [getattr(cost, name) for cost in costs.values()], found["costs"][name]
        assert (ends["least"], ends["most"]) == (min(every), max(every))
    budgets = budgets_of(Project(recipe))
    assert [row["row"] for row in found["rows"]] == list(budgets)
    fractions = []
    for row, most in zip(found["rows"], budgets.values(), strict=True):
        light = {arch for arch, cost in costs.items() if cost.macs_true <= most}
        thin = {arch for arch, cost in costs.items() if cost.params <= 120_000}
        assert row["is_exact"] and row["count"] == len(light & thin)
        assert [limit["count"] for limit in row["limits"]] == [len(light), len(thin)]
        assert [limit["fraction"] for limit in row["limits"]] == [len(light) / 256, len(thin) / 256]
        fractions.append(row["fraction"])
    assert 0 < min(fractions) < max(fractions) < 1
    assert not any(tmp_path.iterdir())


def test_text_says_size_slots_ends_and_shares(tmp_path: Path) -> None:
    text = space_text(space_summary(Project(recipe_of(tmp_path))))
    assert text.startswith("256 generators of resnet\n  stem.width    24, 8\n")
    for word in ("smallest", "largest", "MACs, true", "MACs, published", "row 'compressed'",
                 "of them fit", "search.reduction", "search.more_reductions, 20"):  # fmt: skip
        assert word in text
    assert ".op" not in text  # a slot without a choice is none
    assert "latency" not in text


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        ({"fraction": 0.25, "count": 64, "is_exact": True}, "64 of them fit, 25 %"),
        ({"fraction": 0.1234, "fraction_error": 0.0056, "count": 123_400},
            "some 120 000 of them fit, "
         "12.34 ± 0.56 %"),
        ({"fraction": 0.4, "fraction_error": 0.02, "count": 2e7}, "some 20 000 000 of them fit, "
         "40.0 ± 2.0 %"),
        ({"fraction": 0.0, "fraction_error": 0.0, "count": 0},
            "too few of them fit for an estimate"),
        ({"fraction": None}, "not known before `gancompress latency-table`"),
    ],
)  # fmt: skip
def test_fractions_are_told_with_their_error(fraction: dict[str, Any], said: str) -> None:
    row = {"row": "r", "limits": [], "is_exact": False, "refusal": None, **fraction}
    text = space_text({"slots": {}, "size": 1, "family": "f", "costs": {}, "rows": [row]})
    assert said in text


def test_latency_is_told_once_its_table_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, "search.budget_latency_ms=20")
    found = space_summary(Project(recipe))
    assert "latency_ms" not in found["costs"]
    assert found["rows"][0]["limits"][1]["fraction"] is None
    assert found["rows"][0]["count"] == found["rows"][0]["limits"][0]["count"]

    table = LatencyTable.__new__(LatencyTable)
    monkeypatch.setattr(table, "ms", lambda arch: float(arch.width("stem.width")), raising=False)
    monkeypatch.setattr("gancompress.stages.budgets.table_of", lambda project, runtime: table)
    found = space_summary(Project(recipe))
    assert (found["costs"]["latency_ms"]["least"], found["costs"]["latency_ms"]["most"]) == (8, 24)
    assert found["rows"][0]["limits"][1]["fraction"] == 0.5
    assert found["rows"][0]["count"] < found["rows"][0]["limits"][0]["count"]


def test_command_prints_the_figures_and_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, out = call("quickstart", *SMALL, f"run={folder}")
    assert code == 0 and "256 generators" in out
    code, out = call("quickstart", *SMALL, f"run={folder}", "--json")
    assert code == 0 and json.loads(out) == json.loads(
        json.dumps(space_summary(Project(recipe_of(folder))))
    )
    code, out = call("quickstart", *SMALL, f"run={folder}", "--dry-run")
    assert code == 0 and "budget_params" in out and "generators of" not in out
    assert not folder.exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.reduction=1000"], "search.reduction: "),
        (["search.reduction=1e30"], "search.reduction: 0 is below the smallest"),
        (["search.budget_params=10"], "search.budget_params: 10 is below the smallest"),
    ],
)
def test_budgets_that_leave_nothing_are_told_behind_the_table(
    overrides: list[str], said: str, tmp_path: Path
) -> None:
    code, out = call("quickstart", *SMALL, f"run={tmp_path}", *overrides)
    assert code == 2 and "MACs, true" in out and "row 'compressed': none of them fits" in out
    *table, refusal = out.rstrip().split("\n")
    assert refusal.startswith(f"gancompress: {said}") and "raise the budget" in refusal
    assert not any(line.startswith("gancompress: ") for line in table)
    code, out = call("quickstart", *SMALL, f"run={tmp_path}", *overrides, "--json")
    figures, end = json.JSONDecoder().raw_decode(out)
    assert code == 2 and out[end:].strip() == refusal
    assert f"gancompress: {figures['rows'][0]['refusal']}" == refusal


def test_rows_that_can_be_kept_are_counted_beside_one_that_cannot(tmp_path: Path) -> None:
    alone = space_summary(Project(recipe_of(tmp_path)))["rows"]
    found = space_summary(Project(recipe_of(tmp_path, "search.more_reductions=[20, 1000]")))["rows"]
    assert found[:2] == alone and [row["count"] for row in found][2] == 0
    assert "search.more_reductions, 1000: " in found[2]["refusal"]


def test_a_wrong_recipe_is_one_sentence(tmp_path: Path) -> None:
    code, out = call("quickstart", *SMALL, f"run={tmp_path}", "search.budget_parms=10")
    assert code == 2 and "budget_params" in out and out.count("\n") == 1
