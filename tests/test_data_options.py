"""Data sets' options: each field stands once, and code asks them for what they are."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import opening
import pytest
from images import save_coded_worlds

from gancompress.data import DATASETS
from gancompress.data.dataoptions import DataOptions
from gancompress.data.mapsoptions import MapsSuperresOptions
from gancompress.data.options import ImagesOptions, PairsOptions
from gancompress.recipe.recipe import Data, Recipe

MAPS = {"maps", "map-domains", "maps-unpaired", "maps-labels", "maps-superres", "maps-inputs"}


@pytest.mark.parametrize("name", DATASETS)
def test_no_data_set_takes_a_field_of_its_options(name: str) -> None:
    options = DATASETS[name]
    made = getattr(opening, options.open.__annotations__["return"])
    taken = inspect.signature(made).parameters
    assert [*taken][0] == "options" and not taken.keys() & options.model_fields.keys()


def test_each_name_is_that_of_its_own_options_and_recipes_take_all() -> None:
    names = {name: made.model_fields["name"].default for name, made in DATASETS.items()}
    assert names == {name: name for name in DATASETS} and len(set(DATASETS.values())) == 14
    assert get_args(get_args(Data)[0]) == tuple(DATASETS.values())
    assert Recipe.model_fields["data"].discriminator == "name"


def test_the_built_in_maps_are_known_by_their_options_and_keep_them(tmp_path: Path) -> None:
    assert {name for name, made in DATASETS.items() if made.is_built_in} == MAPS
    assert {name for name, made in DATASETS.items() if made.licence} == MAPS
    save_coded_worlds(tmp_path, 768)
    for name in MAPS:
        made = DATASETS[name].model_validate({"name": name, "size": 32, "folder": str(tmp_path)})
        opened = made.model_copy(update={"min_land": 0.0}).open()
        assert opened.channels == made.channels and opened.paired


def test_one_default_stands_for_tiles_to_be_made_small() -> None:
    assert MapsSuperresOptions().size == 64


def test_what_is_newer_than_some_records_are_keys_with_defaults() -> None:
    for made in DATASETS.values():
        assert all(not made.model_fields[key].is_required() for key in made.newer)
    assert PairsOptions.newer == {"max_value", "background", "input_name", "target_name"}


def test_facts_of_files_are_those_that_are_given() -> None:
    assert ImagesOptions(folder="x").white_and_background == (None, None)
    given = ImagesOptions(folder="x", max_value=4095.0, background=(1, 2, 3))
    assert given.white_and_background == (4095.0, (1, 2, 3))


def test_options_that_open_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        DataOptions(name="none")  # type: ignore[abstract]
