"""World maps without pairs: relief of one half of the ground, photographs of the other."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.images import to_tensor
from gancompress.data.mapsoptions import MapsUnpairedOptions
from gancompress.data.regions import HALVES, Area
from gancompress.data.unpaired import partners
from gancompress.data.worldset import WorldSet

_RELIEF, _PHOTOGRAPH = 0, 1  # places among the maps


class UnpairedMaps(WorldSet):
    """Tiles of the relief map `source`, and of the photograph of other ground.

    The blocks of the training split are in two halves, `regions.HALVES`: the relief is cut from
    the one and the photographs from the other, so that no ground is ever seen in both. With a
    generator any photograph tile is equally likely, otherwise they are spread evenly.

    In the search and test splits "target" is the same tile of the photograph, the true answer:
    evaluation compares with it pixel by pixel, so `paired` is true. Training has no ground truth.
    For tiles, splits and the other arguments see `tiles.WorldTiles`.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)

    def __init__(self, options: MapsUnpairedOptions) -> None:
        self.options = options
        areas: tuple[Area, ...] = (*SPLITS, "train-relief", "train-photograph")
        super().__init__(options, (options.source,), areas)

    def count(self, split: Split) -> int:
        """Number of grid tiles of the relief; neighbours overlap by half."""
        return self._tiles.count("train-relief" if split == "train" else split)

    @property
    def mark(self) -> str:
        """See `WorldSet.mark`."""
        return f"unpaired {json.dumps(HALVES)}"

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
