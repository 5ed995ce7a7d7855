from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from images import noise, save
from PIL import Image

from gancompress.data.decoding import open_image, unlimited_pixels
from gancompress.data.images import (
    read_image,
    resized,
    to_tensor,
    with_channels,
)
from gancompress.errors import DataError


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_rgb_and_rgba_come_as_they_are(tmp_path: Path, channels: int) -> None:
    pixels = noise(5, 7, channels)
    assert np.array_equal(read_image(save(tmp_path / "a.png", pixels)), pixels)


def test_sixteen_bit_gray_is_scaled_to_eight(tmp_path: Path) -> None:
    wide = np.array([[0, 257, 65535], [128 * 257, 257 + 100, 257 + 200]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[..., 0].tolist() == [[0, 1, 255], [128, 1, 2]]


def test_big_endian_sixteen_bit_tiff_reads_as_the_png(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (4, 4), np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.frombytes("I;16B", (4, 4), wide.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "a.tif"))


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), bytes([1, 0]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[255], [0]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:] = (200, 40, 90)
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert open_image(tmp_path / "a.jpg").mode == "CMYK"
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - colours).max() <= 3  # JPEG's loss


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    pixels = noise(4, 6)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(pixels, -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"cut{suffix}", noise(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\{suffix}: (cannot be read|not an image)"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.npy"])
def test_empty_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name}: (the file is empty|cannot be read)"):
        read_image(tmp_path / name)


def test_text_and_missing_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not pixels at all")
    with pytest.raises(DataError, match=r"text\.png: not an image"):
        read_image(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"gone\.png: cannot be read .*No such file"):
        read_image(tmp_path / "gone.png")


def test_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(8, 8, seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(DataError, match=r"a\.webp: holds several images"):
        read_image(tmp_path / "a.webp")


def test_float_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: holds floats, up to 0, .* set data\.max_value"):
        read_image(tmp_path / "a.tif")


def test_bomb_is_refused_and_the_limit_can_be_lifted_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", noise(8, 8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"a\.png: has more pixels than Pillow's limit of 20;"):
        read_image(path)
    with unlimited_pixels():
        assert read_image(path).shape == (8, 8, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_alpha_is_dropped_only_where_opaque() -> None:
    pixels = noise(3, 3, 4)
    with pytest.raises(DataError, match="x: has transparent pixels; set data.background, or"):
        with_channels(pixels, 3, "x")
    pixels[..., 3] = 255
    assert np.array_equal(with_channels(pixels, 3, "x"), pixels[..., :3])
    assert np.array_equal(with_channels(pixels[..., :3], 4, "x"), pixels)


def test_transparent_palette_entry_counts_as_alpha(tmp_path: Path) -> None:
    image = Image.frombytes("P", (2, 1), bytes([1, 0]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png").tolist() == [[[200, 100, 50, 255], [10, 20, 30, 0]]]


def test_luma_equals_pillows() -> None:
    pixels = noise(64, 64)
    by_pillow = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(with_channels(pixels, 1, "x")[..., 0], by_pillow)


def test_gray_spreads_to_rgb_and_back() -> None:
    gray = noise(4, 4, 1)
    colour = with_channels(gray, 3, "x")
    assert colour.shape == (4, 4, 3)
    assert np.array_equal(with_channels(colour, 1, "x"), gray)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(DataError, match=r"x: has 3 channels and 5 are asked for; .*\.npy"):
        with_channels(noise(2, 2, 3), 5, "x")


def test_npy_holds_any_channel_count(tmp_path: Path) -> None:
    pixels = noise(3, 4, 7)
    np.save(tmp_path / "a.npy", pixels)
    np.save(tmp_path / "flat.npy", pixels[..., 0])
    assert np.array_equal(read_image(tmp_path / "a.npy"), pixels)
    assert np.array_equal(read_image(tmp_path / "flat.npy"), pixels[..., :1])


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 3), np.float32), np.zeros(3, np.uint8), np.zeros((0, 2, 3), np.uint8)]
)
def test_npy_of_another_kind_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy: holds .* of shape .*; uint8 of shape"):
        read_image(tmp_path / "a.npy")


def test_npy_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy: holds object of shape \(1,\); uint8"):
        read_image(tmp_path / "a.npy")
    archive = io.BytesIO()
    np.savez(archive, one=np.zeros(1), two=np.zeros(1))
    (tmp_path / "b.npy").write_bytes(archive.getvalue())
    with pytest.raises(DataError, match=r"b\.npy: holds several arrays"):
        read_image(tmp_path / "b.npy")


def test_resizing_channel_by_channel_equals_resizing_rgb() -> None:
    pixels = noise(20, 30, 3)
    apart = [resized(pixels[..., c : c + 1], 7, 11) for c in range(3)]
    assert np.array_equal(resized(pixels, 7, 11), np.concatenate(apart, axis=2))
    assert np.array_equal(resized(np.tile(pixels, 2), 7, 11)[..., 3:], resized(pixels, 7, 11))


def test_shrinking_averages_before_it_samples() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    assert np.abs(resized(board, 8, 8).astype(int) - 127).max() <= 8


def test_tensor_runs_from_minus_one_to_one_in_channel_order() -> None:
    pixels = noise(4, 6, 2)[None]
    pixels[0, 0, 0] = (0, 255)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 2, 4, 6) and tensor.dtype == torch.float32
    assert tensor[0, :, 0, 0].tolist() == [-1.0, 1.0]
    assert np.array_equal(tensor[0, 1].numpy(), pixels[0, ..., 1] / np.float32(127.5) - 1)


def test_jpeg_halved_while_decoding_is_close_to_its_box_filtered_self(tmp_path: Path) -> None:
    y, x = np.indices((64, 64))
    smooth = np.stack([2 * x, 2 * y, x + y], axis=2).astype(np.uint8)
    path = save(tmp_path / "a.jpg", smooth)
    half = open_image(path, at_least=(32, 32))
    boxed = open_image(path).resize((32, 32), Image.Resampling.BOX)
    assert half.size == (32, 32)
    assert np.abs(np.asarray(half).astype(int) - np.asarray(boxed)).mean() < 1
