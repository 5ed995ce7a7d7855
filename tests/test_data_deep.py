"""Files of more than 8 bits: one rule for all, and a sentence where white is not known."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from images import noise, save
from opening import image_folder, pair_folders
from PIL import Image

from gancompress.data.images import read_image
from gancompress.errors import DataError


def _wide(path: Path, values: npt.NDArray[np.uint16]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def _colours(path: Path, values: npt.NDArray[np.uint16]) -> Path:
    """A PNG of 16 bits a colour, which Pillow reads and does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("white", [255, 1023, 4095, 16383, 65535])
def test_values_are_scaled_from_zero_to_white(tmp_path: Path, suffix: str, white: int) -> None:
    counted = np.arange(white + 1, dtype=np.uint16).repeat(256 if white < 256 else 1)
    values = counted.reshape(256, -1)
    found = read_image(_wide(tmp_path / f"a{suffix}", values), white)[..., 0]
    assert np.array_equal(found, np.floor(values * 255.0 / white + 0.5))
    assert len(np.unique(found)) == 256


@pytest.mark.parametrize("top, bits", [(200, 8), (255, 8), (4095, 12), (3000, 12), (32767, 15)])
def test_a_file_that_leaves_half_of_the_range_empty_is_refused(
    tmp_path: Path, top: int, bits: int
) -> None:
    values = np.array([[0, top]], np.uint16)
    sentence = (
        rf"a\.png: 16-bit values of at most {top}, .* set data\.max_value, or --max-value of "
        rf"apply, to the value that is white: {2**bits - 1} for {bits} bits, 65535 if it is that"
    )
    with pytest.raises(DataError, match=sentence):
        read_image(_wide(tmp_path / "a.png", values))
    with pytest.raises(DataError, match=r"a\.tif: 16-bit values"):
        read_image(_wide(tmp_path / "a.tif", values))
    dark = read_image(tmp_path / "a.png", 65535)[..., 0]
    assert dark.tolist() == [[0, round(top * 255 / 65535)]]


def test_black_files_and_full_ranges_need_no_word(tmp_path: Path) -> None:
    assert not read_image(_wide(tmp_path / "a.png", np.zeros((2, 2), np.uint16))).any()
    full = np.array([[0, 32768, 65535]], np.uint16)
    assert read_image(_wide(tmp_path / "b.png", full))[..., 0].tolist() == [[0, 128, 255]]


def test_a_value_above_white_is_refused_and_not_cut(tmp_path: Path) -> None:
    path = _wide(tmp_path / "a.png", np.array([[0, 4096]], np.uint16))
    with pytest.raises(DataError, match=r"a\.png: holds the value 4096; 0 to max_value, 4095, is"):
        read_image(path, 4095)


def test_a_header_that_names_white_is_believed(tmp_path: Path) -> None:
    values = struct.pack(">3H", 0, 2048, 4095)
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 4095\n" + values)
    for max_value in (None, 1023):  # of the other files
        assert read_image(tmp_path / "a.pgm", max_value)[..., 0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("kind, words", [(np.float32, "floats"), (np.int32, "32-bit values")])
def test_floats_and_32_bits_need_a_word_of_what_is_white(
    tmp_path: Path, kind: type, words: str
) -> None:
    values: npt.NDArray[Any] = np.array([[0, 1], [3, 4]], kind)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=rf"a\.tif: holds {words}, up to 4, .* set data\.max_value"):
        read_image(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", 4)[..., 0].tolist() == [[0, 64], [191, 255]]
    Image.fromarray(-values).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"b\.tif: holds the value -4; 0 to max_value, 4, is"):
        read_image(tmp_path / "b.tif", 4)


def test_a_float_that_is_no_number_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: holds the value nan"):
        read_image(tmp_path / "a.tif", 1.0)


def test_deep_colours_of_which_little_would_be_left_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, 3)).astype(np.uint16)
    path = _colours(tmp_path / "a.png", values)
    with pytest.raises(DataError, match=r"a\.png: 16-bit colours of at most 4095, .* as 8-bit"):
        read_image(path)
    with pytest.raises(DataError, match=r"a\.png: 16-bit colours, .* 4095 cannot be kept"):
        read_image(path, 4095)
    assert np.array_equal(read_image(path, 65535), values >> 8)
    bright = _colours(tmp_path / "b.png", values * 16)
    assert np.array_equal(read_image(bright), values * 16 >> 8)


def test_files_of_one_set_share_the_scale_whatever_each_holds(tmp_path: Path) -> None:
    for number in range(4):
        values = np.full((8, 8), 100 * (number + 1), np.uint16)
        _wide(tmp_path / f"{number}.png", values)
    data = image_folder(
        folder=tmp_path, size=8, flip=False, max_value=1000, search_fraction=0.25,
        test_fraction=0.25,
    )  # fmt: skip
    seen = [
        round(float(data.batch(split, [i], None)["input"][0, 0, 0, 0] * 127.5 + 127.5))
        for split in ("train", "search", "test")
        for i in range(data.count(split))
    ]
    assert sorted(seen) == [26, 51, 77, 102]  # 25.5, 51, 76.5 and 102, half up
    plain = image_folder(folder=tmp_path, size=8, search_fraction=0.25, test_fraction=0.25)
    assert plain.content_hash("test") != data.content_hash("test")
    with pytest.raises(DataError, match=r"\.png: 16-bit values of at most"):
        plain.check()


def test_deep_inputs_beside_photographs(tmp_path: Path) -> None:
    for number in range(4):
        _wide(tmp_path / "a" / f"{number}.png", np.full((8, 8), 4095, np.uint16))
        save(tmp_path / "b" / f"{number}.png", noise(8, 8, seed=number))
    data = pair_folders(
        layout="two-folders", input_folder=tmp_path / "a", target_folder=tmp_path / "b",
        input_channels=1, load_size=8, crop_size=8, max_value=4095,
    )  # fmt: skip
    assert (data.batch("test", [0], None)["input"] == 1).all()
