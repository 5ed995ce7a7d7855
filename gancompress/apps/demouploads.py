"""Pictures that users give to the demo: bounded before they are decoded, and read as data is."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from gancompress.data.decoding import refused_by_name
from gancompress.data.deep import DEEP_MODES
from gancompress.data.formats import FORMATS
from gancompress.data.images import Pixels, Reading
from gancompress.errors import DataError
from gancompress.fields.types import COLOURS

MOST_BYTES = 32 * 2**20
MOST_PIXELS = 2**25  # four times a photograph of 8 megapixels; 100 MB once it is decoded
_WHAT = "the picture"


def check_upload(given: Path | bytes) -> bool:
    """Looks at a picture's head; whether it has more than 8 bits a value.

    Raises: DataError for one that is too large, or none.
    """
    size = len(given) if isinstance(given, bytes) else given.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"{_WHAT}: has {size / 2**20:.0f} MB; at most {MOST_BYTES // 2**20} MB are taken, give "
            "a smaller one"
        )
    with refused_by_name(_WHAT):
        try:
            file = io.BytesIO(given) if isinstance(given, bytes) else given
            with Image.open(file, formats=FORMATS) as image:
                (width, height), mode = image.size, image.mode
        except Image.DecompressionBombError:  # It does not say how many there are.
            raise _too_many() from None
    if width * height > MOST_PIXELS:
        raise _too_many()
    return mode in DEEP_MODES


def _too_many() -> DataError:
    return DataError(f"{_WHAT}: has more than {MOST_PIXELS:,} pixels; give a smaller one")


def read_upload(path: Path, reading: Reading) -> Pixels:
    """(H, W, 3): a file as the generator's data were read, on white where they had no background.

    Raises: DataError as `check_upload` and `Reading.image`.
    """
    check_upload(path)
    return Reading(reading.max_value, reading.background or COLOURS["white"]).image(path, 3)
