"""Data sets opened with some settings, of any types that a recipe takes."""

from __future__ import annotations

from typing import Any, TypeVar

from gancompress.data import DATASETS
from gancompress.data.dataoptions import DataOptions
from gancompress.data.domains import DomainImages
from gancompress.data.idximages import IdxImages
from gancompress.data.imagefolder import ImageFolder
from gancompress.data.inputs import InputFolder
from gancompress.data.inputsoptions import InputsOptions
from gancompress.data.labelmaps import LabelMaps
from gancompress.data.labelmapsoptions import LabelMapsOptions
from gancompress.data.mapdomains import MapDomains
from gancompress.data.mapinputs import MapInputs
from gancompress.data.maps import MapTiles
from gancompress.data.mapslabels import MapLabels
from gancompress.data.mapsoptions import (
    MapDomainsOptions,
    MapsInputsOptions,
    MapsLabelsOptions,
    MapsOptions,
    MapsSuperresOptions,
    MapsUnpairedOptions,
)
from gancompress.data.mapssuperres import SuperresMaps
from gancompress.data.mapsunpaired import UnpairedMaps
from gancompress.data.options import (
    DomainsOptions,
    IdxOptions,
    ImagesOptions,
    PairsOptions,
    UnpairedOptions,
)
from gancompress.data.origin import FromFiles
from gancompress.data.pairs import PairFolders
from gancompress.data.superres import SuperresFolder
from gancompress.data.superresoptions import SuperresFolderOptions
from gancompress.data.unpaired import UnpairedFolders

Made = TypeVar("Made", bound=DataOptions)


def _options(kind: type[Made], settings: dict[str, Any]) -> Made:
    """The options; parts of a megabyte, and tiles that recipes refuse, go in unchecked."""
    is_odd = {
        "cache_mb": isinstance(settings.get("cache_mb"), float),
        "size": kind.is_built_in and settings.get("size") == 16,
        "min_land": settings.get("min_land", 0) > 1,
    }
    odd = {key: settings.pop(key) for key, found in is_odd.items() if found}
    return kind.model_validate(settings).model_copy(update=odd)


def pair_folders(**settings: Any) -> PairFolders:
    return _options(PairsOptions, settings).open()


def unpaired_folders(**settings: Any) -> UnpairedFolders:
    return _options(UnpairedOptions, settings).open()


def input_folder(**settings: Any) -> InputFolder:
    return InputFolder(InputsOptions(**settings))


def image_folder(**settings: Any) -> ImageFolder:
    return _options(ImagesOptions, settings).open()


def label_maps(**settings: Any) -> LabelMaps:
    return _options(LabelMapsOptions, settings).open()


def domain_images(**settings: Any) -> DomainImages:
    return _options(DomainsOptions, settings).open()


def superres_folder(**settings: Any) -> SuperresFolder:
    return _options(SuperresFolderOptions, settings).open()


def idx_images(**settings: Any) -> IdxImages:
    return _options(IdxOptions, settings).open()


def map_tiles(**settings: Any) -> MapTiles:
    return _options(MapsOptions, settings).open()


def map_domains(**settings: Any) -> MapDomains:
    return _options(MapDomainsOptions, settings).open()


def map_labels(**settings: Any) -> MapLabels:
    return _options(MapsLabelsOptions, settings).open()


def unpaired_maps(**settings: Any) -> UnpairedMaps:
    return _options(MapsUnpairedOptions, settings).open()


def map_inputs(**settings: Any) -> MapInputs:
    return _options(MapsInputsOptions, settings).open()


def superres_maps(**settings: Any) -> SuperresMaps:
    return _options(MapsSuperresOptions, settings).open()


def opened(name: str, **settings: Any) -> FromFiles:
    """The data set that a recipe chooses by `name`."""
    return DATASETS[name].model_validate(settings).open()
