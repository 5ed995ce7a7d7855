"""Broken image files: every format that is read, damaged in ways that a seed draws."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gancompress.data.formats import FORMATS

Draw = np.random.Generator

_MODES = ("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "F")
_EXTREMES = (0, 1, 255, 0x7FFF, 0xFFFF, 30_000, 0x7FFFFFFF, 0xFFFFFFFF)


@dataclass(frozen=True)
class Broken:
    """A file: its name's ending, its bytes, and how it came about."""

    suffix: str
    content: bytes
    how: str


def whole_files() -> dict[str, bytes]:
    """Files of noise, 24x20, by mode and ending: all that Pillow writes and we read, and .npy."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    found = {}
    for name in sorted(Image.SAVE.keys() & {*FORMATS}):
        suffix = min(s for s, f in Image.registered_extensions().items() if f == name)
        for mode in _MODES:
            buffer = io.BytesIO()
            try:
                _picture(pixels, mode).save(buffer, name, exif=exif)
            except (OSError, ValueError):  # Writers raise these of a mode that they do not have.
                continue
            found[f"{mode} {suffix}"] = buffer.getvalue()
    for channels in (1, 3, 4):
        buffer = io.BytesIO()
        np.save(buffer, pixels[..., :channels])
        found[f"{channels} .npy"] = buffer.getvalue()
    return found


def _picture(pixels: npt.NDArray[np.uint8], mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def broken(whole: Mapping[str, bytes], seed: int) -> Broken:
    """The file of that seed: one of the whole ones, damaged one to three times."""
    rng = np.random.default_rng(seed)
    name = _one_of(rng, sorted(whole))
    suffix = name.split()[1]
    content, others = whole[name], list(whole.values())
    told = []
    for _ in range(int(rng.integers(1, 4))):
        damage = _one_of(rng, sorted(_DAMAGES))
        content = _DAMAGES[damage](content, rng, others)
        told.append(damage)
    if rng.random() < 0.1:
        suffix = _one_of(rng, sorted(whole)).split()[1]
        told.append("another suffix")
    return Broken(suffix, content, f"{name}: {', '.join(told)}")


def _one_of(rng: Draw, names: list[str]) -> str:
    return names[int(rng.integers(len(names)))]


def _place(content: bytes, rng: Draw) -> int:
    """A place in the file, half of the time within the header."""
    end = min(len(content), 128) if rng.random() < 0.5 else len(content)
    return int(rng.integers(end)) if end else 0


def _cut_off(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    return content[: _place(content, rng)]


def _flipped(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if found else 0):
        found[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _extreme(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    """A number of two or four bytes, such as a side or an offset, at the end of its range."""
    value = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    order = "<" if rng.random() < 0.5 else ">"
    packed = struct.pack(f"{order}I", value) if rng.random() < 0.5 else b""
    packed = packed or struct.pack(f"{order}H", value & 0xFFFF)
    place = _place(content, rng)
    return content[:place] + packed + content[place + len(packed) :]


def _without_a_part(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    place = _place(content, rng)
    return content[:place] + content[place + int(rng.integers(1, 65)) :]


def _doubled(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    place, length = _place(content, rng), int(rng.integers(1, 65))
    return content[: place + length] + content[place:]


def _noise_inside(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.bytes(int(rng.integers(1, 33))) + content[place + 32 :]


def _spliced(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    """Its head in front of another file's rest."""
    other = others[int(rng.integers(len(others)))]
    place = int(rng.integers(4, 65))
    return content[:place] + other[place:]


def _text_inside(content: bytes, rng: Draw, others: list[bytes]) -> bytes:
    """What is deep, unclosed or large where a text is read: headers of .npy, XPM and PNM are."""
    texts = (b"(" * 3000, b"-" * 5000, b"{'descr': '|O'", b"99999999999 99999999999 ", b"\0" * 9)
    place = _place(content, rng)
    return content[:place] + texts[int(rng.integers(len(texts)))] + content[place:]


_DAMAGES: Mapping[str, Callable[[bytes, Draw, list[bytes]], bytes]] = {
    "cut off": _cut_off,
    "bits flipped": _flipped,
    "an extreme number": _extreme,
    "a part taken out": _without_a_part,
    "a part doubled": _doubled,
    "noise inside": _noise_inside,
    "spliced": _spliced,
    "text inside": _text_inside,
}
