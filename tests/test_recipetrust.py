"""Code in a run's folder: no command runs it unless its user stands for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from images import save
from typer.testing import CliRunner

from gancompress.apps import demopage
from gancompress.benchmark.roofline import card_work
from gancompress.cli.commands import app
from gancompress.errors import ForeignCodeError
from gancompress.export.opening import open_model
from gancompress.export.web import macs_of
from gancompress.project import Project
from gancompress.recipe import trust as recipetrust
from gancompress.recipe.reading import load_recipe
from gancompress.stages import pipeline

# Says that it was run, each time.
GENERATOR = """
from pathlib import Path
from torch import nn

with Path(__file__).with_name("RAN").open("a") as file:
    file.write("x")

def build(arch):
    c = arch.width("trunk.width")
    down, up = nn.Conv2d(3, c, 4, 4), nn.ConvTranspose2d(c, 3, 4, 4)
    return nn.Sequential(down, nn.ReLU(), up, nn.Tanh())
"""
RECIPE = """
data: {{name: pairs, folder: {folder}/images, load_size: 36, crop_size: 32, search_fraction: 0.3,
       test_fraction: 0.3}}
family: {{file: {folder}/generator.py}}
task: {{name: pix2pix, discriminator_width: 4, discriminator_layers: 1}}
teacher: {{steps: 1, batch_size: 2, width: 4}}
space: {{widths: [4, 2]}}
supernet: {{steps: 1, batch_size: 2, losses: {{l1: 1}}}}
metrics: {{features: effnet-lite0, images: 4}}
search: {{reduction: 1.5, more_reductions: [], images: 4, candidates: 2, population: 2}}
export: {{formats: [safetensors, pt2], latency_repeats: 1}}
run: {folder}/theirs
workers: 0
device: cpu
precision: float32
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a generator that is code, as its maker has it: in `theirs`."""
    pytest.importorskip("efficientnet_lite_pytorch")
    folder = tmp_path_factory.mktemp("makers")
    rng = np.random.default_rng(0)
    for i in range(12):
        half = np.kron(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), np.ones((8, 8, 1), "u1"))
        save(folder / "images" / f"{i:02}.png", np.hstack([half, 255 - half]))
    (folder / "generator.py").write_text(GENERATOR)
    (folder / "mine.yaml").write_text(RECIPE.format(folder=folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(recipetrust.VARIABLE, str(folder / "state"))
        recipe = load_recipe(folder / "mine.yaml")
        pipeline.run_stages(Project(recipe), pipeline.stages_of(Project(recipe)), lambda text: None)
    (folder / "RAN").unlink()
    return folder


@pytest.fixture
def elsewhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That folder, where another user has it, who has made no run with its code."""
    monkeypatch.setenv(recipetrust.VARIABLE, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demopage, "gradio", lambda: None)
    monkeypatch.setattr(demopage, "serve", lambda *args: None)
    place = tmp_path / "theirs"
    shutil.copytree(folder, place)
    for path in (place / "theirs" / "recipe.yaml", place / "mine.yaml"):
        path.write_text(path.read_text().replace(str(folder), str(place)))
    yield place


