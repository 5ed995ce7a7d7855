"""The recipe's section on the segmentation network, and the figures that it leads to."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colournets import COLOURS, NAMES, colour_net, maps, painted, torchscript
from images import save
from torch import Tensor, nn

from gancompress.errors import MetricError, RecipeError
from gancompress.metrics.classifiers import file_classifier
from gancompress.metrics.filenets import FileNet
from gancompress.metrics.options import (
    CITYSCAPES_CLASSES,
    ClassifierOptions,
    FileNetOptions,
    SegmentationOptions,
)
from gancompress.metrics.segnets import SegmentationNet
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.stagesections import STAGE_SECTIONS, stage_sections


@pytest.fixture
def recipe_of(tmp_path: Path):
    """A recipe over ten label images in a folder, with more of metrics.segmentation."""
    for number, classes in enumerate(maps(10, size=(16, 16)).numpy().astype(np.uint8)):
        save(tmp_path / "labels" / f"{number}.png", classes[..., None])
        shown = (COLOURS.numpy()[classes] + 1) * 127.5
        save(tmp_path / "images" / f"{number}.png", shown.astype(np.uint8))
    path = tmp_path / "labels.yaml"
    path.write_text(
        f"""
data: {{name: labelmaps, layout: folders, classes: 5, class_names: {list(NAMES)},
       label_folder: {tmp_path}/labels, image_folder: {tmp_path}/images,
       load_size: 16, crop_size: 16, flip: false,
       test_fraction: 0.3, search_fraction: 0.3}}
