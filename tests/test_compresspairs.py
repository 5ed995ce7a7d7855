"""`gancompress compress pairs:DIR`: pairs that anything made, and no teacher."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from images import noise, save
from toyrecipes import save_toy_pairs
from typer.testing import CliRunner

from gancompress.apps.sample import teacher_model
from gancompress.cli.commands import app
from gancompress.errors import RecipeError
from gancompress.export import load
from gancompress.project import Project
from gancompress.project.subnets import Subnets, reference_net
from gancompress.recipe.reading import load_recipe
from gancompress.report.reporting import render, source_of
from gancompress.stages.compresspairs import layout_of

pytest.importorskip("efficientnet_lite_pytorch")

TOY = (
    "device=cpu", "precision=float32", "search.candidates=2", "search.population=2",
    "search.images=4", "metrics.images=4", "export.latency_repeats=1", "supernet.steps=2",
    "finetune.steps=2", "metrics.features=effnet-lite0", "metrics.also=[]",
    "supernet.batch_size=2", "finetune.batch_size=2", "data.search_fraction=0.3",
    "data.test_fraction=0.3", "export.formats=[safetensors]", "family.blocks=1",
    "task.discriminator_width=4", "task.discriminator_layers=1",
)  # fmt: skip


def call(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join((result.output + result.stderr).split())


def compressed(pairs: Path, out: Path, *more: str) -> tuple[int, str]:
    given = ("--size", "32x32", "--minutes", "0.1", "--out", str(out))
    return call("compress", f"pairs:{pairs}", *given, *more, *TOY)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of toy pairs that went through all stages."""
    folder = tmp_path_factory.mktemp("pairs")
    save_toy_pairs(folder / "data")
    code, text = compressed(folder / "data", folder / "run")
    assert code == 0, text
    return folder / "run"


def test_pairs_are_learnt_without_a_teacher(run: Path) -> None:
    recipe = yaml.safe_load((run / "compress.yaml").read_text())
    assert recipe["teacher"] == {"from": "none"} and not (run / "teacher").exists()
    card = json.loads((run / "export" / "card.json").read_text())
    first, chosen = card["rows"][:2]
    assert first["name"] == "widest" and first["macs_true"] >= chosen["macs_true"]
    answer = load(run / "export" / "model")(torch.rand(1, 3, 32, 32) * 2 - 1)
    assert answer.shape == (1, 3, 32, 32) and answer.isfinite().all()
    page = render(source_of(run))
    assert "No teacher yet" not in page and "faster than the widest in torch" in page


def test_given_again_it_is_done_already(run: Path) -> None:
    before = (run / "export" / "model" / "model.safetensors").read_bytes()
    code, text = compressed(run.parent / "data", run)
    assert code == 0 and "goes on with this recipe" in text and "export: done already" in text
    assert (run / "export" / "model" / "model.safetensors").read_bytes() == before
    code, text = compressed(run.parent / "data", run, "--like", "unet")
    assert code == 2 and "was begun with --like resnet, not unet" in text


def test_the_widest_generator_takes_the_place_of_the_teacher(run: Path) -> None:
    project = Project(load_recipe(run / "recipe.yaml", of_run=True), run)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        wanted = Subnets(project).plain(project.space.largest)(x)
        assert torch.equal(reference_net(project)(x), wanted)
        assert torch.equal(teacher_model(run).run(x), wanted)  # type: ignore[operator]


def test_there_is_no_teacher_to_train(run: Path) -> None:
    code, text = call("train-teacher", str(run / "compress.yaml"), f"run={run}", *TOY)
    assert code == 2 and "there is no teacher to train, begin with `gancompress train-sup" in text
    assert not (run / "teacher").exists()


