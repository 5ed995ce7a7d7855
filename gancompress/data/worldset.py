"""What the data sets made of the built-in world maps have alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from torch import Tensor

from gancompress.data.dataoptions import WorldOptions
from gancompress.data.dataset import SPLITS, Split
from gancompress.data.images import shown_part
from gancompress.data.origin import Origin
from gancompress.data.regions import Area
from gancompress.data.tiles import WorldTiles


class WorldSet:
    """Tiles of world maps: each set has a `batch` of its own; for tiles see `tiles.WorldTiles`.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    paired = True

    def __init__(
        self, options: WorldOptions, reliefs: Sequence[str], areas: Sequence[Area] = SPLITS
    ) -> None:
        size, folder = options.size, options.folder
        self._tiles = WorldTiles(reliefs, size, options.min_land, options.flip, folder, areas)

    @property
    def mark(self) -> str:
        """What tells the set's hashes from those of the tiles; nothing if they are the same."""
        return ""

    def count(self, split: Split) -> int:
        """Number of grid tiles of the split; neighbours overlap by half."""
        return self._tiles.count(split)

    @property
    def origin(self) -> Origin:
        """The map files; see `Origin`."""
        return self._tiles.origin({split: self.count(split) for split in SPLITS})

    def content_hash(self, split: Split) -> str:
        """Digest of the map files and of the settings that decide the split's tiles."""
        tiles = self._tiles.content_hash(split)
        return hashlib.sha256(f"{self.mark} {tiles}".encode()).hexdigest() if self.mark else tiles

    def shown(self, inputs: Tensor) -> Tensor:
        """The images without channels behind them; see `Dataset.shown`."""
        return shown_part(inputs)