family: {{name: resnet}}
task: {{name: pix2pix}}
teacher: {{steps: 1}}
space: {{widths: [8]}}
supernet: {{steps: 1}}
search: {{reduction: 2}}
device: cpu
metrics: {{features: effnet-lite0}}
"""
    )

    def made(segmentation: str):
        return load_recipe(str(path), [f"metrics.segmentation={segmentation}"])

    return made


def test_recipe_names_the_network_of_the_final_figures(recipe_of, tmp_path: Path) -> None:
    file = torchscript(colour_net(6), tmp_path / "net.pt")
    classes = "{sky: 1, 0: 0, sea: 4}"
    recipe = recipe_of(
        f"{{file: {file}, kind: torchscript, range: minus-one-one, classes: {classes}}}"
    )

    def generate(x: Tensor) -> Tensor:
        return painted(x.argmax(1))

    project = Project(recipe, tmp_path / "run")
    found = evaluator_of(project, "test", final=True).score(generate)
    assert found["miou"].value == found["pixel-accuracy"].value == 100
    assert set(found["miou"].details) <= {"road", "sky", "sea"}
    assert "miou" not in evaluator_of(project, "search").score(generate)


def test_recipe_refuses_classes_that_the_data_lacks(recipe_of) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of("{file: x, kind: pt2, classes: {lava: 3, 5: 1, sky: 1}}")
    assert [line.partition("}}: ")[2] for line in str(caught.value).splitlines()] == [
        f"metrics.segmentation.classes.{name}: unknown class; names or 0 to 4 are allowed"
        for name in ("lava", "5")
    ]
    with pytest.raises(RecipeError, match="given; data maps has no label maps to compare with"):
        load_recipe("quickstart", ["metrics.segmentation={file: x, kind: pt2}"])


def test_network_of_the_final_figures_decides_the_export_alone(recipe_of) -> None:
    first, second = (recipe_of(f"{{file: {name}, kind: pt2}}") for name in ("x", "y"))
    same = {s: stage_sections(first, s) == stage_sections(second, s) for s in STAGE_SECTIONS}
    assert same.pop("export") is False and all(same.values()) and len(same) == 4


def test_further_figures_and_their_classifier_decide_the_export_alone(tmp_path: Path) -> None:
    plain, more = (load_recipe("quickstart", o) for o in ([], ["metrics.also=[swd, is]"]))
    named = load_recipe("quickstart", ["metrics.classifier={kind: effnet-lite0}"])
    for other in (more, named):
        same = {s: stage_sections(plain, s) == stage_sections(other, s) for s in STAGE_SECTIONS}
        assert same.pop("export") is False and all(same.values()) and len(same) == 4
    for stage in STAGE_SECTIONS:  # results from before these keys stay up to date
        assert not {"also", "classifier"} & {*stage_sections(plain, stage).get("metrics", {})}
    project = Project(more, tmp_path)
    assert evaluator_of(project, "search").metrics == ["l1", "fd", "kid", "depths"]
    plainly = evaluator_of(Project(plain, tmp_path), "test", final=True)
    assert plainly.metrics == ["l1", "fd", "kid", "depths"]
    final = evaluator_of(project, "test", final=True)
    assert final.metrics == ["l1", "fd", "kid", "depths", "swd", "is"]
    assert final.classifier is not None and final.classifier.label == "IS-EffNetLite0"


def test_named_metrics_come_in_place_of_the_final_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(load_recipe("quickstart"), tmp_path)
    judge = evaluator_of(project, "test", 8, final=True, metrics=["swd", "psnr"])
    assert judge.metrics == ["swd", "psnr"] and judge.features_identity == ""
    monkeypatch.setattr(project.dataset, "paired", False)
    with pytest.raises(MetricError, match="psnr compares each image with its own target; data"):
        evaluator_of(project, "test", 8, metrics=["swd", "psnr"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{kind: pt2}", "file: missing; kind pt2 needs it"),
        ("{kind: torchvision, file: x}", "architecture: missing; kind torchvision needs it"),
        ("{kind: effnet-lite0, size: 64}", "size: given; kind effnet-lite0 takes none"),
        ("{kind: resnet, file: x}", 'kind: found "resnet"; one of effnet-lite0, inception'),
        ("{kind: pt2, file: x, channels: 2}", "channels: found 2; 1 or 3 is allowed"),
    ],
)
def test_recipe_refuses_classifiers_that_make_no_sense(section: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("quickstart", [f"metrics.classifier={section}"])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{file: x, kind: torchvision}", "architecture: missing; kind torchvision needs it"),
        ("{file: x, kind: pt2, architecture: fcn_resnet50}", "architecture: given; kind pt2 takes"),
        ("{file: x, kind: pt2, mean: [0, 0, 0]}", "std: missing; mean needs it"),
        ("{file: x, kind: pt2, std: [1, 1, 0]}", "std.2: found 0; above 0 is allowed"),
        (
            "{file: x, kind: pt2, mean: [0, 0, 0], std: [1, 1, 1], range: imagenet}",
            "range: given beside mean or std; one of the two forms",
        ),
        ("{file: x, kind: pt2, classes: {}}", "classes: found {}; at least one class is needed"),
        ("{file: x, kind: pt2, sise: 3}", 'sise: unknown key; did you mean "size"'),
    ],
)
def test_recipe_refuses_sections_that_make_no_sense(recipe_of, section: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_of(section)


def test_cityscapes_shorthand_is_its_table_of_nineteen(recipe_of) -> None:
    ids = [int(number) for number in CITYSCAPES_CLASSES]
    assert sorted(CITYSCAPES_CLASSES.values()) == list(range(19))
    # cityscapesScripts' void classes: what is no label, and what is not judged.
    assert sorted(set(range(34)) - set(ids)) == [*range(7), 9, 10, 14, 15, 16, 18, 29, 30]
    with pytest.raises(RecipeError, match="classes.33: unknown class; names or 0 to 4"):
        recipe_of("{file: x, kind: pt2, classes: cityscapes}")


def table_of(names: Sequence[str], recipe: Any) -> Any:
    return recipe.metrics.segmentation.class_table(names)


def test_class_table_takes_names_before_numbers(recipe_of) -> None:
    plain = recipe_of("{file: x, kind: pt2}")
    assert table_of(NAMES, plain) == (0, 1, 2, 3, 4)
    named = recipe_of("{file: x, kind: pt2, classes: {sea: 0, 1: 7}}")
    assert table_of(NAMES, named) == (-1, 7, -1, -1, 0)
    assert table_of(("sea", "3", "1"), named) == (0, -1, 7)


def test_networks_from_files_take_none_of_their_options_fields() -> None:
    for made, options in (
        (SegmentationNet, SegmentationOptions),
        (file_classifier, ClassifierOptions),
        (FileNet, FileNetOptions),
    ):
        taken = inspect.signature(made).parameters.keys()
        assert "options" in taken and not taken & options.model_fields.keys(), made
        assert issubclass(options, FileNetOptions)


def test_a_classifier_s_file_is_opened_as_its_section_says(tmp_path: Path) -> None:
    file = torchscript(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "grey.pt")
    section = f"metrics.classifier={{file: {file}, kind: torchscript, range: minus-one-one}}"
    recipe = load_recipe("quickstart", [section, "device=cpu"])
    found = Project(recipe, tmp_path / "run").classifier
    images = torch.zeros(2, 3, 8, 8).fill_(0.5)
    levels = (images * 127.5 + 127.5).round() / 127.5 - 1
    assert found.label == "IS-grey"
    torch.testing.assert_close(found.scores(images), levels.mean((2, 3)))
