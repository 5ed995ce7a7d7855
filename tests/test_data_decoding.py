"""Files that are no images, or only claim to be: refused by name, at once and in little memory."""

from __future__ import annotations

import gzip
import os
import socket
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from images import noise, save
from opening import image_folder
from PIL import Image

from gancompress.data.attributes import attribute_labels
from gancompress.data.decoding import sides_told
from gancompress.data.folders import matched_pairs
from gancompress.data.idx import read_idx
from gancompress.data.images import read_image
from gancompress.data.labelcodes import LabelCodes, colour_table
from gancompress.errors import CheckpointError, DataError
from gancompress.storage.checkpoint import file_hash, read_json, write_bytes, write_json
from gancompress.storage.digests import file_digest
from gancompress.storage.regularfiles import open_regular


def npy(header: str, values: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """An .npy file with any header."""
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header.encode() + values


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_what_is_no_regular_file_is_refused_and_never_waited_for(
    tmp_path: Path, suffix: str
) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
    place = f"{tmp_path}/s{suffix}"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(place)
        for name, kind in (("pipe", "a named pipe"), ("folder", "a folder"), ("device", "a device"),
                           ("s", "a socket")):  # fmt: skip
            with pytest.raises(DataError, match=rf"{name}\{suffix}: cannot be read \({kind}, not"):
                read_image(tmp_path / f"{name}{suffix}")


def test_pipes_in_place_of_any_other_file_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert sides_told(pipe) is None
    with pytest.raises(OSError, match="a named pipe, not a file"):
        open_regular(pipe)
    for read in (
        lambda: attribute_labels(tmp_path, pipe, ["a"]),
        lambda: colour_table((), pipe, 2),
        lambda: read_idx(pipe),
        lambda: LabelCodes(2).read(pipe),
        lambda: file_digest(pipe),
    ):
        with pytest.raises(DataError, match=r"pipe: .*a named pipe, not a file"):
            read()
    for read in (lambda: file_hash(pipe), lambda: read_json(pipe)):
        with pytest.raises(CheckpointError, match=r"pipe: cannot be read \(a named pipe, not"):
            read()


def test_a_pipe_in_a_folder_of_images_is_named(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"{i}.png", noise(8, 8, seed=i))
    os.mkfifo(tmp_path / "4.png")
    with pytest.raises(DataError, match=r"4\.png: cannot be read \(a named pipe, not a file\)"):
        image_folder(folder=tmp_path, size=8).check()


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_as_numpy_reads_them(tmp_path: Path, version: bytes, order: str) -> None:
    pixels = np.asarray(noise(5, 7, 6), order=order)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, pixels, (version[0], version[1]))
    assert np.array_equal(read_image(tmp_path / "a.npy"), np.load(tmp_path / "a.npy"))


_PLAIN = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }\n"


@pytest.mark.parametrize(
    "content, reason",
    [
        (npy("{'descr': '|u1', 'shape': (2, 2"), "its header is not that of one plain array"),
        (npy("(" * 5000), "its header is not"),
        (npy("-" * 9000 + "1"), "its header is not"),
        (npy("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 2)}"), "its header"),
        (npy("x" * 70_000, version=b"\2\0"), "its header is not"),
        (npy(_PLAIN % "99999999, 99999999, 3", bytes(12)), "29999999400000003 values are promised"),
        (npy(_PLAIN % "2, 2, 3", bytes(11)), "12 values are promised and 11 there"),
        (npy(_PLAIN % "2, 2, 3", bytes(12), version=b"\7\0"), "does not begin as numpy.save"),
        (b"\x93NUM", "does not begin as numpy.save"),
        (npy("{'descr': 'qq', 'fortran_order': False, 'shape': (2, 2), }"), "data type 'qq'"),
    ],
)
def test_damaged_arrays_are_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.npy: cannot be read \(.*{reason}.*\); replace it"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", [RuntimeError, RecursionError, TypeError, MemoryError, KeyError])
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def damaged(image: Image.Image) -> None:
        raise kind("with\nlines " + "and more " * 99)

    path = save(tmp_path / "a.png", noise(8, 8))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", damaged)
    with pytest.raises(DataError, match=r"a\.png: cannot be read \(") as refusal:
        read_image(path)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < len(str(path)) + 200


def test_every_orientation_is_as_pillow_turns_it(tmp_path: Path) -> None:
    from PIL import ImageOps

    pixels = noise(4, 6)
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        with Image.open(tmp_path / "a.png") as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        assert np.array_equal(read_image(tmp_path / "a.png"), expected)


def test_a_packed_file_is_unpacked_no_further_than_it_promises(tmp_path: Path) -> None:
    promised = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 3)
    (tmp_path / "a.gz").write_bytes(gzip.compress(promised + bytes(10_000_000)))
    with pytest.raises(DataError, match=r"a\.gz: 19 values for 2 x 3 x 3 = 18"):
        read_idx(tmp_path / "a.gz")
    endless = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 28, 28)
    (tmp_path / "b.gz").write_bytes(gzip.compress(endless))
    with pytest.raises(DataError, match=r"b\.gz: cannot be unpacked \(.* values are promised; at"):
        read_idx(tmp_path / "b.gz")


def test_names_may_differ_in_unicode_form_and_need_not_be_utf8(tmp_path: Path) -> None:
    letters = "\u00e9\u00fc\u0439"
    for i in range(4):
        pixels = noise(8, 8, seed=i)
        save(tmp_path / "in" / f"{unicodedata.normalize('NFC', letters)}{i}.png", pixels)
        save(tmp_path / "to" / f"{unicodedata.normalize('NFD', letters)}{i}.png", pixels)
    pairs = matched_pairs(tmp_path / "in", tmp_path / "to")[""]
    assert len(pairs) == 4 and all(a.name[-5] == b.name[-5] for a, b in pairs)
    one, other = (image_folder(folder=tmp_path / side, size=8) for side in ("in", "to"))
    assert one.content_hash("train") == other.content_hash("train")  # another spelling, same data
    assert list(one.origin.named()) == list(other.origin.named())
    odd = tmp_path / "in" / os.fsdecode(b"\xff\xfe.png")
    odd.write_bytes((tmp_path / "in" / f"{letters}0.png").read_bytes())
    with_odd = image_folder(folder=tmp_path / "in", size=8)
    with_odd.check()
    assert len({with_odd.content_hash(split) for split in ("train", "search", "test")}) == 3
    names = sorted(with_odd.origin.named())
    write_json(tmp_path / "names.json", names)
    assert read_json(tmp_path / "names.json") == names


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "\u00e9" * 127 + "x"):
        write_bytes(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 2
