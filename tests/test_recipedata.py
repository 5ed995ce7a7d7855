"""The data sets of a recipe: what each kind admits, and what it says of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from images import noise, save, save_attributes, save_domains
from pydantic import TypeAdapter, ValidationError

from gancompress.data import DATASETS
from gancompress.data.domains import DomainImages
from gancompress.data.labelmaps import LabelMaps
from gancompress.data.mapdomains import MapDomains
from gancompress.data.mapslabels import MapLabels
from gancompress.data.mapsoptions import MapDomainsOptions, MapsLabelsOptions
from gancompress.data.mapsunpaired import UnpairedMaps
from gancompress.recipe.recipe import Data

MOODS: dict[str, Any] = {"name": "domains", "folder": "here", "domains": ["angry", "happy", "sad"]}
PEOPLE: dict[str, Any] = {
    "name": "domains", "layout": "attributes", "folder": "here", "attribute_file": "list.txt",
    "attributes": ["Male", "Young"],
}  # fmt: skip
UNPAIRED: dict[str, Any] = {"name": "unpaired", "input_folder": "a", "target_folder": "b"}
LABELS: dict[str, Any] = {
    "name": "labelmaps", "label_folder": "a", "image_folder": "b", "classes": 3,
}  # fmt: skip
CITIES: dict[str, Any] = {"name": "labelmaps", "layout": "cityscapes", "folder": "here"}
STUFF: dict[str, Any] = {"name": "labelmaps", "layout": "coco-stuff", "folder": "here"}


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
    assert MapDomainsOptions.domain_names == MapDomains.domains
    save_domains(tmp_path / "moods", {"angry": 4, "happy": 4, "sad": 4})
    labels = [[i & 1, i >> 1 & 1] for i in range(60)]
    save_attributes(tmp_path / "people", tmp_path / "list.txt", ["Male", "Young"], labels)
    here = {"attribute_file": str(tmp_path / "list.txt"), "folder": str(tmp_path / "people")}
    for raw in (MOODS | {"folder": str(tmp_path / "moods")}, PEOPLE | here):
        made = data(raw)
        opened = made.open()
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
        (without(UNPAIRED, "input_folder"), "input_folder: missing; layout two-folders needs it"),
        (UNPAIRED | {"folder": "c"}, "folder: given; layout two-folders takes input_folder and ta"),
        (UNPAIRED | {"layout": "cyclegan"}, "folder: missing; layout cyclegan needs it"),
        (UNPAIRED | {"crop_size": 300}, r"crop_size: found \[300, 300\]; at most load_size, \[286"),
        (UNPAIRED | {"search_fraction": 0.5, "test_fraction": 0.5}, "search_fraction: 1 with test"),
        ({"name": "maps-unpaired", "source": "bmng"}, "'shadedrelief' or 'etopo1'"),
        ({"name": "maps-labels", "source": "etopo1"}, "Extra inputs are not permitted"),
        (without(LABELS, "classes"), "classes: missing or 0; 1 to 1000 are allowed"),
        (without(LABELS, "label_folder"), "label_folder: missing; layout folders needs it"),
        (LABELS | {"classes": 1001}, "less than or equal to 1000"),
        (LABELS | {"classes": "3"}, "valid integer"),
        (LABELS | {"class_names": ["a"]}, "class_names: found 1; one for each of 3 classes is all"),
        (LABELS | {"colours": [[1, 2, 3]]}, "colours: found 1; one for each of 3 classes is allo"),
        (LABELS | {"colours": [[1, 2, 256]] * 3}, "less than or equal to 255"),
        (LABELS | {"colours": [[1, 2, 3]] * 3, "colour_file": "c"}, "colour_file: given; with col"),
        (LABELS | {"unknown_class": True}, "unknown_class: found true; with unknown, an id, it"),
        (LABELS | {"unknown": 2}, "unknown: found 2, a class; at least classes, 3, is allowed"),
        (LABELS | {"crop_size": 300}, r"crop_size: found \[300, 300\]; at most load_size, \[286"),
        (LABELS | {"layout": ["folders"]}, "Input should be 'folders', 'cityscapes' or 'coco-st"),
        (CITIES | {"instance_folder": "c"}, "instance_folder: given; layout cityscapes takes fol"),
        (without(STUFF, "folder"), "folder: missing; layout coco-stuff needs it"),
    ],
)  # fmt: skip
def test_data_that_makes_no_sense_is_refused(raw: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        data(raw)


@pytest.mark.parametrize(
    "change",
    [{"attributes": ["Male"]}, {"crop": 178}, {"attributes": [1, 2]}, {"flip": False}],
    ids=str,
)
def test_labelled_data_that_makes_sense_is_taken(change: dict[str, Any]) -> None:
    assert data(PEOPLE | change).name == "domains"


@pytest.mark.parametrize(
    ("raw", "channels", "size"),
    [
        (LABELS, 3, (256, 256)),
        (LABELS | {"instance_folder": "c"}, 4, (256, 256)),
        (LABELS | {"instance_folder": "c", "edges": False}, 3, (256, 256)),
        (LABELS | {"unknown": 255, "crop_size": [64, 128]}, 3, (64, 128)),
        (LABELS | {"unknown": 255, "unknown_class": True}, 4, (256, 256)),
        (CITIES, 36, (256, 512)),  # as SPADE has it
        (CITIES | {"edges": False, "load_size": 300, "crop_size": 256}, 35, (256, 256)),
        (STUFF, 184, (256, 256)),  # as SPADE has it
        ({"name": "maps-labels"}, 13, (64, 64)),
    ],
)
def test_label_maps_tell_their_planes_and_size(
    raw: dict[str, Any], channels: int, size: tuple[int, int]
) -> None:
    made = data(raw)
    assert (made.label_channels, made.channels, made.image_size) == (channels, (channels, 3), size)
    assert (made.labels, made.domain_names) == (None, ())
    assert data({"name": made.name, **made.model_dump(mode="json", exclude={"name"})}) == made


def test_classes_have_the_names_given_or_known_or_numbers() -> None:
    assert data(LABELS).class_list == ("0", "1", "2")
    assert data(LABELS | {"class_names": ["sky", "sea", 3]}).class_list == ("sky", "sea", "3")
    cities = data(CITIES).class_list
    assert (len(cities), cities[7], cities[23], cities[26]) == (35, "road", "sky", "car")
    assert data(CITIES | {"classes": 34}).class_list[:2] == ("0", "1")
    assert MapsLabelsOptions.class_list == MapLabels.class_names
    for raw in ({"name": "maps"}, UNPAIRED, MOODS):
        assert (data(raw).class_list, data(raw).label_channels) == ((), 0)


def test_recipe_and_data_set_agree_on_planes_and_names(tmp_path: Path) -> None:
    for number in range(4):
        for kind in ("labels", "photos", "instances"):
            save(tmp_path / kind / f"{number}.png", noise(8, 8, 1) % 3)
    places = {"label_folder": tmp_path / "labels", "image_folder": tmp_path / "photos"}
    raw = LABELS | {key: str(place) for key, place in places.items()}
    raw |= {"instance_folder": str(tmp_path / "instances"), "load_size": 8, "crop_size": 8}
    for made in (data(raw), data(raw | {"unknown": 9, "unknown_class": True, "edges": False})):
        opened = made.open()
        assert isinstance(opened, LabelMaps)
        assert (opened.channels, opened.class_names) == (made.channels, made.class_list)
    assert data({"name": "maps-labels"}).channels == MapLabels.channels
    assert data({"name": "maps-unpaired"}).channels == UnpairedMaps.channels


def test_size_key_is_the_one_that_decides_the_image_size() -> None:
    raws = [
        MOODS, PEOPLE, UNPAIRED, LABELS, CITIES, {"name": "pairs", "folder": "here"},
        {"name": "images", "folder": "here"}, {"name": "idx", "images": "here"},
        *({"name": name} for name in ("maps", "map-domains", "maps-unpaired", "maps-labels")),
        {"name": "superres", "folder": "here"}, {"name": "maps-superres"}, {"name": "maps-inputs"},
        {"name": "inputs", "folder": "here"},
    ]  # fmt: skip
    assert {raw["name"] for raw in raws} == set(DATASETS)
    for raw in raws:
        assert data(raw | {data(raw).size_key: 128}).image_size == (128, 128)
