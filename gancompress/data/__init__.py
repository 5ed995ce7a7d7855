"""Data sets: inputs and target images, in the splits train, search and test."""

from __future__ import annotations

from gancompress.data.dataoptions import DataOptions
from gancompress.data.inputsoptions import InputsOptions
from gancompress.data.labelmapsoptions import LabelMapsOptions
from gancompress.data.mapsoptions import (
    MapDomainsOptions,
    MapsInputsOptions,
    MapsLabelsOptions,
    MapsOptions,
    MapsSuperresOptions,
    MapsUnpairedOptions,
)
from gancompress.data.options import (
    DomainsOptions,
    IdxOptions,
    ImagesOptions,
    PairsOptions,
    UnpairedOptions,
)
from gancompress.data.superresoptions import SuperresFolderOptions

# Adding a data set is its class, its options and a line here; recipes choose by these names. No
# torch: recipes are read without it.
DATASETS: dict[str, type[DataOptions]] = {
    "maps": MapsOptions,
    "pairs": PairsOptions,
    "map-domains": MapDomainsOptions,
    "domains": DomainsOptions,
    "unpaired": UnpairedOptions,
    "maps-unpaired": MapsUnpairedOptions,
    "labelmaps": LabelMapsOptions,
    "maps-labels": MapsLabelsOptions,
    "images": ImagesOptions,
    "idx": IdxOptions,
    "inputs": InputsOptions,
    "superres": SuperresFolderOptions,
    "maps-superres": MapsSuperresOptions,
    "maps-inputs": MapsInputsOptions,
}

__all__ = ["DATASETS"]