RUN, FILE = "theirs/theirs", "theirs/theirs/recipe.yaml"
# Of each command what a user may give it, in full.
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(
        ("train-teacher", "train-supernet", "search", "finetune", "export", "run", "latency-table"),
        ((FILE,), (FILE, "--redo"), (FILE, "--dry-run")),
    ),
    "import-teacher": (("theirs/theirs/teacher/model.safetensors", FILE, "--from", "cyclegan"),
                       ("theirs/theirs/teacher/model.safetensors", FILE, "--from", "spade")),
    "compress": (("theirs/theirs/teacher/model.safetensors", "--images", "theirs/images", "--out",
                  "new"),),
    "list": ((),),
    "schema": ((),),
    "profile": ((FILE,), (FILE, "--arch", "largest"), (FILE, "teacher.width=2"), (FILE, "run=new")),
    "space": ((FILE,), (FILE, "search.reduction=1.1"), (FILE, "--dry-run")),
    "evaluate": ((FILE,), (FILE, "--arch", "smallest")),
    "report": ((RUN,), (FILE,)),
    "apply": ((RUN, "theirs/images", "out"), (FILE, "theirs/images", "out"),
              (f"{RUN}/export/model/model.pt2", "theirs/images", "out")),
    "sample": ((RUN, "out"), (FILE, "out"), (RUN, "out", "--teacher")),
    "benchmark": ((RUN, "--repeats", "1"), (FILE, "--repeats", "1")),
    "demo": ((RUN,), (FILE,), (f"{RUN}/export/model",)),
}  # fmt: skip


def test_the_list_of_commands_is_whole() -> None:
    assert sorted(COMMANDS) == sorted(str(one.name) for one in app.registered_commands)


def test_no_command_runs_code_of_a_run_from_elsewhere(elsewhere: Path) -> None:
    found = {}
    for name, calls in COMMANDS.items():
        for given in calls:
            result = CliRunner().invoke(app, [name, *given])
            assert result.exception is None or isinstance(result.exception, SystemExit), given
            assert result.exit_code in (0, 2), (name, given, result.output)
            assert not (elsewhere / "RAN").exists(), (name, given)
            found[name, given] = result.output
    assert not (elsewhere.parent / "state").exists()
    assert found["profile", (FILE,)] == (
        f"gancompress: {FILE}: family.file: found {elsewhere}/generator.py, code; no run of yours "
        "on this machine has used it as it is; if you trust it, add family.file="
        f"{elsewhere}/generator.py to the command (or --file {elsewhere}/generator.py, where a "
        "command takes that)\n"
    )
    assert "report: " in found["report", (RUN,)]
    for name in ("space", "evaluate", "benchmark", "demo", "search", "latency-table"):
        assert any("if you trust it" in text for key, text in found.items() if key[0] == name), name


def test_a_run_is_known_by_what_it_holds_and_by_the_sum_in_its_recipe(elsewhere: Path) -> None:
    run, code = elsewhere / "theirs", elsewhere / "generator.py"
    text = (run / "recipe.yaml").read_text()
    without = "".join(line for line in text.splitlines(keepends=True) if "sha256" not in line)
    assert without != text
    (run / "other.yaml").write_text(without)  # beside the stages
    (elsewhere / "copy.yaml").write_text(text)  # with the sum that commands fill in
    for path in (run / "other.yaml", elsewhere / "copy.yaml"):
        with pytest.raises(ForeignCodeError, match="family.file"):
            Project(load_recipe(path)).open("family")
    (elsewhere / "copy.yaml").write_text(without)
    assert Project(load_recipe(elsewhere / "copy.yaml")).family.options["file"] == str(code)


def test_what_a_model_files_card_names_is_not_run(elsewhere: Path) -> None:
    model = open_model(elsewhere / "theirs" / "export" / "model" / "model.pt2")
    card = replace(model.card, options={**model.card.options, "file": f"{elsewhere}/generator.py"})
    assert card_work(model.arch, card, (32, 32)) is None
    assert macs_of(model.arch, card) is None
    assert not (elsewhere / "RAN").exists()


def ran(folder: Path, *command: str) -> bool:
    """Whether that command, which has to succeed, runs the generator's code."""
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    path = folder / "RAN"
    has_run = path.exists()
    path.unlink(missing_ok=True)
    return has_run


def test_code_that_the_command_names_is_run_this_once(elsewhere: Path) -> None:
    code = str(elsewhere / "generator.py")
    assert ran(elsewhere, "profile", FILE, f"family.file={code}")
    assert ran(elsewhere, "demo", RUN, "--file", code)
    assert CliRunner().invoke(app, ["profile", FILE]).exit_code == 2


