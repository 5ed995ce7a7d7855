"""Data sets: inputs and target images, in the splits train, search and test."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.data.dataset import SPLITS, Batch, Dataset, Split
from gancompress.data.domains import DomainImages
from gancompress.data.idximages import IdxImages
from gancompress.data.imagefolder import ImageFolder
from gancompress.data.labelmaps import LabelMaps
from gancompress.data.mapdomains import MapDomains
from gancompress.data.maps import MapTiles
from gancompress.data.mapslabels import MapLabels
from gancompress.data.mapsunpaired import UnpairedMaps
from gancompress.data.origin import FromFiles
from gancompress.data.pairs import PairFolders
from gancompress.data.superres import SuperresFolder, SuperresMaps
from gancompress.data.unpaired import UnpairedFolders

DATASETS: dict[str, Callable[..., FromFiles]] = {
    "maps": MapTiles,
    "pairs": PairFolders,
    "map-domains": MapDomains,
    "domains": DomainImages,
    "unpaired": UnpairedFolders,
    "maps-unpaired": UnpairedMaps,
    "labelmaps": LabelMaps,
    "maps-labels": MapLabels,
    "images": ImageFolder,
    "idx": IdxImages,
    "superres": SuperresFolder,
    "maps-superres": SuperresMaps,
}

__all__ = [
    "DATASETS",
    "SPLITS",
    "Batch",
    "Dataset",
    "DomainImages",
    "FromFiles",
    "IdxImages",
    "ImageFolder",
    "LabelMaps",
    "MapDomains",
    "MapLabels",
    "MapTiles",
    "PairFolders",
    "Split",
    "SuperresFolder",
    "SuperresMaps",
    "UnpairedFolders",
    "UnpairedMaps",
]
