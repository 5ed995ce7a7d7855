"""Files of more than 8 bits a value: told from 8-bit ones, and scaled by one rule for all files.

What is white in such a file is not written in it: a camera's 12 bits come in files of 16. A data
set says it once, as `max_value`; no file is scaled by what it happens to hold. Without it white is
65535, and a file that leaves the upper half of that range empty is refused, not made nearly black.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from gancompress.data.formats import is_lossless
from gancompress.errors import DataError

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
DEEP_MODES = (*SIXTEEN_BIT, "I", "F")
_WHITE = 65535  # in a file of 16 bits
_SET = "set data.max_value, or --max-value of apply,"


@dataclass(frozen=True)
class StoredForm:
    """How a file holds its values, which Pillow forgets once they are decoded.

    raw: Pillow's name of the layout in the file. scale: the value that stands for white by the
    file's own header (PNM alone says it), 0 where it says nothing.
    """

    format: str
    raw: str
    scale: int
    is_lossless: bool

    @classmethod
    def of(cls, image: ImageFile.ImageFile, file: BinaryIO) -> StoredForm:
        """Of an image that was opened from `file` and is not decoded yet."""
        codec, args = (image.tile[0][0], image.tile[0][3]) if image.tile else ("", None)
        listed: tuple[Any, ...] = args if isinstance(args, tuple) else (args,)
        is_scaled = codec in ("ppm", "ppm_plain") and isinstance(listed[-1], int)
        return cls(
            format=image.format or "",
            raw=listed[0] if listed and isinstance(listed[0], str) else "",
            scale=listed[-1] if is_scaled else 0,
            is_lossless=is_lossless(image, file),
        )

    @property
    def is_deep_colour(self) -> bool:
        """Whether Pillow keeps 8 bits of each of the file's 16: it does so of colours."""
        return ";16" in self.raw or (self.scale == _WHITE and self.raw in ("RGB", "RGBA"))

    @property
    def says_white(self) -> bool:
        """Whether the header says which value is white, by which Pillow has scaled then."""
        return self.scale not in (0, 255, _WHITE)


def eight_bits(
    values: npt.NDArray[Any], stored: StoredForm, max_value: float | None, path: Path
) -> npt.NDArray[np.uint8]:
    """(H, W) of 16 or 32 bits a value, or floats, with `max_value` at 255.

    Raises: DataError naming the file if its values are not in 0 to `max_value`, or, without it, if
    what is white cannot be known.
    """
    top = values.max()
    if stored.says_white:
        max_value = _WHITE
    if max_value is None:
        if not (values.dtype.itemsize == 2 or ";16" in stored.raw or stored.scale):
            kind = "floats" if values.dtype.kind == "f" else "32-bit values"
            raise DataError(
                f"{path}: holds {kind}, up to {top:g}, whose white is not known; {_SET} to the "
                "value that is white"
            )
        max_value = _WHITE
        if 0 < top <= _WHITE // 2:
            raise DataError(_too_dark(path, f"16-bit values of at most {top}", int(top)))
    if not (values.min() >= 0 and top <= max_value):  # refuses NaN, too
        found = values.min() if values.min() < 0 else top
        raise DataError(
            f"{path}: holds the value {found:g}; 0 to max_value, {max_value:g}, is allowed"
        )
    return np.floor(values.astype(np.float64) * 255 / max_value + 0.5).astype(np.uint8)


def check_high_bytes(high: npt.NDArray[np.uint8], max_value: float | None, path: Path) -> None:
    """Refuses 16-bit colours of which too little is left; `high`: their upper 8 bits.

    Raises: DataError naming the file.
    """
    top = int(high.max())
    if max_value not in (None, _WHITE):
        raise DataError(
            f"{path}: 16-bit colours, of which Pillow reads the upper 8 bits alone; max_value "
            f"{max_value:g} cannot be kept, save it as 8-bit colours"
        )
    if max_value is None and top < 128:
        found = f"16-bit colours of at most {256 * top + 255}, of which Pillow reads the upper 8"
        raise DataError(
            f"{path}: {found} bits alone; save it as 8-bit colours, or {_SET} to {_WHITE} if it is "
            "that dark"
        )


def _too_dark(path: Path, found: str, top: int) -> str:
    bits = max(8, top.bit_length())
    return (
        f"{path}: {found}, which would be nearly black as such; {_SET} to the value that is white: "
        f"{2**bits - 1} for {bits} bits, {_WHITE} if it is that dark"
    )
