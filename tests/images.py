"""Image files for tests of the data sets."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

Pixels = npt.NDArray[np.uint8]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Pixels:
    """(height, width, channels) uint8, uniform."""
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    """Write gray, RGB or RGBA pixels in the format of the suffix, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    return path


def save_pairs(folder: Path, count: int, height: int = 8, width: int = 8, first: int = 0) -> None:
    """`count` files of two noise images side by side, named by number."""
    for number in range(first, first + count):
        save(folder / f"{number:03}.png", noise(height, 2 * width, seed=number))


def save_coded_maps(folder: Path, width: int) -> None:
    """Maps whose pixels tell their place: columns in the input, rows in the target, as BMP."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, axis in (("etopo1", 1), ("bmng", 0)):
        place = np.indices((width // 2, width))[axis]
        coded = np.stack([place >> 8, place & 255, np.zeros_like(place)], axis=2)
        Image.fromarray(coded.astype(np.uint8)).save(folder / f"{name}.jpg", format="BMP")


def save_coded_worlds(folder: Path, width: int) -> None:
    """All three maps, whose pixels tell map, row and column, as BMP; `map_places` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.indices((width // 2, width))
    for number, name in enumerate(("etopo1", "shadedrelief", "bmng")):
        code = number << 22 | rows << 11 | columns
        coded = np.stack([code >> 16, code >> 8 & 255, code & 255], axis=2)
        Image.fromarray(coded.astype(np.uint8)).save(folder / f"{name}.jpg", format="BMP")


def coded_image(domain: int, number: int, height: int = 8, width: int = 8) -> Pixels:
    """(height, width, 3): the domain, the number, and columns that rise to the right."""
    columns = np.arange(width) * 8
    channels = [np.full((height, width), domain), np.full((height, width), number)]
    return np.stack([*channels, np.tile(columns, (height, 1))], axis=2).astype(np.uint8)


def save_domains(folder: Path, counts: Mapping[str, int], first: int = 0, **size: int) -> None:
    """A sub-folder of `coded_image` for each domain, numbered on from `first`."""
    number = first
    for domain, (name, count) in enumerate(counts.items()):
        for _ in range(count):
            save(folder / name / f"{number:03}.png", coded_image(domain, number, **size))
            number += 1


def save_attributes(
    folder: Path, path: Path, names: Sequence[str], labels: Sequence[Sequence[int]]
) -> None:
    """Images whose number is their row in `labels`, and their list in CelebA's form."""
    lines = [str(len(labels)), " ".join(names)]
    for number, label in enumerate(labels):
        save(folder / f"{number:03}.png", coded_image(0, number))
        lines.append(f"{number:03}.png  " + " ".join(f"{2 * flag - 1:2}" for flag in label))
    path.write_text("\n".join(lines) + "\n")


def to_bytes(images: Tensor) -> Pixels:
    """(N, H, W, C) uint8 from (N, C, H, W) in [-1, 1]."""
    return np.rint((images.permute(0, 2, 3, 1).numpy() + 1) * 127.5).astype(np.uint8)


def places(images: Tensor) -> npt.NDArray[np.intp]:
    """(N, H, W) rows or columns that `save_coded_maps` wrote into the pixels."""
    coded = to_bytes(images).astype(np.intp)
    return coded[..., 0] * 256 + coded[..., 1]


def map_places(images: Tensor) -> npt.NDArray[np.intp]:
    """(N, H, W, 3) map, row and column that `save_coded_worlds` wrote into the pixels."""
    high, middle, low = np.moveaxis(to_bytes(images).astype(np.intp), 3, 0)
    code = high << 16 | middle << 8 | low
    return np.stack([code >> 22, code >> 11 & 2047, code & 2047], axis=3)


def save_idx(path: Path, count: int, side: int = 28) -> Path:
    """Writes `count` gray images of noise as an IDX file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.stack([noise(side, side, 1, seed=i)[..., 0] for i in range(count)])
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes())
    return path


def png_head(width: int, height: int) -> bytes:
    """The beginning of a PNG of that size, without any pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
