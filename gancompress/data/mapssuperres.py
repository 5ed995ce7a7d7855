"""The built-in satellite photograph, made small as inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.images import shown_part
from gancompress.data.mapsoptions import MapsSuperresOptions
from gancompress.data.origin import Origin
from gancompress.data.superres import shrunk_batch
from gancompress.data.tiles import WorldTiles


class SuperresMaps:
    """Tiles of the satellite photograph, and the same 1/`scale` as large by `filter`.

    For tiles, splits and the other arguments see `tiles.WorldTiles`.
    Raises: DataError where the map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)
    paired = True

    def __init__(self, options: MapsSuperresOptions) -> None:
        self.options = options
        self._scale, self._filter = options.scale, options.filter
        self._tiles = WorldTiles((), options.size, options.min_land, options.flip, options.folder)

    def count(self, split: Split) -> int:
        """Number of grid tiles of the split; neighbours overlap by half."""
        return self._tiles.count(split)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, (N, 3, size / scale, size / scale) and (N, 3, size, size)."""
        windows = self._tiles.windows(split, indices, rng)
        return shrunk_batch(
            self._tiles.cut([0] * len(indices), *windows), self._scale, self._filter
        )

    @property
    def origin(self) -> Origin:
        """The map files; see `Origin`."""
        return self._tiles.origin({split: self.count(split) for split in SPLITS})

    def content_hash(self, split: Split) -> str:
        """Digest of the map files and of the settings that decide the split's images."""
        text = f"superres {self._scale} {self._filter} {self._tiles.content_hash(split)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def shown(self, inputs: Tensor) -> Tensor:
        """The small images themselves; see `Dataset.shown`."""
        return shown_part(inputs)
