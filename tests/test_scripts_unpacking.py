"""Unpacking: what is wanted, and nothing of what strangers may have put into an archive."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from preparing import tarred, unpacking, zipped

from gancompress.errors import DataError


def linked_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_unpack_takes_the_files_that_are_wanted(tmp_path, packed) -> None:
    archive, folder = tmp_path / "a", tmp_path / "deep" / "out"
    archive.write_bytes(packed({"x/a.png": b"1", "x/y/b.png": b"2", "./x/c.txt": b"3"}))
    left = tmp_path / "deep" / "out.unpacking" / "left"
    left.mkdir(parents=True)

    def place(name: str) -> str | None:
        return name.removeprefix("x/") if name.endswith(".png") else None

    assert unpacking.unpack(archive, folder, place) == 2
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*")}
    assert found == {"a.png": b"1", "y/b.png": b"2"}
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("packed", [zipped, tarred])
@pytest.mark.parametrize("name", ["../evil", "x/../../evil", "/evil", "..\\evil", "C:evil"])
def test_unpack_refuses_names_that_lead_outside(tmp_path, packed, name) -> None:
    archive = tmp_path / "in" / "a"
    archive.parent.mkdir()
    archive.write_bytes(packed({"good": b"1", name: b"2"}))
    with pytest.raises(DataError, match="in it would lie outside of the folder; it is not unpack"):
        unpacking.unpack(archive, tmp_path / "in" / "out", lambda name: name)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a"]


@pytest.mark.parametrize(
    "content",
    [
        tarred({}, ("link", tarfile.SYMTYPE)),
        tarred({}, ("link", tarfile.LNKTYPE)),
        tarred({}, ("link", tarfile.FIFOTYPE)),
        linked_zip(),
    ],
)
def test_unpack_refuses_links_and_devices(tmp_path, content) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="'link' in it is a (link|device); plain files alone"):
        unpacking.unpack(tmp_path / "a", tmp_path / "out", lambda name: name)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_unpack_refuses_archives_that_are_damaged_or_others(tmp_path, packed) -> None:
    whole = packed({"a.bin": np.random.default_rng(0).bytes(5000)})
    archive, folder = tmp_path / "a", tmp_path / "out"
    flipped = bytearray(whole)
    flipped[2000] ^= 255
    for content in (whole[:3000], bytes(flipped), b"", b"<html>not found</html>"):
        archive.write_bytes(content)
        with pytest.raises(DataError, match="/a: damaged or truncated .*; remove it and fetch it"):
            unpacking.unpack(archive, folder, lambda name: name)
    archive.write_bytes(whole)
    with pytest.raises(DataError, match="/a: has none of the files that are needed"):
        unpacking.unpack(archive, folder, lambda name: None)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def zip_of(*files: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip in which names may come twice."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(*members: tuple[str, bytes], **about: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def patched(content: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """`content` with other bytes at a distance behind every place of a mark."""
    changed = bytearray(content)
    for mark, distance, value in changes:
        place = content.find(mark)
        while place >= 0:
            changed[place + distance : place + distance + len(value)] = value
            place = content.find(mark, place + 1)
    return bytes(changed)


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
NOISE = np.random.default_rng(0).bytes(3000)
LZMA, BZIP2 = (zip_of(("a", NOISE), method=m) for m in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
ZEROS = zip_of(("a", bytes(80 * 2**20)), method=zipfile.ZIP_DEFLATED)
PAX = tarfile.TarInfo("a")
PAX.type, PAX.size = tarfile.XHDTYPE, 2**40
HOSTILE = {
    "two of a name": (zip_of(("a", b"1"), ("a", b"2")), "'a' comes twice"),
    "two of a name in a tar": (tar_of(("a", b"1"), ("./a", b"2")), "'a' comes twice"),
    "two where case makes no difference": (zip_of(("a", b"1"), ("A", b"2")), "'A' comes twice"),
    "a file that is a folder": (zip_of(("a", b"1"), ("a/b", b"2")), "'a/b' comes twice"),
    "a folder that is a file": (tar_of(("a/b", b"1"), ("a", b"2")), "'a' comes twice"),
    "encrypted": (
        patched(zip_of(("a", b"1")), (LOCAL, 6, b"\1"), (CENTRAL, 8, b"\1")),
        "'a' in it is encrypted; plain files alone",
    ),
    "damaged lzma": (LZMA[:100] + bytes(200) + LZMA[300:], "damaged or truncated"),
    "damaged bzip2": (BZIP2[:60] + bytes(200) + BZIP2[260:], "damaged or truncated"),
    "unknown compression": (
        patched(zip_of(("a", b"1")), (LOCAL, 8, b"\x63"), (CENTRAL, 10, b"\x63")),
        "damaged or truncated",
    ),
    "a bomb": (ZEROS, "would unpack to 0.1 GB or more, in 1 files, far more than it holds"),
    "a bomb that says little": (
        patched(ZEROS, (LOCAL, 22, b"\5\0\0\0"), (CENTRAL, 24, b"\5\0\0\0")),
        "damaged or truncated",
    ),
    "a header that is a bomb": (
        gzip.compress(PAX.tobuf(tarfile.GNU_FORMAT) + bytes(4096)),
        r"damaged or truncated \(a header of 1,099,511,627,776 bytes\)",
    ),
    "a sparse file": (
        tar_of(("a", b""), type=tarfile.GNUTYPE_SPARSE),
        "'a' in it is a sparse file",
    ),
    "a tar without gzip": (gzip.decompress(tar_of(("a", b"1"))), "damaged or truncated"),
    "gzip of no tar": (gzip.compress(NOISE), "damaged or truncated"),
    "a name that is too long": (tar_of(("x" * 300, b"1")), "File name too long|file name too"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_unpack_refuses_hostile_archives_in_a_sentence(tmp_path: Path, kind: str) -> None:
    content, said = HOSTILE[kind]
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        unpacking.unpack(tmp_path / "archive", tmp_path / "out", lambda name: name)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_unpack_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a file; give a \.zip or \.tar\.gz"):
        unpacking.unpack(tmp_path, tmp_path / "out", lambda name: name)


@pytest.mark.parametrize("whole", [zip_of(("a", NOISE), ("b/c", b"2")), tar_of(("a", NOISE))])
def test_unpack_ends_in_a_sentence_whatever_byte_is_changed(tmp_path: Path, whole: bytes) -> None:
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(0, len(whole), 150).tolist():
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "archive").write_bytes(changed)
        try:
            unpacking.unpack(tmp_path / "archive", tmp_path / "out", lambda name: name)
        except DataError:
            refused += 1
            assert [path.name for path in tmp_path.iterdir()] == ["archive"]
        else:
            assert all(path.read_bytes() in (NOISE, b"2") for path in files_in(tmp_path / "out"))
            shutil.rmtree(tmp_path / "out")
    assert refused > 100


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
