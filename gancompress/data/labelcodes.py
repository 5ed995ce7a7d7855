"""How the pixels of a label image stand for classes: as ids, or as the colours of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gancompress.data.decoding import open_stored
from gancompress.data.deep import SIXTEEN_BIT, StoredForm
from gancompress.data.images import Pixels, pixels_of, read_image, with_channels
from gancompress.errors import DataError
from gancompress.storage.regularfiles import read_regular

Ids = npt.NDArray[np.int32]

_SINGLE = ("1", "L", "I", *SIXTEEN_BIT)  # modes whose values are ids as they are
_STEPS = {"L;2": 85, "L;4": 17}  # between the gray values that Pillow makes of 2 and of 4 bits


@dataclass(frozen=True)
class LabelCodes:
    """`classes` ids from 0 on, and perhaps the id `unknown` for what has no class.

    With a table (classes, 3) an image in colour, or with a palette, is read by its colours; one of
    a single channel by ids, as every image is without table (of a palette then the indices). Where
    all colours of the table are gray, as 0 and 255 of a mask, one of a single channel has them.
    """

    classes: int
    unknown: int | None = None
    table: Pixels | None = None

    def read(self, path: Path) -> Ids:
        """(H, W) classes; `classes` where there is none.

        Raises: DataError naming the file if it is damaged or has an id or a colour not provided.
        """
        values = _values(path, indices=self.table is None, gray=self._is_gray)
        if values.ndim == 2 and self.table is not None and self._is_gray:
            return self._of_colours(values[..., None].repeat(3, axis=2), self.table, path)
        if values.ndim == 2:
            return self._of_ids(values, path)
        if self.table is None:
            raise DataError(
                f"{path}: is in colour; give its table as colours or colour_file, or label "
                "images of one channel"
            )
        return self._of_colours(values, self.table, path)

    @property
    def _is_gray(self) -> bool:
        return self.table is not None and bool((self.table == self.table[:, :1]).all())

    def _of_ids(self, ids: Ids, path: Path) -> Ids:
        known = (ids >= 0) & (ids < self.classes)
        is_unknown = ids == self.unknown if self.unknown is not None else np.zeros_like(known)
        strange = ~(known | is_unknown)
        if strange.any():
            also = "" if self.unknown is None else f", and {self.unknown} for unknown,"
            raise DataError(
                f"{path}: has the label id {ids[strange][0]}; "
                f"0 to {self.classes - 1}{also} are allowed{self._advice(ids)}"
            )
        return np.where(known, ids, np.int32(self.classes))

    def _advice(self, ids: Ids) -> str:
        """What to do where an image has as many gray values as there are classes, such as masks."""
        values = np.unique(ids)
        if self.table is not None or len(values) > self.classes or values.max() > 255:
            return ""
        listed = ", ".join(f"[{value}, {value}, {value}]" for value in values[:3])
        more = ", …" if len(values) > 3 else ""
        return f"; if its gray values stand for classes, give them as colours: [{listed}{more}]"

    def _of_colours(self, pixels: Ids, table: Pixels, path: Path) -> Ids:
        packed, known = _packed(pixels), _packed(table.astype(np.int32))
        order = np.argsort(known).astype(np.int32)
        place = np.searchsorted(known[order], packed).clip(max=len(known) - 1)
        classes: Ids = order[place]
        strange = known[classes] != packed
        if strange.any():
            raise DataError(
                f"{path}: has the colour {pixels[strange][0].tolist()}, which is not in the table "
                f"of {len(known)} classes; add it there"
            )
        return classes


def read_instances(path: Path) -> Ids:
    """(H, W) ids that tell instances apart; a colour counts as an id. Raises: DataError."""
    values = _values(path, indices=True)
    return values if values.ndim == 2 else _packed(values)


def colour_table(
    colours: Sequence[Sequence[int]], colour_file: str | Path | None, classes: int
) -> Pixels | None:
    """(classes, 3) the table that is given, or None.

    The file is text with a line `r g b` for each class, in order; what follows on the line, such
    as the class's name, and lines that are empty or begin with # are passed over.
    Raises: DataError for a table that does not fit.
    """
    where = "colours" if colour_file is None else f"{colour_file}"
    listed = [list(c) for c in colours] if colour_file is None else _read_table(Path(colour_file))
    if not listed and colour_file is None:
        return None
    for number, row in enumerate(listed):
        if len(row) != 3 or not all(0 <= value <= 255 for value in row):
            raise DataError(f"{where}: class {number} has {row}; three of 0 to 255 are allowed")
        if row in listed[:number]:
            first = listed.index(row)
            raise DataError(f"{where}: classes {first} and {number} both have {row}; change one")
    if len(listed) != classes:
        raise DataError(f"{where}: has {len(listed)} colours; one for each of {classes} classes")
    return np.array(listed, np.uint8)


def _read_table(path: Path) -> list[list[int]]:
    try:
        lines = read_regular(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the table") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text; give lines of r g b, one for each class") from None
    listed = []
    for number, line in enumerate(lines, 1):
        parts = line.split()[:3]
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) < 3 or not all(part.isdecimal() for part in parts):
            raise DataError(f"{path}: line {number} is {line[:60]!r}; r g b of a class are needed")
        listed.append([int(part) for part in parts])
    return listed


def _values(path: Path, indices: bool, gray: bool = False) -> Ids:
    """(H, W) of one channel, or (H, W, 3); of a palette its indices, or its colours.

    gray: whether values of one channel are shades, not ids.

    Raises: DataError for a file that does not give back the values that were saved.
    """
    if path.suffix.lower() == ".npy":
        pixels = read_image(path)
    else:
        image, stored = open_stored(path)
        if not stored.is_lossless:
            raise DataError(
                f"{path}: a label map in lossy {stored.format}, whose pixels are no longer the ids "
                "or colours that were drawn; save it anew from its source as PNG"
            )
        if image.mode == "P" and indices and stored.format == "GIF":
            raise DataError(
                f"{path}: a label map by ids in GIF, which programs number anew when they save it; "
                "save it from its source as PNG, or give its table as colours or colour_file"
            )
        is_shade = gray and image.mode in ("1", "L")
        if (image.mode in _SINGLE and not is_shade) or (image.mode == "P" and indices):
            return _unscaled(np.asarray(image).astype(np.int32), stored, path)
        pixels = pixels_of(image, path, stored)
    if pixels.shape[2] == 1:
        return pixels[..., 0].astype(np.int32)
    return with_channels(pixels, 3, path).astype(np.int32)


def _unscaled(ids: Ids, stored: StoredForm, path: Path) -> Ids:
    """The ids as saved: Pillow spreads gray values of 2 and 4 bits over 0 to 255."""
    if stored.says_white:
        raise DataError(
            f"{path}: a label map with {stored.scale} for white, by which its ids are scaled; save "
            "it as PNG"
        )
    if ";" in stored.raw and stored.raw[0] == "L":
        if stored.raw not in _STEPS:
            raise DataError(
                f"{path}: a label map of inverted or packed gray values ({stored.raw}); save it as "
                "8-bit PNG"
            )
        return ids // _STEPS[stored.raw]
    return ids


def _packed(colours: Ids) -> Ids:
    """(...) one number for each colour (..., 3)."""
    packed: Ids = colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
    return packed
