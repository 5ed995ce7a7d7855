"""Data sets: inputs and target images, in the splits train, search and test."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.data.dataset import SPLITS, Batch, Dataset, Split
from gancompress.data.domains import DomainImages
from gancompress.data.mapdomains import MapDomains
from gancompress.data.maps import MapTiles
from gancompress.data.pairs import PairFolders

DATASETS: dict[str, Callable[..., Dataset]] = {
    "maps": MapTiles,
    "pairs": PairFolders,
    "map-domains": MapDomains,
    "domains": DomainImages,
}

__all__ = [
    "DATASETS",
    "SPLITS",
    "Batch",
    "Dataset",
    "DomainImages",
    "MapDomains",
    "MapTiles",
    "PairFolders",
    "Split",
]
