"""Unpacking: what is wanted, and nothing of what strangers may have put into an archive."""

from __future__ import annotations

import io
import tarfile
import zipfile

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
    with pytest.raises(DataError, match="'link' in it is a (link|device); files alone are unpack"):
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
