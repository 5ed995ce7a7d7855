"""What is given to the demo: bounded before it is decoded, deep files read as the data is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from images import noise, png_head, save
from PIL import Image

from gancompress.apps import demouploads
from gancompress.apps.demouploads import check_upload, read_upload
from gancompress.data.images import Reading
from gancompress.errors import DataError


@pytest.mark.parametrize(("width", "height"), [(8192, 4097), (20_000, 20_000), (10**9, 10**9)])
def test_a_picture_of_too_many_pixels_is_refused_undecoded(
    tmp_path: Path, width: int, height: int
) -> None:
    (tmp_path / "x.png").write_bytes(png_head(width, height))
    said = "the picture: (has more than 33,554,432 pixels; give a smaller|cannot be read)"
    for given in (tmp_path / "x.png", png_head(width, height)):
        with pytest.raises(DataError, match=said):
            check_upload(given)
    assert not check_upload(png_head(8192, 4096))


def test_a_picture_of_too_many_bytes_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demouploads, "MOST_BYTES", 2**20)
    (tmp_path / "x.png").write_bytes(bytes(2**21))
    for given in (tmp_path / "x.png", bytes(2**21)):
        with pytest.raises(
            DataError, match="the picture: has 2 MB; at most 1 MB are taken, give a"
        ):
            check_upload(given)


@pytest.mark.parametrize("content", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<html>", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    for given in (tmp_path / "x.png", content):
        with pytest.raises(
            DataError, match="^the picture: (not an image that can be read; use|cannot)"
        ):
            check_upload(given)


def test_deep_files_are_read_with_the_white_of_the_data(tmp_path: Path) -> None:
    path, values = tmp_path / "x.png", np.array([[0, 4095], [2048, 1000]], np.uint16)
    Image.fromarray(values).save(path)
    assert check_upload(path)
    wanted = np.floor(values.astype(float) * 255 / 4095 + 0.5)
    assert np.array_equal(read_upload(path, Reading(4095))[..., 0], wanted)
    with pytest.raises(DataError, match="holds the value 4095; 0 to max_value, 1023, is allowed"):
        read_upload(path, Reading(1023))
    save(path, noise(4, 6))
    assert not check_upload(path) and np.array_equal(read_upload(path, Reading(4095)), noise(4, 6))


def test_transparent_files_lie_on_the_background_of_the_data_or_white(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    assert read_upload(tmp_path / "x.png", Reading()).tolist() == [[[10, 20, 30], [255] * 3]]
    assert read_upload(tmp_path / "x.png", Reading(background=(1, 2, 3))).tolist() == [
        [[10, 20, 30], [1, 2, 3]]
    ]
