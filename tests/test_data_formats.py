"""What is an image of a folder, and which formats a label map may come in."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from images import noise
from PIL import Image

from gancompress.data.folders import image_files
from gancompress.data.formats import FORMATS, NOT_READ, SUFFIXES
from gancompress.data.images import read_image
from gancompress.data.labelcodes import LabelCodes, read_instances
from gancompress.errors import DataError

IDS = np.random.default_rng(0).integers(0, 11, (64, 64), np.uint8) * 20  # 0, 20, ... 200


def test_every_format_of_pillow_is_read_or_refused_for_a_reason() -> None:
    looked_at = {
        "AVIF", "BLP", "BMP", "DDS", "DIB", "FTEX", "GIF", "IM", "JPEG", "JPEG2000", "MSP", "PCX",
        "PIXAR", "PNG", "PPM", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM",
    }  # fmt: skip
    assert set(FORMATS) <= looked_at and len(FORMATS) >= 20  # decide on what a new Pillow adds
    assert not set(FORMATS) & set(NOT_READ)
    readable = {".png", ".jpg", ".jpeg", ".jfif", ".ppm", ".pgm", ".gif", ".bmp", ".tif", ".tiff"}
    assert readable | {".webp", ".jp2", ".tga", ".npy"} <= set(SUFFIXES)
    assert not {".eps", ".ps", ".pdf", ".svg", ".mpg", ".ico", ".psd", ".txt"} & set(SUFFIXES)


@pytest.mark.parametrize("suffix", [".ppm", ".bmp", ".tga", ".tif", ".webp", ".qoi", ".PNG"])
def test_what_pillow_reads_is_read_as_it_was_saved(tmp_path: Path, suffix: str) -> None:
    pixels = noise(6, 5)
    path = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(pixels).save(path, **options)
    assert image_files(tmp_path) == [path]
    assert np.array_equal(read_image(path), pixels)


def test_jfif_and_gif_and_folders_that_look_like_images(tmp_path: Path) -> None:
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.jfif")
    Image.fromarray(IDS).save(tmp_path / "b.gif")
    (tmp_path / "c.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.jfif", "b.gif"]
    assert np.array_equal(read_image(tmp_path / "b.gif")[..., 0], IDS)


def test_an_animated_gif_is_refused_by_name(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(8, 8, seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a\.gif: holds several images; save the one to use"):
        read_image(tmp_path / "a.gif")


def test_postscript_is_never_run_whatever_it_is_called(tmp_path: Path) -> None:
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (tmp_path / "a.png").write_text(text)
    with pytest.raises(DataError, match=r"a\.png: not an image that can be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "name, options",
    [
        ("jpeg", {"format": "JPEG", "quality": 100}),
        ("webp", {"format": "WEBP", "quality": 100}),
        ("webp", {"format": "WEBP", "quality": 100, "icc_profile": b"made up"}),  # a chunk before
        pytest.param(
            "avif",
            {"format": "AVIF", "quality": 100},
            marks=pytest.mark.skipif("AVIF" not in Image.SAVE, reason="this Pillow has no AVIF"),
        ),
        ("jpeg2000", {"format": "JPEG2000"}),
        ("tiff", {"format": "TIFF", "compression": "jpeg"}),
    ],
)
def test_lossy_label_maps_are_refused_by_their_content(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = tmp_path / "labels.png"
    Image.fromarray(IDS).convert("L" if name in ("jpeg", "jpeg2000") else "RGB").save(
        path, **options
    )
    sentence = rf"labels\.png: a label map in lossy {name.upper()}, .* save it anew .* as PNG"
    for read in (LabelCodes(201).read, read_instances):
        with pytest.raises(DataError, match=sentence):
            read(path)


@pytest.mark.parametrize(
    "suffix, options",
    [
        (".png", {}), (".bmp", {}), (".pgm", {}), (".tga", {}), (".tif", {}),
        (".tif", {"compression": "tiff_lzw"}),
    ],
)  # fmt: skip
def test_lossless_label_maps_keep_every_id(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    path = tmp_path / f"labels{suffix}"
    Image.fromarray(IDS).save(path, **options)
    assert np.array_equal(LabelCodes(201).read(path), IDS)


def test_a_gif_is_read_by_its_colours_and_not_by_numbers_that_its_writer_chose(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(IDS).save(path)
    with pytest.raises(DataError, match=r"a\.gif: a label map by ids in GIF, .* as PNG, or give"):
        LabelCodes(201).read(path)
    table = np.repeat(np.arange(0, 220, 20, dtype=np.uint8), 3).reshape(11, 3)
    assert np.array_equal(LabelCodes(11, table=table).read(path) * 20, IDS)


def test_lossless_webp_keeps_the_colours_of_a_table(tmp_path: Path) -> None:
    table = np.array([[9, 9, 9], [200, 0, 0], [0, 7, 0]], np.uint8)
    classes = np.random.default_rng(1).integers(0, 3, (16, 16))
    Image.fromarray(table[classes]).save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(LabelCodes(3, table=table).read(tmp_path / "a.webp"), classes)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_ids_of_fewer_bits_are_not_spread_over_the_range_of_eight(
    tmp_path: Path, bits: int
) -> None:
    """Optimisers of PNG files save gray of few values so; Pillow makes 85 or 17 of each step."""
    ids = np.random.default_rng(2).integers(0, 2**bits, (8, 8), np.uint8)
    modes = {1: "1", 2: "L", 4: "L"}
    image = Image.fromarray(ids * 255 if bits == 1 else ids).convert(modes[bits])
    path = tmp_path / "a.png"
    _save_gray(path, ids, bits) if bits > 1 else image.save(path)
    assert np.array_equal(LabelCodes(256).read(path), ids)


def test_a_label_map_that_its_header_scales_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 10\n" + bytes([1, 10]))
    with pytest.raises(DataError, match=r"a\.pgm: a label map with 10 for white"):
        LabelCodes(256).read(tmp_path / "a.pgm")


def _save_gray(path: Path, ids: npt.NDArray[np.uint8], bits: int) -> None:
    """A gray PNG of `bits` a pixel, chunk by chunk: Pillow writes none."""
    rows = np.unpackbits(ids[..., None], axis=2)[..., 8 - bits :].reshape(len(ids), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
