"""World maps without pairs: relief of one half of the ground, photographs of the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.images import shown_part, to_tensor
from gancompress.data.mapsoptions import MapsUnpairedOptions
from gancompress.data.origin import Origin
from gancompress.data.regions import HALVES, Area
from gancompress.data.tiles import WorldTiles
from gancompress.data.unpaired import partners

_RELIEF, _PHOTOGRAPH = 0, 1  # places among the maps


class UnpairedMaps:
    """Tiles of the relief map `source`, and of the photograph of other ground.

    The blocks of the training split are in two halves, `regions.HALVES`: the relief is cut from
    the one and the photographs from the other, so that no ground is ever seen in both. With a
    generator any photograph tile is equally likely, otherwise they are spread evenly.

    In the search and test splits "target" is the same tile of the photograph, the true answer:
    evaluation compares with it pixel by pixel, so `paired` is true. Training has no such truth.
    For tiles, splits and the other arguments see `tiles.WorldTiles`.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)
    paired = True

    def __init__(self, options: MapsUnpairedOptions) -> None:
        self.options = options
        areas: tuple[Area, ...] = (*SPLITS, "train-relief", "train-photograph")
        self._tiles = WorldTiles(
            (options.source,), options.size, options.min_land, options.flip, options.folder, areas
        )

    def count(self, split: Split) -> int:
        """Number of grid tiles of the relief; neighbours overlap by half."""
        return self._tiles.count("train-relief" if split == "train" else split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, 3, size, size) in [-1, 1]; see `Dataset.batch`."""
        if split == "train":
            reliefs = self._tiles.windows("train-relief", indices, rng)
            rows = partners(indices, self.count(split), self._tiles.count("train-photograph"), rng)
            photographs = self._tiles.windows("train-photograph", rows, rng)
        else:
            reliefs = photographs = self._tiles.windows(split, indices, rng)
        n = len(indices)
        return {
            "input": to_tensor(self._tiles.cut([_RELIEF] * n, *reliefs)),
            "target": to_tensor(self._tiles.cut([_PHOTOGRAPH] * n, *photographs)),
        }

    @property
    def origin(self) -> Origin:
        """The map files; see `Origin`."""
        return self._tiles.origin({split: self.count(split) for split in SPLITS})

    def content_hash(self, split: Split) -> str:
        """Digest of the map files and of the settings that decide the split's tiles."""
        text = f"unpaired {json.dumps(HALVES)} {self._tiles.content_hash(split)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def shown(self, inputs: Tensor) -> Tensor:
        """The relief map itself; see `Dataset.shown`."""
        return shown_part(inputs)
