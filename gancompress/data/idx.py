"""Arrays in IDX files, the form of MNIST and of the sets made after it."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gancompress.errors import DataError
from gancompress.storage.regularfiles import open_regular

_MOST = 2**31  # values of a packed file: some times the largest set of this form
_UINT8 = 0x08  # the type code of unsigned bytes, the only one that images and labels have


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes that an IDX file holds, compressed where it ends in .gz.

    Two bytes of 0, one for the type, one for the number of axes; the length of each axis in four
    bytes, most significant first; then the values, last axis fastest (LeCun et al. 1998).
    Raises: DataError naming the file if it is missing, damaged, of another type, or of a length
    other than its axes say.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path}: begins with {content[:4].hex(' ') or 'nothing'}; no IDX file")
    kind, axes = content[2], content[3]
    if kind != _UINT8:
        raise DataError(f"{path}: values of type 0x{kind:02x}; only 0x08, unsigned bytes, is read")
    start = 4 + 4 * axes
    if not axes or len(content) < start:
        raise DataError(f"{path}: {axes} axes in {len(content)} bytes; the file is cut off")
    shape = struct.unpack_from(f">{axes}I", content, 4)
    if len(content) - start != math.prod(shape):
        sides = " x ".join(map(str, shape))
        raise DataError(
            f"{path}: {len(content) - start} values for {sides} = {math.prod(shape)}; the file "
            "is damaged, fetch it anew"
        )
    # A copy, as arrays over bytes cannot be written to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return _unpacked(file) if path.suffix == ".gz" else file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; an IDX file is needed") from None
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path}: {error.strerror}; a readable IDX file is needed") from None
        reason = str(error) or "too little memory"
        raise DataError(f"{path}: cannot be unpacked ({reason}); fetch it anew") from None


def _unpacked(file: BinaryIO) -> bytes:
    """What a gzip file holds, of the values one more than are promised, however many come."""
    with gzip.GzipFile(fileobj=file) as packed:
        head = packed.read(4)
        sides = packed.read(4 * head[3]) if len(head) == 4 else b""
        promised = math.prod(struct.unpack(f">{len(sides) // 4}I", sides[: len(sides) // 4 * 4]))
        if promised > _MOST:
            raise EOFError(f"{promised} values are promised; at most {_MOST} are read")
        return head + sides + packed.read(promised + 1)
