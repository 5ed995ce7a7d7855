"""IDX files, read strictly."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gancompress.data.idx import read_idx
from gancompress.errors import DataError

ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
HEAD = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4)


def written(folder: Path, content: bytes, name: str = "images-idx3-ubyte") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_idx_file_gives_its_array(tmp_path):
    found = read_idx(written(tmp_path, HEAD + ARRAY.tobytes()))
    np.testing.assert_array_equal(found, ARRAY)
    assert found.dtype == np.uint8
    assert found.flags.writeable


def test_compressed_idx_file_gives_its_array(tmp_path):
    path = written(tmp_path, gzip.compress(HEAD + ARRAY.tobytes()), "images-idx3-ubyte.gz")
    np.testing.assert_array_equal(read_idx(path), ARRAY)


def test_axes_of_length_0_give_an_empty_array(tmp_path):
    path = written(tmp_path, bytes([0, 0, 8, 1, 0, 0, 0, 0]))
    assert read_idx(path).shape == (0,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing; no IDX file"),
        (b"\x89PNG\r\n", "begins with 89 50 4e 47; no IDX file"),
        (bytes([0, 0, 13, 1]) + bytes(8), "values of type 0x0d; only 0x08, unsigned bytes, is"),
        (bytes([0, 0, 8, 0]), "0 axes in 4 bytes; the file is cut off"),
        (HEAD[:10], "3 axes in 10 bytes; the file is cut off"),
        (HEAD + ARRAY.tobytes()[:-1], "23 values for 2 x 3 x 4 = 24; the file is damaged"),
        (HEAD + ARRAY.tobytes() + b"\0", "25 values for 2 x 3 x 4 = 24; the file is damaged"),
    ],
)
def test_damaged_idx_file_is_refused_by_name(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("damage", ["cut", "changed", "plain"])
def test_damaged_compression_is_refused_by_name(tmp_path, damage):
    content = gzip.compress(HEAD + ARRAY.tobytes())
    content = {
        "cut": content[:-9],
        "changed": content[:-8] + b"abcd" + content[-4:],
        "plain": HEAD + ARRAY.tobytes(),
    }[damage]
    path = written(tmp_path, content, "images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=f"{path}: cannot be unpacked .*; fetch it anew"):
        read_idx(path)


def test_missing_idx_file_and_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file; an IDX file is needed"):
        read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="a folder, not a file; a readable IDX file is needed"):
        read_idx(tmp_path)