def test_a_recipe_that_the_user_wrote_names_its_code(elsewhere: Path) -> None:
    assert ran(elsewhere, "profile", "theirs/mine.yaml")
    assert CliRunner().invoke(app, ["profile", FILE]).exit_code == 2  # It made no run yet.
    ran(elsewhere, "run", "theirs/mine.yaml")  # Nothing is left to do, but it is the user's run.
    for command in (("profile", FILE), ("demo", RUN), ("report", RUN), ("demo", FILE)):
        assert ran(elsewhere, *command)
    (note,) = (elsewhere.parent / "state" / "gancompress" / "code").iterdir()
    about = json.loads(note.read_text())
    assert about["file"] == str(elsewhere / "generator.py")
    assert about["run"] == str(elsewhere / "theirs")


def test_code_that_changed_or_moved_is_other_code(elsewhere: Path) -> None:
    code = elsewhere / "generator.py"
    recipetrust.remember(load_recipe(elsewhere / "mine.yaml"))
    assert recipetrust.is_known(str(code))
    moved = shutil.copy(code, elsewhere / "same.py")
    assert not recipetrust.is_known(moved)
    code.write_text(GENERATOR + "\n")
    assert not recipetrust.is_known(str(code))
    code.unlink()
    assert not recipetrust.is_known(str(code))


def test_where_nothing_can_be_noted_runs_go_on(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(elsewhere / "mine.yaml")
    (elsewhere / "file").write_text("where a folder would be")
    monkeypatch.setenv(recipetrust.VARIABLE, str(elsewhere / "file"))
    recipetrust.remember(recipe)
    assert not recipetrust.is_known(str(elsewhere / "generator.py"))
    Project(recipe).open("family")
    monkeypatch.delenv(recipetrust.VARIABLE)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("os.path.expanduser", lambda text: text)  # as where nobody has a home
    recipetrust.remember(recipe)
    assert not (Path.cwd() / "~").exists()


@pytest.mark.parametrize("section", ["segmentation", "classifier"])
def test_networks_that_can_run_code_are_opened_on_the_users_word_alone(
    tmp_path: Path, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(recipetrust.VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(torch.jit, "load", lambda *args, **options: pytest.fail("opened"))
    file = tmp_path / "net.pt"
    file.write_text("a network")
    data = "{name: maps-labels, size: 64}" if section == "segmentation" else "{name: maps}"
    family, task = "{name: resnet}", "{name: pix2pix}"
    more = ", classes: {0: 0}" if section == "segmentation" else ""
    text = (
        f"data: {data}\nfamily: {family}\ntask: {task}\nteacher: {{steps: 1}}\n"
        "space: {widths: [4]}\nsupernet: {steps: 1}\nsearch: {reduction: 2}\ndevice: cpu\n"
        f"metrics: {{{section}: {{file: {file}, kind: torchscript{more}}}}}\n"
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    said = (
        f"metrics.{section}.file: found {file}, TorchScript, which can run code when it is opened"
    )
    with pytest.raises(ForeignCodeError, match=said):
        Project(load_recipe(path, of_run=True)).open(section)
    named = load_recipe(path, [f"metrics.{section}.file={file}"], of_run=True)
    for allowed in (load_recipe(path), named):
        assert allowed.refusal(("metrics", section, "file")) == ""
        (line,) = recipetrust.opened_code(allowed)
        assert (
            line == f"metrics.{section}.file: opens {file}; TorchScript can run code that is in it"
        )
    recipetrust.remember(named)
    assert load_recipe(path, of_run=True).refusal(("metrics", section, "file")) == ""


def test_no_recipe_can_say_that_its_code_is_trusted(elsewhere: Path) -> None:
    recipe = load_recipe(elsewhere / "theirs" / "recipe.yaml")
    with pytest.raises(ForeignCodeError, match="family.file"):
        Project(recipe.model_copy(update={"seed": 1})).open("family")
