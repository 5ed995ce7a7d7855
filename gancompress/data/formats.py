"""Which image files are read, and which formats give every value back as it was saved."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

from PIL import Image, ImageFile

# Formats of Pillow that are never opened, whatever a file is called, and why.
NOT_READ: Mapping[str, str] = MappingProxyType(
    {
        "EPS": "a program, which Ghostscript would run",
        "WMF": "a drawing without pixels",
        "BUFR": "Pillow has no decoder", "GRIB": "Pillow has no decoder",
        "HDF5": "Pillow has no decoder", "MPEG": "Pillow has no decoder",
        "FITS": "measurements of any scale", "MCIDAS": "measurements of any scale",
        "SPIDER": "measurements of any scale",
        "FLI": "a film", "IPTC": "a wrapper, around any other format",
        "DCX": "several images", "CUR": "several sizes", "ICO": "several sizes",
        "ICNS": "several sizes", "PSD": "layers",
        "PCD": "several sizes", "GBR": "a brush", "IMT": "no suffix", "XVTHUMB": "a thumbnail",
    }
)  # fmt: skip

Image.init()  # registers all of Pillow's formats; otherwise the common ones alone are known
FORMATS: tuple[str, ...] = tuple(sorted(Image.OPEN.keys() - NOT_READ.keys()))
# Files with these endings are the images of a folder: what Pillow decodes, and arrays.
SUFFIXES: tuple[str, ...] = (
    *sorted(
        suffix
        for suffix, name in Image.registered_extensions().items()
        if name in FORMATS or name == "MPO"  # which the JPEG reader opens
    ),
    ".npy",
)
COUNTED = "files ending in .png, .jpg, .webp, .tif, .npy or another that Pillow reads count"

# Formats that give back what was saved. WebP and TIFF can be either, see `is_lossless`.
_LOSSLESS = {"PNG", "BMP", "DIB", "GIF", "PPM", "TGA", "PCX", "QOI", "SGI", "SUN", "IM", "MSP",
             "XBM", "XPM", "PIXAR"}  # fmt: skip
_LOSSY_IN_TIFF = {"jpeg", "tiff_jpeg", "webp"}  # as Pillow names the compressions


def is_lossless(image: ImageFile.ImageFile, file: BinaryIO) -> bool:
    """Whether the image, opened from `file`, gives back the values that were saved.

    Told by content, not by the file's name. Formats of which it cannot be told count as lossy.
    """
    if image.format == "WEBP":
        return _first_picture(file) == b"VP8L"
    if image.format == "TIFF":
        return image.info.get("compression") not in _LOSSY_IN_TIFF
    return image.format in _LOSSLESS


def _first_picture(file: BinaryIO) -> bytes:
    """The name of a WebP file's chunk with pixels: "VP8 " is lossy, "VP8L" is not."""
    before = file.tell()
    try:
        file.seek(12)  # behind the file's own header
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8 ", b"VP8L"):
                return head[:4]
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, 1)
    finally:
        file.seek(before)
    return b""
