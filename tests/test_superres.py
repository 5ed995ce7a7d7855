"""Recipes whose generators enlarge: sizes, what fits what, the bicubic row, pixels as the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from images import noise, save

from gancompress.cli import describe
from gancompress.errors import RecipeError
from gancompress.nets.bicubic import Bicubic
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages.export import reference_rows, references_of
from gancompress.stages.exportfiles import card_of, facts_of, licences_of


def faces(*changes: str) -> Recipe:
    return load_recipe("srgan-celeba", ["data.folder=photos", *changes])


def test_the_celeba_recipe_costs_what_is_published_to_the_integer() -> None:
    """Trained on crops of 96, judged from 64 to 256: both counts are of one recipe."""
    recipe = faces()
    assert (recipe.data.image_size, recipe.input_size) == ((96, 96), (64, 64))
    figures = describe.profile(Project(recipe), "teacher", "dense")
    assert figures["generator"]["params"] == 1_549_462
    assert figures["generator"]["macs_true"] == 9_085_648_896
    assert figures["discriminator"]["params"] == 23_565_505
    separable = describe.profile(Project(recipe), "teacher", "separable")
    assert separable["generator"]["params"] == 226_134
    assert separable["generator"]["macs_true"] == 2_061_762_560


def test_inputs_are_as_many_times_smaller_and_cards_say_so() -> None:
    recipe = load_recipe("srgan-maps")
    assert recipe.input_size == (24, 24) and recipe.data.evaluated_size == (96, 96)
    card = card_of(Project(recipe), Project(recipe).planned_arch)
    assert (card.size, card.size_multiple, card.is_static) == ((24, 24), 1, False)
    assert facts_of(Project(recipe)).enlargement == 4
    assert "MIT" in licences_of(Project(recipe)).data
    assert facts_of(Project(load_recipe("maps"))).enlargement is None
    assert faces("data.test_size=0", "data.scale=2", "family.scale=2").input_size == (48, 48)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["data.scale=2"], "srresnet, which enlarges 4 times; targets of data superres are 2"),
        (["data.test_size=250"], "test_size=250: found 250; multiples of the scale, 4, are"),
        (["data.crop_size=98"], "found 98; multiples of the scale, 4, are allowed"),
        (["data.load_size=200"], "found 200; at least 256, the crop, or 0"),
        (["data.filter=cubic"], "one of nearest, box, bilinear, hamming, bicubic, lanczos; did"),
        (["data.scale=3"], "data.scale=3: found 3; "),
        (["task.pixel_share=1.5"], "pixel_share=1.5: found 1.5"),
        (["data={name: maps}"], "found maps, pairs; task superres takes superres"),
        (["task={name: pix2pix}"], "found superres, superres; task pix2pix takes pairs"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(changes: list[str], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        faces(*changes)


@pytest.mark.parametrize(
    ("name", "is_allowed"),
    [
        ("maps", True),
        ("gaugan-maps", True),
        ("srgan-maps", True),
        ("cyclegan-maps", True),
        ("horse2zebra", False),
    ],
)
def test_pixels_are_a_score_where_answers_are_known(name: str, is_allowed: bool) -> None:
    change = ["search.objective=psnr"]
    if is_allowed:
        assert load_recipe(name, change).search.objective == "psnr"
        return
    with pytest.raises(RecipeError, match="psnr; data unpaired has no true answers, fd and"):
        load_recipe(name, change)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    for i in range(9):
        save(tmp_path / "photos" / f"{i}.png", noise(34, 33, seed=i))
    sizes = "crop_size: 32, search_fraction: 0.3, test_fraction: 0.3"
    data = f"data={{name: superres, folder: {tmp_path / 'photos'}, {sizes}}}"
    return load_recipe("srgan-maps", [data, f"run={tmp_path / 'run'}"])


def test_the_table_gets_a_row_for_bicubic_enlarging(small: Recipe) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    judge = evaluator_of(Project(small), "test", final=True)
    (row,) = reference_rows(Project(small), judge)
    figures: dict[str, Any] = {figure.label: figure.value for figure in row.figures}
    assert (row.name, row.params, row.macs_true) == ("bicubic", 0, 0)
    batch = Project(small).dataset.batch("test", range(3), None)
    wrong = (Bicubic(4)(batch["input"]) - batch["target"]).square().mean((1, 2, 3))
    assert figures["PSNR"] == pytest.approx(float((10 * (4 / wrong).log10()).mean()), rel=1e-5)
    assert {"PSNR", "SSIM", "MS-SSIM", "L1"} <= set(figures)
    assert references_of(Project(load_recipe("maps"))) == {}


def test_task_and_discriminator_are_of_the_training_crops() -> None:
    recipe = faces("task.discriminator_width=2")
    task = Project(recipe).task
    assert task.discriminator_inputs() == {"discriminator": (1, 3, 96, 96)}
    assert task.discriminators()["discriminator"](torch.zeros(2, 3, 96, 96)).shape == (2, 1)
