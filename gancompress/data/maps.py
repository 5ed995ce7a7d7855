"""World maps as pairs: a relief map is the input, a satellite photograph the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.images import shown_part, to_tensor
from gancompress.data.mapsoptions import MapsOptions
from gancompress.data.origin import Origin
from gancompress.data.tiles import WorldTiles


class MapTiles:
    """Tiles of the relief map `source`, "etopo1" or "shadedrelief", and of the photograph.

    For tiles, splits and the other arguments see `tiles.WorldTiles`.
    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)
    paired = True

    def __init__(self, options: MapsOptions) -> None:
        self.options = options
        self._tiles = WorldTiles(
            (options.source,), options.size, options.min_land, options.flip, options.folder
        )

    def count(self, split: Split) -> int:
        """Number of grid tiles of the split; neighbours overlap by half."""
        return self._tiles.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, each (N, 3, size, size) in [-1, 1]; see `Dataset.batch`."""
        windows = self._tiles.windows(split, indices, rng)
        return {
            key: to_tensor(self._tiles.cut([side] * len(indices), *windows))
            for side, key in enumerate(("input", "target"))
        }

    @property
    def origin(self) -> Origin:
        """The map files; see `Origin`."""
        return self._tiles.origin({split: self.count(split) for split in SPLITS})

    def content_hash(self, split: Split) -> str:
        """Digest of the map files and of the settings that decide the split's tiles."""
        return self._tiles.content_hash(split)

    def shown(self, inputs: Tensor) -> Tensor:
        """The relief map itself; see `Dataset.shown`."""
        return shown_part(inputs)
