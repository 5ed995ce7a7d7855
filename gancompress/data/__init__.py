"""Data sets: pairs of an input and a target image, in the splits train, search and test."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.data.dataset import SPLITS, Batch, Dataset, Split
from gancompress.data.maps import MapTiles
from gancompress.data.pairs import PairFolders

DATASETS: dict[str, Callable[..., Dataset]] = {
    "maps": MapTiles,
    "pairs": PairFolders,
}

__all__ = ["DATASETS", "SPLITS", "Batch", "Dataset", "MapTiles", "PairFolders", "Split"]
