"""World maps as label maps: bands of depth and height in, a satellite photograph out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from torch import Tensor

from gancompress.data.dataset import Batch, Split
from gancompress.data.images import Pixels, to_tensor
from gancompress.data.labelchannels import label_channels, label_picture
from gancompress.data.mapsoptions import MapsLabelsOptions
from gancompress.data.tiles import LAKE, LAND, cut
from gancompress.data.worldset import WorldSet

_RELIEF, _PHOTOGRAPH = 0, 1  # places among the maps

# Class and picture colour, in the order of depth and height.
_CLASSES: dict[str, tuple[int, int, int]] = {
    "deep sea": (25, 60, 150),
    "slope": (70, 140, 210),
    "shelf": (170, 215, 240),
    "lake": (120, 60, 200),
    "lowland": (0, 100, 40),
    "plain": (130, 190, 100),
    "upland": (240, 225, 160),
    "hills": (215, 165, 85),
    "mountains": (150, 100, 40),
    "high mountains": (85, 50, 20),
    "high plateau": (140, 120, 150),
    "ice": (255, 255, 255),
}
CLASS_NAMES = tuple(_CLASSES)
_COLOURS = np.array(list(_CLASSES.values()), np.uint8)
# Tints of etopo1.jpg, relief shading averaged out: medians of its pixels by hue and saturation,
# and tints between those where a class has several.
_SEA_TINTS = {
    (19, 80, 208): "deep sea",
    (22, 140, 216): "deep sea",
    (75, 180, 226): "slope",
    (175, 217, 240): "shelf",
}
_LAND_TINTS = {
    (20, 120, 45): "lowland",
    (81, 174, 93): "lowland",
    (140, 200, 125): "plain",
    (190, 210, 147): "plain",
    (232, 204, 160): "upland",
    (215, 180, 125): "hills",
    (195, 155, 85): "hills",
    (165, 125, 45): "mountains",
    (120, 85, 15): "high mountains",
    (150, 130, 132): "high plateau",
    (225, 225, 225): "ice",
}
# What shading changes counts less than hue and saturation; without it, ice is a high plateau.
_BRIGHTNESS = 0.35
_RADIUS = 2  # pixels, of the mean over relief shading and of the median over specks
_BITS = 5  # Tints are looked up by so many bits of each channel: JPEG is no more exact.


class MapLabels(WorldSet):
    """Label maps made of etopo1 and the land-sea mask, with tiles of the photograph.

    The tints of the relief map are averaged over 5 by 5 pixels of the same kind, land or sea, which
    evens out its shading, and matched to the nearest of a table; a median of 5 by 5 takes specks
    away. The mask decides what is sea, lake or land, and its borders are the edge channel. (Without
    a mask file there are no lakes.) For tiles, splits and arguments see `tiles.WorldTiles`.

    Raises: DataError where a map is missing or damaged, or no tile of that size fits.
    """

    channels = (len(CLASS_NAMES) + 1, 3)
    class_names = CLASS_NAMES

    def __init__(self, options: MapsLabelsOptions) -> None:
        self.options = options
        super().__init__(options, ("etopo1",))
        self._classes = classes_of(self._tiles.map_at(_RELIEF), self._tiles.kinds)

    @property
    def mark(self) -> str:
        """See `WorldSet.mark`."""
        tints = [list(table.items()) for table in (_SEA_TINTS, _LAND_TINTS)]
        settings = json.dumps([CLASS_NAMES, tints, _BRIGHTNESS, _RADIUS, _BITS])
        return f"labels {settings}"

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        """`{"input", "target"}`: channels of 0 or 1 (N, 13, size, size), photographs in [-1, 1]."""
        windows, n, size = self._tiles.windows(split, indices, rng), len(indices), self._tiles.size
        classes = cut([self._classes] * n, size, *windows)  # (N, size, size)
        kinds = cut([self._tiles.kinds] * n, size, *windows)
        return {
            "input": label_channels(classes, len(CLASS_NAMES), kinds),
            "target": to_tensor(self._tiles.cut([_PHOTOGRAPH] * n, *windows)),
        }

    def shown(self, inputs: Tensor) -> Tensor:
        """The label map in its classes' colours, coasts dark; see `Dataset.shown`."""
        return label_picture(inputs, _COLOURS, has_edges=True)


def classes_of(relief: Pixels, kinds: Pixels) -> Pixels:
    """(H, W) places in `CLASS_NAMES` from etopo1 (H, W, 3) and sea, land and lake (H, W)."""
    is_land, is_lake = kinds == LAND, kinds == LAKE
    is_blue = relief[..., 2] > relief[..., 0]
    sea = _matched(relief, ~is_land & ~is_lake & is_blue, _SEA_TINTS)
    land = _matched(relief, is_land & ~is_blue, _LAND_TINTS)  # no blue that bled over the coast
    lake = np.uint8(CLASS_NAMES.index("lake"))
    return np.where(is_lake, lake, np.where(is_land, land, sea))


def _matched(
    relief: Pixels, used: npt.NDArray[np.bool_], tints: dict[tuple[int, int, int], str]
) -> Pixels:
    """(H, W) the class whose tint is nearest to the mean of the `used` pixels around each.

    Where none is used, the pixel itself counts. The classes go through a median filter, which
    takes them as ordered.
    """
    masked = np.dstack([relief * used[..., None], used * np.uint8(255)])  # (H, W, 4)
    box = ImageFilter.BoxBlur(_RADIUS)
    mean = np.asarray(Image.fromarray(masked).filter(box))
    share = mean[..., 3].astype(np.uint16)
    key = np.zeros(share.shape, np.int32)
    for channel in range(3):
        whole = mean[..., channel].astype(np.uint16) * np.uint16(255) // share.clip(min=1)
        value = np.where(share > 0, whole.clip(max=255), relief[..., channel])
        key = key << _BITS | value.astype(np.int32) >> (8 - _BITS)
    found = Image.fromarray(_nearest_tints(tints)[key])
    return np.asarray(found.filter(ImageFilter.MedianFilter(2 * _RADIUS + 1)))


def _nearest_tints(tints: dict[tuple[int, int, int], str]) -> Pixels:
    """(2 ** (3 * bits),) the class of every colour, by its leading bits."""
    step = 1 << (8 - _BITS)
    axis = np.arange(0, 256, step, dtype=np.float32) + step / 2
    colours = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    far = _appearance(colours) - _appearance(np.array(list(tints), np.float32))
    nearest = (far**2).sum(-1).argmin(1)
    return np.array([CLASS_NAMES.index(name) for name in tints.values()], np.uint8)[nearest]


def _appearance(colours: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(..., 3) hue and saturation as two differences over the largest channel, and that."""
    red, green, blue = np.moveaxis(colours, -1, 0)
    largest = colours.max(-1) + 1  # black is not far from dark gray
    parts = [(red - green) / largest, (green - blue) / largest, _BRIGHTNESS * largest / 255]
    return np.stack(parts, axis=-1)