def test_a_dry_run_says_what_was_understood_and_leaves_nothing(tmp_path: Path) -> None:
    for i in range(10):
        save(tmp_path / "data" / "input" / f"{i}.png", noise(40, 40, seed=i))
        save(tmp_path / "data" / "target" / f"{i}.png", noise(40, 40, seed=i + 1))
    code, text = call(
        "compress", f"pairs:{tmp_path}/data", "--like", "unet", "--size", "32x32", "--reduction",
        "8", "--minutes", "0.1", "--out", f"{tmp_path}/out", "--dry-run",
        *(key for key in TOY if not key.startswith("family.")),
    )  # fmt: skip
    assert code == 0, text
    assert "4 for train, 3 for search, 3 for test, in" in text
    assert "reference a unet of width 64, which is not trained" in text
    usual, most = (
        int(re.search(pattern, text)[1].replace(",", ""))  # type: ignore[index]
        for pattern in ("parameters, ([0-9,]+) MACs at 32x32", "compressed at most ([0-9,]+)")
    )
    assert most == usual // 8 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["train/0.png", "test/0.png"], {"layout": "side-by-side"}),
        (["0.jpg"], {"layout": "side-by-side"}),
        (["trainA/0.png", "trainB/0.png", "testA/0.png"], {"layout": "cyclegan"}),
        (["train_A/0.png", "train_B/0.png"], {"layout": "cyclegan"}),
        (["x_A.png", "x_B.png"], {"layout": "one-folder", "input_name": "*_A"}),
        (["train/x_A.png", "train/x_B.png"], {"layout": "one-folder", "target_name": "*_B"}),
        (["A/0.png", "B/0.png"], {"layout": "two-folders", "folder": None}),
        (["source/0.png", "target/0.png"], {"layout": "two-folders"}),
    ],
)
def test_the_layout_of_pairs_is_found(
    files: list[str], layout: dict[str, str | None], tmp_path: Path
) -> None:
    for name in files:
        save(tmp_path / name, np.zeros((4, 8, 3), np.uint8))
    found = layout_of(tmp_path)
    assert {key: found.get(key) for key in layout} == layout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["pairs:DIR", "--images", "photos"], "--images photos: given; pairs:DIR names the folder"),
        (["pairs:DIR", "--weights", "net.pth"], "pairs:DIR: there is no teacher; --weights, --pa"),
        (["pairs:DIR", "--range", "0,1"], "pairs:DIR: there is no teacher"),
        (["pairs:DIR", "--like", "vgg"], "--like vgg: unknown; one of resnet, unet is allowed"),
        (["pairs:DIR"], "DIR: no such folder; give pairs:DIR with a folder of pairs"),
        (["pairs:."], "no images in it"),
        (["net.onnx", "--like", "unet", "--images", "x"], "--like unet: given; it is for pairs:D"),
        (["net.onnx"], "--images: missing; give the folder of the generator's inputs"),
    ],
)
def test_what_does_not_go_with_pairs_is_refused(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = call("compress", *args)
    assert code == 2 and message in text, text
    assert not [*tmp_path.iterdir()]


def test_a_reduction_under_the_floor_is_refused(tmp_path: Path) -> None:
    save_toy_pairs(tmp_path / "data")
    given = ("--size", "32x32", "--reduction", "1e6", "--out", f"{tmp_path}/out")
    code, text = call("compress", f"pairs:{tmp_path}/data", *given)
    assert code == 2 and "--reduction 1e+06: under the floor; a resnet of width 1 has" in text
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_images_are_refused(tmp_path: Path) -> None:
    save_toy_pairs(tmp_path / "data")
    (tmp_path / "data" / "00.png").write_bytes(b"no image")
    code, text = compressed(tmp_path / "data", tmp_path / "out")
    assert code == 2 and "00.png" in text, text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "supernet.init.*without a teacher random is allowed"),
        (["supernet.init=random"], "supernet.target: found both; without a teacher ground-truth"),
        (["supernet.losses={l1: 1, features: 1}"], "features: found 1; without a teacher there"),
        (["finetune.losses={features: 2}"], "finetune.losses.features: found 2; without"),
        (["supernet.kept_answers=64"], "supernet.kept_answers.*: found 64; without a teacher 0"),
    ],
)
def test_what_only_a_teacher_gives_is_refused(changes: list[str], message: str) -> None:
    absent = ("teacher={from: none}",)
    with pytest.raises(RecipeError, match=message):
        load_recipe("maps", [*absent, *changes])


def test_unpaired_images_need_a_teacher() -> None:
    with pytest.raises(RecipeError, match="pix2pix or gaugan or superres is allowed, fo"):
        load_recipe("cyclegan-maps", ["teacher={from: none}"])


def test_a_packaged_recipe_goes_without_its_teacher() -> None:
    recipe = load_recipe(
        "maps",
        [
            "teacher={from: none}", "supernet.init=random", "supernet.target=ground-truth",
            "supernet.losses={l1: 100, gan: 1}", "supernet.kept_answers=0",
        ],
    )  # fmt: skip
    project = Project(recipe)
    assert project.planned_arch == project.space.largest
    assert project.teacher.is_absent and project.distilled_layers == ()
