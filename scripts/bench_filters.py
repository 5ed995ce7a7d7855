"""python scripts/bench_filters.py: what each of Pillow's six filters costs, in one run.

Tiles of the built-in satellite photograph are made a quarter as large, on one thread, by turns,
best of the repeats: seconds on the wall for all of them. Times are of `data.superres.shrunk`, as
the data sets call it; the ratio is to "nearest".
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np

from gancompress.data.images import Pixels, to_tensor
from gancompress.data.superres import FILTERS, shrunk
from gancompress.data.tiles import WorldTiles
from gancompress.export.latency import time_ms, wall_seconds
from gancompress.export.report import aligned
from gancompress.nets.bicubic import Bicubic
from gancompress.turns import in_turns


def tiles_of(size: int, count: int) -> Pixels:
    """(N, size, size, 3) tiles of the training split, evenly spread over it."""
    tiles = WorldTiles((), size, 0.2, False, None)
    rows = np.linspace(0, tiles.count("train") - 1, count).astype(int).tolist()
    return tiles.cut([0] * count, *tiles.windows("train", rows, None))


def seconds(tiles: Pixels, scale: int, repeats: int) -> dict[str, float]:
    """The best time of each filter for all tiles; the filters take turns."""

    def all_shrunk(name: str) -> None:
        for tile in tiles:
            shrunk(tile, scale, name)

    calls = {name: partial(time_ms, partial(all_shrunk, name), wall_seconds) for name in FILTERS}
    rounds = list(in_turns(calls, repeats))
    return {name: min(times[name] for times in rounds) / 1e3 for name in FILTERS}


def psnr(tiles: Pixels, scale: int, name: str) -> float:
    """How near bicubic enlarging of the small tiles comes to the tiles, mean in dB."""
    small = np.stack([shrunk(tile, scale, name) for tile in tiles])
    wrong = Bicubic(scale)(to_tensor(small)) - to_tensor(tiles)
    return float((10 * (4 / wrong.square().mean((1, 2, 3))).log10()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="side of the tiles; default 256")
    parser.add_argument("--tiles", type=int, default=64, help="how many; default 64")
    parser.add_argument("--scale", type=int, default=4, help="times smaller; default 4")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each; default 9")
    given = parser.parse_args()
    tiles = tiles_of(given.size, given.tiles)
    found = seconds(tiles, given.scale, given.repeats)
    cells = [
        [
            name,
            f"{1e6 * found[name] / len(tiles):.0f}",
            f"{found[name] / found['nearest']:.1f}x",
            f"{psnr(tiles, given.scale, name):.2f}",
        ]
        for name in FILTERS
    ]
    titles = ["filter", "us a tile", "to nearest", "PSNR of bicubic back"]
    print("\n".join(aligned(titles, cells)))


if __name__ == "__main__":
    main()
