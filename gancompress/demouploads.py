"""Pictures that users give to the demo: bounded before they are decoded, and read as data is."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from gancompress.data.deep import DEEP_MODES
from gancompress.data.formats import FORMATS
from gancompress.data.images import read_image, with_channels
from gancompress.errors import DataError, ExportError
from gancompress.export.planes import Pixels

MOST_BYTES = 32 * 2**20
MOST_PIXELS = 2**25  # four times a photograph of 8 megapixels; 100 MB once it is decoded
_WHAT = "the picture"
# What Pillow raises where a file is no picture or a damaged one.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError)


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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = io.BytesIO(given) if isinstance(given, bytes) else given
            with Image.open(file, formats=FORMATS) as image:
                (width, height), mode = image.size, image.mode
    except Image.DecompressionBombError:  # of Pillow, which does not say how many there are
        raise _too_many() from None
    except _DAMAGE:
        raise DataError(f"{_WHAT}: cannot be read; give a PNG or a JPEG") from None
    if width * height > MOST_PIXELS:
        raise _too_many()
    return mode in DEEP_MODES


def _too_many() -> DataError:
    return DataError(f"{_WHAT}: has more than {MOST_PIXELS:,} pixels; give a smaller one")


def read_upload(path: Path, max_value: float | None) -> Pixels:
    """(H, W, 3): a file as the data set of the generator reads its own, `max_value` being white.

    Raises: DataError as `check_upload` and `read_image`.
    """
    check_upload(path)
    pixels = read_image(path, max_value)
    if pixels.shape[2] not in (1, 3, 4):
        raise DataError(f"{_WHAT}: has {pixels.shape[2]} channels; 1, 3 or 4 are taken")
    if pixels.shape[2] == 4:
        return on_ground(pixels, np.full(3, 255, np.uint8))
    return with_channels(pixels, 3, _WHAT)


def on_ground(whole: Pixels, ground: Pixels) -> Pixels:
    """(H, W, 3) of (H, W, 4): what is transparent shows the colour `ground`."""
    share = whole[..., 3:].astype(np.float32) / 255
    mixed: Pixels = np.rint(whole[..., :3] * share + ground * (1 - share)).astype(np.uint8)
    return mixed


def white_of(facts: object) -> float | None:
    """The data set's `max_value`, by the facts of a generator's card; None where it has none.

    Raises: ExportError for a card that says another thing than a number.
    """
    found = facts.get("max_value") if isinstance(facts, dict) else None
    if found is None or (isinstance(found, int | float) and found > 0):
        return found
    raise ExportError(f"max_value: found {found!r} in the model's card; a number is allowed")
