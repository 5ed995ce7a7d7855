"""World maps as three domains of the same ground: two relief maps and a satellite photograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gancompress.data.dataset import SPLITS, Batch, Split
from gancompress.data.labels import Rows, labelled_batch
from gancompress.data.mapsoptions import MapDomainsOptions
from gancompress.data.tiles import PHOTOGRAPH, RELIEFS
from gancompress.data.worldset import WorldSet

_SEED = 0  # The seed of the targets that evaluation uses, which are always the same.


class MapDomains(WorldSet):
    """Every tile of every map as a source, another map's label asked for.

    "target" is the same tile of the map that is asked for, the true answer: evaluation compares
    with it pixel by pixel. The StarGAN task trains without it, as on unpaired images. With a
    generator either other map is equally likely; in evaluation each of the six ordered pairs of
    maps comes equally often (to one tile). For tiles, splits and arguments see `tiles.WorldTiles`.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    domains: tuple[str, ...] = (*RELIEFS, PHOTOGRAPH)
    channels = (3 + len(domains), 3)

    def __init__(self, options: MapDomainsOptions) -> None:
        self.options = options
        super().__init__(options, RELIEFS)
        # Seeded, not every second one: an even spread over part of a split must meet both.
        self._turns: dict[Split, Rows] = {
            split: np.random.default_rng(_SEED).permutation(self._tiles.count(split)) % 2
            for split in SPLITS
        }

    def count(self, split: Split) -> int:
        """Three times the number of grid tiles: all tiles of the first map, then of the second."""
        return len(self.domains) * self._tiles.count(split)

    @property
    def mark(self) -> str:
        """See `WorldSet.mark`."""
        return "domains"

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "labels", "target"}` of `labels.labelled_batch`; see `Dataset.batch`."""
        sources, tiles = np.divmod(np.asarray(indices, np.intp), self._tiles.count(split))
        turns = self._turns[split][tiles] if rng is None else rng.integers(2, size=len(tiles))
        targets = (sources + 1 + turns) % len(self.domains)
        windows = self._tiles.windows(split, tiles.tolist(), rng)
        images, others = (self._tiles.cut(m.tolist(), *windows) for m in (sources, targets))
        one_hot = np.eye(len(self.domains), dtype=bool)
        return labelled_batch(images, others, one_hot[sources], one_hot[targets])
