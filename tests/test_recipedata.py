"""The data sets of a recipe: what each kind admits, and what it says of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from images import save_attributes, save_domains
from pydantic import TypeAdapter, ValidationError

from gancompress.data import DATASETS, DomainImages, MapDomains
from gancompress.recipedata import Data, MapDomainsData

MOODS: dict[str, Any] = {"name": "domains", "folder": "here", "domains": ["angry", "happy", "sad"]}
PEOPLE: dict[str, Any] = {
    "name": "domains", "layout": "attributes", "folder": "here", "attribute_file": "list.txt",
    "attributes": ["Male", "Young"],
}  # fmt: skip


def data(raw: dict[str, Any]) -> Data:
    made: Data = TypeAdapter(Data).validate_python(raw)
    return made


def without(raw: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != key}


def test_labelled_data_tells_size_channels_and_names_of_the_planes() -> None:
    names = ("etopo1", "shadedrelief", "bmng")
    for raw, domains, size in (
        (MOODS, ("angry", "happy", "sad"), 128),
        (PEOPLE | {"size": 64}, ("Male", "Young"), 64),
        ({"name": "map-domains"}, names, 64),
    ):
        made = data(raw)
        assert made.domain_names == domains and made.labels is not None
        assert (made.channels, made.image_size) == ((3 + len(domains), 3), (size, size))
    for raw in ({"name": "maps"}, {"name": "pairs", "folder": "here"}):
        made = data(raw)
        assert (made.domain_names, made.labels, made.channels) == ((), None, (3, 3))


def test_recipe_and_data_set_agree_on_the_domains(tmp_path: Path) -> None:
    assert MapDomainsData.domain_names == MapDomains.domains
    save_domains(tmp_path / "moods", {"angry": 4, "happy": 4, "sad": 4})
    labels = [[i & 1, i >> 1 & 1] for i in range(60)]
    save_attributes(tmp_path / "people", tmp_path / "list.txt", ["Male", "Young"], labels)
    here = {"attribute_file": str(tmp_path / "list.txt"), "folder": str(tmp_path / "people")}
    for raw in (MOODS | {"folder": str(tmp_path / "moods")}, PEOPLE | here):
        made = data(raw)
        opened = DATASETS[made.name](**made.model_dump(exclude={"name"}))
        assert isinstance(opened, DomainImages)
        assert (opened.domains, opened.channels) == (made.domain_names, made.channels)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (without(MOODS, "folder"), "Field required"),
        (without(MOODS, "domains"), "domains: missing; layout folders needs it"),
        (MOODS | {"domains": ["sad"]}, r"domains: found \['sad'\]; at least two are allowed"),
        (MOODS | {"domains": ["sad", "sad"]}, "domains: found .*; different names are allowed"),
        (MOODS | {"attributes": ["a"]}, "attributes: given; layout folders takes domains alone"),
        (MOODS | {"attribute_file": "a"}, "attribute_file: given; layout folders takes domains"),
        (without(PEOPLE, "attributes"), "attributes: missing; layout attributes needs it"),
        (without(PEOPLE, "attribute_file"), "attribute_file: missing; layout attributes needs it"),
        (PEOPLE | {"attributes": ["a", "a"]}, "attributes: found .*; different names are allowed"),
        (PEOPLE | {"domains": ["a", "b"]}, "domains: given; layout attributes takes attribute_f"),
        (MOODS | {"crop": -1}, "greater than or equal to 0"),
        (MOODS | {"size": 126}, "multiple of 4"),
        (MOODS | {"search_fraction": 0.5, "test_fraction": 0.5}, "search_fraction: 1 with test_f"),
        ({"name": "map-domains", "size": 260}, "less than or equal to 256"),
        ({"name": "map-domains", "source": "etopo1"}, "Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_labelled_data_that_makes_no_sense_is_refused(raw: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        data(raw)


@pytest.mark.parametrize(
    "change",
    [{"attributes": ["Male"]}, {"crop": 178}, {"attributes": [1, 2]}, {"flip": False}],
    ids=str,
)
def test_labelled_data_that_makes_sense_is_taken(change: dict[str, Any]) -> None:
    assert data(PEOPLE | change).name == "domains"
