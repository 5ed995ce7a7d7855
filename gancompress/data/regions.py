"""Which ground of a world map belongs to which split, so that none is in two of them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from gancompress.data.dataset import Split

Mask = npt.NDArray[np.bool_]
Half = Literal["train-relief", "train-photograph"]
Area = Split | Half  # a half is a part of the training split

# Blocks of 30 by 30 degrees, from 90 N down and from 180 W on: s search, t test, the others train.
# Drawn once from random tables in which search and test never touch, each has about 16 % of the
# land and a part in every zone of latitude, and ice, desert and forest have the same fraction
# of each split's land to 3 %. South of 60 S (x) nothing is used: that ice sheet is plain white, and
# would be a quarter of all tiles.
REGIONS = (
    ".ss..tt.t..t",
    "...s......tt",
    "...s.s.t....",
    ".......t.ss.",
    "....t....s..",
    "xxxxxxxxxxxx",
)
# The same blocks with those of training in two halves, r and p, for sets without pairs. Found by
# annealing over such tables: of 2065 tiles of 64 pixels the halves have 985 and 996 (the others
# lie on both), and ice, desert and forest have the same fraction of each half's land to 1 %.
HALVES = (
    "rssprttrtppt",
    "rrrsrppppptt",
    "pprsrsrtrppp",
    "rpprrprtpssr",
    "rrrrtprrpsrp",
    "xxxxxxxxxxxx",
)
_LETTERS: dict[Split, str] = {"train": ".", "search": "s", "test": "t"}
_HALF_LETTERS: dict[Half, str] = {"train-relief": "r", "train-photograph": "p"}
# Pixels between training and any other region: 240 km at the equator. Not a fraction of the tile:
# how far ground resembles ground does not depend on it, and half of 256 would leave 18 training
# tiles.
MARGIN = 32


def inside(area: Area, height: int, width: int, size: int) -> Mask:
    """Whether each window touches blocks of the area alone: (H - size + 1, W - size + 1).

    Training windows are grown by the margin first; those of a half touch no pixel of the other's.
    """
    if area == "train-relief" or area == "train-photograph":
        half = _touches_only(HALVES, _HALF_LETTERS[area], (height, width), size, margin=0)
        return half & inside("train", height, width, size)
    margin = MARGIN if area == "train" else 0
    return _touches_only(REGIONS, _LETTERS[area], (height, width), size, margin)


def _touches_only(
    table: tuple[str, ...], letter: str, shape: tuple[int, int], size: int, margin: int
) -> Mask:
    """For each window grown by `margin`; east and west meet at the date line."""
    height, width = shape
    foreign = np.array([[block != letter for block in row] for row in table])
    rows, columns = foreign.shape
    around = np.pad(foreign, ((0, 0), (1, 1)), mode="wrap")
    total = np.pad(around.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0))).astype(np.int16)
    top = np.arange(height - size + 1) - margin
    left = np.arange(width - size + 1) - margin
    bottom, right = top + size + 2 * margin - 1, left + size + 2 * margin - 1
    y0 = top.clip(min=0) * rows // height  # first row of blocks touched, ...
    y1 = bottom.clip(max=height - 1) * rows // height + 1  # ... and the one after the last
    x0, x1 = left * columns // width + 1, right * columns // width + 2  # + 1 for the padding
    counts = total[np.ix_(y1, x1)] - total[np.ix_(y0, x1)]
    counts -= total[np.ix_(y1, x0)] - total[np.ix_(y0, x0)]
    return counts == 0
