"""The recipe's models: defaults, bounds, what decides which stage."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from gancompress.recipe.recipe import Recipe
from gancompress.recipe.schema import json_schema
from gancompress.recipe.stagesections import STAGE_SECTIONS, stage_sections

SMALLEST: dict[str, Any] = {
    "name": "x",
    "data": {"name": "maps"},
    "family": {"name": "resnet"},
    "task": {"name": "pix2pix"},
    "teacher": {"steps": 5},
    "space": {"widths": [16, 8]},
    "supernet": {"steps": 7},
    "search": {"reduction": 8},
}
PAIRS = {"name": "pairs", "folder": "here"}
STARGAN = {"task": {"name": "stargan"}, "data": {"name": "map-domains", "size": 64}}


def recipe(**changes: Any) -> Recipe:
    """The smallest recipe, with `section__key=value` or `section=value` changed."""
    raw = copy.deepcopy(SMALLEST)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            raw.setdefault(section, {})[key] = value
        else:
            raw[section] = copy.deepcopy(value)
    return Recipe.model_validate(raw)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for part in get_args(field.annotation) or (field.annotation,):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part)


def test_the_smallest_recipe_has_the_defaults_of_the_literature() -> None:
    made = recipe()
    assert (made.teacher.lr, made.teacher.beta1, made.teacher.beta2) == (2e-4, 0.5, 0.999)
    assert (made.task.gan, made.task.lambda_l1, made.teacher.width) == ("hinge", 100.0, 64)
    assert made.supernet.losses == {"l1": 100.0, "features": 1.0, "gan": 1.0}
    assert made.space.ops == ("separable",) and made.space.bands == ((0.0, 0.0),)
    assert made.metrics.features == "inception"
    assert made.export.formats == ("safetensors", "pt2", "onnx")
    assert made.run_dir == Path("runs/x")
    assert recipe(run="elsewhere").run_dir == Path("elsewhere")


def test_every_key_of_every_section_says_what_it_means() -> None:
    silent = [
        f"{model.__name__}.{key}"
        for model in models(Recipe)
        for key, field in model.model_fields.items()
        if not field.description
    ]
    assert silent == []
    assert len(list(models(Recipe))) == 42


def test_recipes_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recipe().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"data__size": 66},
        {"data__size": 28},
        {"data__size": 260},
        {"data__min_land": 1.1},
        {"family__blocks": 0},
        {"family__blocks": 33},
        {"family__dropout": 0.95},
        {"teacher__steps": 0},
        {"teacher__steps": True},
        {"teacher__steps": "5"},
        {"teacher__lr": 0},
        {"teacher__lr": float("inf")},
        {"teacher__beta2": 1},
        {"teacher__ema": 1.0},
        {"supernet__losses": {}},
        {"supernet__losses": {"l1": 0}},
        {"supernet__losses": {"l1": -1}},
        {"supernet__losses": {"vgg": 1}},
        {"space": {}},
        {"space": {"preset": "channels-48", "widths": [8]}},
        {"space__widths": []},
        {"space__widths": {}},
        {"space__widths": [8, 8]},
        {"space__widths": {"stem": [8, 8]}},
        {"space__widths": [0]},
        {"space__ops": []},
        {"space__ops": ["dense", "dense"]},
        {"space__ops": {"stem": ["octave"]}},
        {"space__ops": {}},
        {"space__bands": []},
        {"space__bands": 0.5},
        {"space__bands": [0.5, [0.5, 0]]},
        {"space__bands": {"body": [0.5, 0.5]}},
        {"space__bands": [1.5]},
        {"space__bands": [[0.5, -0.25]]},
        {"space__bands": [[0.5, 0.25, 0.25]]},
        {"space__bands": ["0.5"]},
        {"space__bands": [True]},
        {"search": {}},
        {"search__budget_macs": 5},
        {"search__more_reductions": [0]},
        {"search__population": 1},
        {"export__formats": []},
        {"seed": -1},
        {"name": "../x"},
        {"name": ""},
        {"data": {"name": "pairs"}},
        {"data": {"name": "pairs", "folder": "a", "input_folder": "b"}},
        {"data": {"name": "pairs", "layout": "two-folders", "input_folder": "b"}},
        {"data": PAIRS | {"load_size": 200}},
        {"data": PAIRS | {"crop_size": [256, 300]}},
        {"data": PAIRS | {"crop_size": 250}},
        {"data": PAIRS | {"crop_size": [4, 4, 4]}},
        {"data": PAIRS | {"search_fraction": 0.5, "test_fraction": 0.5}},
        {"data": PAIRS | {"input_channels": 0}},
        {"task": {"name": "stargan"}},
        {"data": {"name": "map-domains"}},
        STARGAN | {"data": {"name": "map-domains", "size": 96}},
        STARGAN | {"task__discriminator_steps": 0},
        STARGAN | {"task__labels": "ordered"},
        STARGAN | {"task__discriminator_bands": [0, 0.25]},
        STARGAN | {"task__discriminator_bands": [0.75, 0.5]},
        STARGAN | {"task__discriminator_bands": [-0.25, 0]},
        STARGAN | {"task__discriminator_bands": [0.25]},
        STARGAN | {"task__discriminator_bands": [0.25, 0.25], "task__discriminator_layers": 3},
        STARGAN | {"task__discriminator_bands": [0.25, 0], "task__discriminator_layers": 1},
        {"extra": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"data__size": 32},
        {"data__size": 256},
        {"family__blocks": 32},
        {"teacher__lr": 1},
        {"supernet__losses": {"ssim": 1}},
        {"space": {"preset": "channels-64-pix2pix"}},
        {"space__widths": {"stem": [8, 16], "head": [8]}},
        {"space__ops": ["dense", "separable"]},
        {"space__ops": {"stem": ["dense"], "body": ["dense", "separable"]}},
        {"space__bands": [0, 0.5, [0.25, 0.25]]},
        {"space__bands": {"body": [0, 0.5], "down.1": [[0.5, 0.25]]}},
        {"search": {"budget_macs": 5, "reduction": None}},
        {"search__convention": True},
        {"search__more_reductions": [13, 38.5]},
        {"data": PAIRS | {"load_size": 256, "crop_size": [256, 128]}},
        {"data": {"name": "pairs", "layout": "two-folders", "input_folder": "a"}
         | {"target_folder": "b", "input_channels": 1}},
        {"data": PAIRS | {"folder": 2024}},
        STARGAN,
        STARGAN | {"data": {"name": "map-domains", "size": 96}, "task__discriminator_layers": 5},
        STARGAN | {"task__discriminator_bands": [0.125, 0.5], "task__discriminator_layers": 4},
        STARGAN | {"task__discriminator_bands": [1, 0], "task__discriminator_layers": 2},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_sense_is_taken(change: dict[str, Any]) -> None:
    assert recipe(**change).name == recipe().name


def test_what_is_wrong_between_data_and_task_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        recipe(data__size=100, task={"name": "stargan"})
    told = str(caught.value)
    assert "data.size: found [100, 100]; multiples of 64 are allowed with task stargan" in told
    assert "data.name: found maps, pairs; task stargan takes domains" in told
    with pytest.raises(ValidationError, match="task pix2pix takes pairs or label maps"):
        recipe(data={"name": "map-domains"})
    munit = {"data": {"name": "maps-unpaired"}, "task": {"name": "munit"}}
    with pytest.raises(ValidationError, match="family.name: found resnet; task munit takes munit"):
        recipe(**munit)
    with pytest.raises(ValidationError, match="family.style: found 8; task pix2pix has no styles"):
        recipe(family={"name": "munit"})


def test_style_planes_are_channels_of_the_generator_alone() -> None:
    munit = {"data": {"name": "maps-unpaired"}, "task": {"name": "munit"}}
    made = recipe(**munit, family={"name": "munit", "style": 5})
    assert (made.channels, made.data.channels) == ((8, 3), (3, 3))


def test_one_number_is_a_square_size() -> None:
    data = recipe(data=PAIRS | {"load_size": 300, "crop_size": [128, 256]}).data
    assert data.name == "pairs"
    assert data.load_size == (300, 300)
    assert data.image_size == (128, 256)
    assert data.channels == (3, 3)
    assert recipe(data__size=96).data.image_size == (96, 96)


@pytest.mark.parametrize("stage", STAGE_SECTIONS)
@pytest.mark.parametrize(
    "change",
    [
        {"name": "y"},
        {"run": "there"},
        {"device": "cpu"},
        {"precision": "bf16"},
        {"threads": 2},
        {"workers": 3},
        {"tensorboard": True},
        {"on_unhealthy": "stop"},
        {"data": PAIRS | {"cache_mb": 5}},
    ],
    ids=str,
)
def test_no_stage_depends_on_where_and_how_it_runs(stage: str, change: dict[str, Any]) -> None:
    plain = recipe(**({"data": PAIRS} if "data" in change else {}))
    assert stage_sections(recipe(**change), stage) == stage_sections(plain, stage)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"seed": 1}, "teacher"),
        ({"data__size": 96}, "teacher"),
        ({"family__blocks": 3}, "teacher"),
        ({"task__gan": "lsgan"}, "teacher"),
        ({"teacher__lr": 1e-3}, "teacher"),
        ({"space__widths": [16]}, "supernet"),
        ({"supernet__steps": 8}, "supernet"),
        ({"supernet__discriminator_every": 3}, "supernet"),
        ({"metrics__features": "effnet-lite0"}, "search"),
        ({"search__reduction": 9}, "search"),
        ({"export__images": 1}, "export"),
    ],
    ids=str,
)
def test_a_section_decides_its_stage_and_the_later_ones(change: dict[str, Any], first: str) -> None:
    stages = list(STAGE_SECTIONS)
    differs = [
        stage_sections(recipe(**change), stage) != stage_sections(recipe(), stage)
        for stage in stages
    ]
    assert differs == [i >= stages.index(first) for i in range(len(stages))]


def test_every_section_decides_a_stage_or_none() -> None:
    named = {name for names in STAGE_SECTIONS.values() for name in names}
    free = {"name", "run", "device", "threads", "workers", "save_seconds", "tensorboard"}
    free |= {"on_unhealthy", "precision"}
    assert set(Recipe.model_fields) - named == free


def test_keys_that_older_versions_had_not_are_left_out_at_their_defaults() -> None:
    """A run that such a version began goes on: its records name none of them."""
    found = stage_sections(recipe(), "finetune")
    assert {"kept_answers", "discriminator_every"}.isdisjoint(found["supernet"])
    assert "losses" not in found["finetune"] and "losses" in found["supernet"]


def test_the_schema_for_editors_knows_kinds_and_bounds() -> None:
    schema = json_schema()
    assert "name" not in schema["required"]
    assert schema["properties"]["data"]["discriminator"]["propertyName"] == "name"
    maps = schema["$defs"]["MapsOptions"]["properties"]["size"]
    assert (maps["minimum"], maps["maximum"], maps["multipleOf"]) == (32, 256, 4)
    assert schema["$defs"]["TeacherSection"]["additionalProperties"] is False
    text = json.dumps(schema)
    assert schema["$defs"]["TeacherSection"]["properties"]["steps"]["minimum"] == 1
    assert not {word for word in ("ge", "gt", "le", "lt") if f'"{word}":' in text}
    assert schema["$defs"]["OwnOptions"]["required"] == ["file"]
