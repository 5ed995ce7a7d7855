"""World maps as pairs: a relief map is the input, a satellite photograph the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gancompress.data.dataset import Batch, Split
from gancompress.data.images import to_tensor
from gancompress.data.mapsoptions import MapsOptions
from gancompress.data.worldset import WorldSet


class MapTiles(WorldSet):
    """Tiles of the relief map `source`, "etopo1" or "shadedrelief", and of the photograph.

    For tiles, splits and the other arguments see `tiles.WorldTiles`.
    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)

    def __init__(self, options: MapsOptions) -> None:
        self.options = options
        super().__init__(options, (options.source,))

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, 3, size, size) in [-1, 1]; see `Dataset.batch`."""
        windows = self._tiles.windows(split, indices, rng)
        return {
            key: to_tensor(self._tiles.cut([side] * len(indices), *windows))
            for side, key in enumerate(("input", "target"))
        }
