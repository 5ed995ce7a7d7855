"""`gancompress latency-table`: measured, passed over, resumed, set aside, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gancompress.errors import RecipeError, RunError
from gancompress.latency import timing
from gancompress.latency.measurements import Measurements
from gancompress.latency.times import TimingConfig, time_layers
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "CALIBRATED", 3)
    monkeypatch.setattr(timing, "VERIFIED", 4)


def toy(folder: Path, *more: str) -> Recipe:
    return load_recipe(
        "quickstart",
        [
            "data.size=32", "family.blocks=1", "space={widths: [8, 4], ops: [dense, separable]}",
            "export.latency_repeats=2", "device=cpu", "precision=float32",
            f"run={folder}/run", *more,
        ],
    )  # fmt: skip


def measured(recipe: Recipe, **options: bool) -> tuple[timing.LatencyTable, str]:
    said: list[str] = []
    (table,) = timing.measure_tables(Project(recipe), said.append, only="torch", **options)
    return table, "\n".join(said)


def test_a_table_knows_every_arch_and_never_falls_with_a_width(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    table, said = measured(recipe)
    assert "torch on cpu: median error" in said and "1 thread, torch" in said
    assert table.error is not None and table.error.generators == 4
    space = Project(recipe).space
    for arch in space.all():
        for slot in Project(recipe).family.width_slots:
            assert table.ms(arch.replace({slot: 4})) <= table.ms(arch.replace({slot: 8})) + 1e-12
    assert sorted(p.name for p in (tmp_path / "run" / "latency").iterdir()) == ["torch-cpu.json"]


def test_a_finished_table_is_passed_over_until_redo(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    path = tmp_path / "run" / "latency" / "torch-cpu.json"
    measured(recipe)
    before = path.read_bytes()
    _, said = measured(recipe)
    assert "measured already" in said and path.read_bytes() == before
    assert "measured already" in timing.plan(Project(recipe), "torch")
    _, said = measured(recipe, redo=True)
    assert "earlier table kept as" in said and path.is_file()
    assert path.with_name("torch-cpu.1.json").read_bytes() == before


def test_a_stopped_measurement_measures_the_rest_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy(tmp_path)

    def stopping(how: TimingConfig, configs: list[object], label: str) -> object:
        yield from time_layers(how, configs[:3], label)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(timing, "time_layers", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(recipe)
    begun = tmp_path / "run" / "latency" / "torch-cpu.part.json"
    kept = json.loads(begun.read_text())["layers"]
    assert len(kept) == 3 and all(len(times) == 2 for times in kept.values())
    asked: list[str] = []

    def noting(how: TimingConfig, configs: list[object], label: str) -> object:
        asked.extend(config.key for config in configs)  # type: ignore[attr-defined]
        return time_layers(how, configs, label)  # type: ignore[arg-type]

    monkeypatch.setattr(timing, "time_layers", noting)
    measured(recipe)
    assert asked and not set(asked) & set(kept) and not begun.exists()


def test_the_search_is_given_the_table_or_told_to_measure(tmp_path: Path) -> None:
    recipe = toy(tmp_path)
    with pytest.raises(RunError, match=r"no latency table yet; run `gancompress latency-table …`"):
        timing.table_of(Project(recipe), "torch")
    table, _ = measured(recipe)
    arch = Project(recipe).space.largest
    assert timing.table_of(Project(recipe), "torch").ms(arch) == table.ms(arch)
    for change, found in (
        ("space.widths=[8, 4, 2]", "another space"),
        ("data.size=64", "another size"),
        ("export.latency_threads=2", r"another threads \(1; wanted 2\)"),
        ("family.norm=batch", "another family"),
    ):
        with pytest.raises(RunError, match=found):
            timing.table_of(Project(toy(tmp_path, change)), "torch")
        with pytest.raises(RunError, match=found):
            measured(toy(tmp_path, change))


def test_two_commands_do_not_measure_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancompress.latency.timing.FileLock.acquire", lambda self: "4711")
    with pytest.raises(RunError, match=r"another command \(process 4711\) measures; wait"):
        measured(toy(tmp_path))


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--runtime tflite: unknown; one of torch, onnxruntime"):
        timing.measure_tables(Project(toy(tmp_path)), only="tflite")


def test_a_runtime_that_is_not_installed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancompress.latency.places.missing", lambda name: f"{name} needs onnx")
    said: list[str] = []
    tables = timing.measure_tables(Project(toy(tmp_path)), said.append)
    assert said[0] == "left out: onnx needs onnx" and len(tables) == 1


def test_both_runtimes_have_a_table_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "CALIBRATED", 2)
    monkeypatch.setattr(timing, "VERIFIED", 1)
    recipe = toy(tmp_path, "space={widths: [8], ops: [dense, separable]}")
    planned = timing.plan(Project(recipe), "torch")  # one of everything but of the block
    assert "8 layer configurations of 7 parts\ntorch on cpu: would take some 0." in planned
    tables = timing.measure_tables(Project(recipe), lambda text: None)
    assert [table.runtime for table in tables] == ["torch", "onnxruntime"]
    assert [one["identity"]["size"] for one in timing.tables_json(tables)] == [[32, 32]] * 2
    assert "onnxruntime" in tables[1].device
    for arch in Project(recipe).space.all():
        assert all(table.ms(arch) > 0 for table in tables)


def test_measurements_are_kept_beside_the_table(tmp_path: Path) -> None:
    """Begun under other settings they are refused, not mixed in."""
    recipe = toy(tmp_path)
    begun = tmp_path / "run" / "latency" / "torch-cpu.part.json"
    other = Measurements(begun, {"size": [64, 64]}, "a CPU")
    other.add(other.layers, [{"p": 1.0}])
    with pytest.raises(RunError, match="measured for another"):
        measured(recipe)
