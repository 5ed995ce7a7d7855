"""The one place where image files are opened: regular files, known formats, bounded memory.

Whatever a decoder raises on a damaged file becomes one sentence with the file's name.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from gancompress.data.deep import StoredForm
from gancompress.data.formats import FORMATS
from gancompress.errors import DataError, GanCompressError
from gancompress.storage.regularfiles import open_regular

# Pillow warns without the file's name of what it then passes over: metadata that are cut off, and
# images of half the size that it refuses.
warnings.filterwarnings("ignore", module=r"PIL\.")

_REASON = 120  # characters of what a decoder says, which may quote the file
_HEADER = 10_000  # bytes of an .npy file's header, which names one type and some sides
# What brings an image upright, by the orientation that its EXIF says (Exif 2.32, tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The header that numpy writes: text of a dictionary, of which nothing is evaluated.
_FIELDS = re.compile(
    rb"\s*\{\s*'descr':\s*'([^']{1,20})'\s*,\s*'fortran_order':\s*(True|False)\s*,\s*"
    rb"'shape':\s*\(((?:\s*\d{1,18}L?\s*,?)*)\)\s*,?\s*\}\s*"
)


@contextmanager
def refused_by_name(path: Path | str) -> Iterator[None]:
    """Turns whatever reading a file raises inside into a DataError that names it."""
    try:
        yield
    except GanCompressError:
        raise
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: not an image that can be read; use PNG, JPEG or WebP") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{path}: has more pixels than Pillow's limit of {limit}; make the image smaller"
        ) from None
    except MemoryError:
        raise DataError(
            f"{path}: cannot be read (too little memory for it); make it smaller or take it away"
        ) from None
    except Exception as error:  # decoders raise what they like on a damaged file
        raise DataError(
            f"{path}: cannot be read ({_reason(error)}); replace it or take it away"
        ) from error


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(text.split())
    return (line if len(line) <= _REASON else f"{line[:_REASON]}…") or type(error).__name__


@contextmanager
def unlimited_pixels() -> Iterator[None]:
    """Lift Pillow's guard against decompression bombs, for files that are known to be large."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def open_image(path: Path, at_least: tuple[int, int] | None = None) -> Image.Image:
    """The fully decoded image, turned upright by its EXIF orientation.

    With `at_least` (width, height) a JPEG may come at 1/2, 1/4 or 1/8 of its size, no smaller than
    that: its high frequencies are left out while decoding, close to a box filter and faster.
    Raises: DataError naming the file if it is missing, no regular file, empty, truncated, an
    animation or no image.
    """
    return open_stored(path, at_least)[0]


def open_stored(
    path: Path, at_least: tuple[int, int] | None = None
) -> tuple[Image.Image, StoredForm]:
    """As `open_image`, and how the file holds its values. Raises: as `open_image`."""
    with refused_by_name(path), open_regular(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes); replace it or take it away")
        with Image.open(file, formats=FORMATS) as image:
            # Phones write a preview as the second frame of an MPO file: not an animation.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                raise DataError(
                    f"{path}: holds several images; save the one to use by itself, or take it away"
                )
            stored = StoredForm.of(image, file)
            if at_least is not None:
                image.draft(None, at_least)
            image.load()
            told = image.getexif().get(ExifTags.Base.Orientation)
            turn = _UPRIGHT.get(told) if isinstance(told, int) else None
            return image.copy() if turn is None else image.transpose(turn), stored


def sides_told(path: Path) -> tuple[int, int] | None:
    """Height and width by the file's header, as stored; None where it is none of an image's."""
    try:
        with (
            refused_by_name(path),
            open_regular(path) as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            return image.height, image.width
    except DataError:
        return None  # an .npy file, or one that is refused with a reason when it is read


def read_array(path: Path) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in an .npy file, of two or three axes. Raises: DataError."""
    with refused_by_name(path), open_regular(path) as file:
        dtype, is_fortran, shape = _array_header(file, path)
        if dtype != np.uint8 or len(shape) not in (2, 3) or 0 in shape:
            raise DataError(
                f"{path}: holds {dtype} of shape {shape}; "
                "uint8 of shape (height, width, channels) is needed"
            )
        count, there = math.prod(shape), os.fstat(file.fileno()).st_size - file.tell()
        if there < count:
            raise ValueError(f"{count} values are promised and {there} there")
        values = np.fromfile(file, np.uint8, count)
        return values.reshape(shape, order="F" if is_fortran else "C")


def _array_header(file: BinaryIO, path: Path) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Type, whether the first axis is the fastest, and sides; `file` is then at the values."""
    magic = file.read(8)
    if magic[:4] == b"PK\x03\x04":
        raise DataError(f"{path}: holds several arrays; save one uint8 array with numpy.save")
    wide = {1: 2, 2: 4, 3: 4}.get(magic[6]) if len(magic) == 8 else None
    if magic[:6] != b"\x93NUMPY" or wide is None:
        raise ValueError("it does not begin as numpy.save writes it")
    size = int.from_bytes(file.read(wide), "little")
    found = _FIELDS.fullmatch(file.read(size)) if size <= _HEADER else None
    if found is None:
        raise ValueError("its header is not that of one plain array")
    shape = tuple(int(side.strip(b" L")) for side in found[3].split(b",") if side.strip())
    return np.dtype(found[1].decode("ascii")), found[2] == b"True", shape
