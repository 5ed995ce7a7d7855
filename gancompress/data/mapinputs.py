"""The built-in satellite photograph as inputs alone, which a trained generator answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gancompress.data.dataset import Batch, Split
from gancompress.data.images import to_tensor
from gancompress.data.mapsoptions import MapsInputsOptions
from gancompress.data.worldset import WorldSet


class MapInputs(WorldSet):
    """Tiles of the satellite photograph.

    For tiles, splits and the other arguments see `tiles.WorldTiles`.
    Raises: DataError where the map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)

    def __init__(self, options: MapsInputsOptions) -> None:
        self.options = options
        super().__init__(options, ())

    @property
    def mark(self) -> str:
        """See `WorldSet.mark`."""
        return "inputs"

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input"}`, (N, 3, size, size) in [-1, 1]; see `Dataset.batch`."""
        windows = self._tiles.windows(split, indices, rng)
        return {"input": to_tensor(self._tiles.cut([0] * len(indices), *windows))}
