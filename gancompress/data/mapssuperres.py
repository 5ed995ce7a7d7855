"""The built-in satellite photograph, made small as inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gancompress.data.dataset import Batch, Split
from gancompress.data.mapsoptions import MapsSuperresOptions
from gancompress.data.superres import shrunk_batch
from gancompress.data.worldset import WorldSet


class SuperresMaps(WorldSet):
    """Tiles of the satellite photograph, and the same 1/`scale` as large by `filter`.

    For tiles, splits and the other arguments see `tiles.WorldTiles`.
    Raises: DataError where the map is missing or damaged, or no tile of that size fits.
    """

    channels = (3, 3)

    def __init__(self, options: MapsSuperresOptions) -> None:
        self.options = options
        super().__init__(options, ())

    @property
    def mark(self) -> str:
        """See `WorldSet.mark`."""
        return f"superres {self.options.scale} {self.options.filter}"

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`, (N, 3, size / scale, size / scale) and (N, 3, size, size)."""
        windows = self._tiles.windows(split, indices, rng)
        return shrunk_batch(
            self._tiles.cut([0] * len(indices), *windows), self.options.scale, self.options.filter
        )
