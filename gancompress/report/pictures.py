"""The pictures of a run, as the page holds them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from gancompress.storage.resultfiles import damaged

# The most bytes of the embedded picture, so that the page stays below 3 MB.
MOST_PICTURE_BYTES = 1_200_000
MOST_PREVIEW_BYTES = 250_000


def picture_uri(path: Path, stage: str = "export", most: int = MOST_PICTURE_BYTES) -> str:
    """The picture as a data URI: as it is, or as a JPEG of at most so many bytes.

    Raises: CheckpointError, which names the stage to do again, for a file that is no PNG.
    """
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise damaged(path, stage) from None
    if len(content) <= most:
        return "data:image/png;base64," + base64.b64encode(content).decode()
    while True:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=85)
        if packed.tell() <= most:
            return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
        image = image.reduce(2)
