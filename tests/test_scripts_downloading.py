"""Fetching: from a server that breaks off, and worse."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from preparing import Server, downloading, serving

from gancompress.errors import DataError

CONTENT = bytes(range(256)) * 40
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def fetched(server: Server, folder: Path, **settings: Any) -> bytes:
    path = folder / "data" / "file.zip"
    assert downloading.fetch(server.url("f"), path, wait_s=0.0, **settings) == SUM
    assert [p.name for p in sorted(path.parent.iterdir())] == ["SHA256SUMS", "file.zip"]
    return path.read_bytes()


def test_fetch_goes_on_where_the_server_broke_off(server, tmp_path, capsys) -> None:
    server.files["f"] = CONTENT
    server.break_after = [1000, 0, 3000]
    assert fetched(server, tmp_path) == CONTENT
    ranges = [None, "bytes=1000-", "bytes=1000-", "bytes=4000-"]
    assert [ranged for _, ranged in server.asked] == ranges
    assert "broken off (after 1,000 of 10,240 bytes); going on" in capsys.readouterr().err
    assert (tmp_path / "data" / "SHA256SUMS").read_text() == f"{SUM}  file.zip\n"
    assert fetched(server, tmp_path) == CONTENT  # again: nothing is asked
    assert len(server.asked) == 4


def test_fetch_in_another_process_goes_on_from_the_part(server, tmp_path) -> None:
    server.files["f"] = CONTENT
    part = tmp_path / "data" / "file.zip.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:5000])
    assert fetched(server, tmp_path) == CONTENT
    assert server.asked == [("f", "bytes=5000-")]
    (tmp_path / "data" / "file.zip").rename(part)  # complete, and killed before it got its name
    assert fetched(server, tmp_path) == CONTENT
    assert server.asked[1:] == [("f", f"bytes={len(CONTENT)}-")]


def test_fetch_begins_anew_where_the_part_is_of_another_file(server, tmp_path) -> None:
    server.files["f"] = CONTENT[::-1]
    server.break_after = [100] + 10 * [0]
    path = tmp_path / "data" / "file.zip"
    with pytest.raises(DataError, match=r"cannot be fetched \(after 100 of 10,240 bytes\); what"):
        downloading.fetch(server.url("f"), path, wait_s=0.0)
    assert path.with_name("file.zip.part").stat().st_size == 100
    server.files["f"], server.tag, server.break_after = CONTENT, '"two"', []
    assert fetched(server, tmp_path) == CONTENT
    path.rename(path.with_name("file.zip.part"))
    with path.with_name("file.zip.part").open("ab") as file:
        file.write(b"longer than the file")
    assert fetched(server, tmp_path) == CONTENT


def test_fetch_does_without_ranges_where_a_server_knows_none(server, tmp_path) -> None:
    server.files["f"], server.knows_ranges = CONTENT, False
    server.break_after = [1000]
    assert fetched(server, tmp_path) == CONTENT
    assert [ranged for _, ranged in server.asked] == [None, "bytes=1000-"]


def test_fetch_waits_out_errors_of_the_server_and_not_those_of_the_name(server, tmp_path) -> None:
    server.files["f"] = CONTENT
    server.statuses = [503, 429, 500]
    assert fetched(server, tmp_path) == CONTENT
    with pytest.raises(DataError, match=r"/g: the server answers 404 .*check the name, or"):
        downloading.fetch(server.url("g"), tmp_path / "g")
    assert len(server.asked) == 5
    server.server_close()
    with pytest.raises(DataError, match="cannot be fetched .*refused.*give the same command again"):
        downloading.fetch(server.url("f"), tmp_path / "h", wait_s=0.0)


def test_fetch_compares_with_the_sum_given_and_the_one_noted(server, tmp_path) -> None:
    server.files["f"] = CONTENT
    with pytest.raises(DataError, match=f"part: has SHA-256 {SUM}; --sha256 says 00; remove it"):
        fetched(server, tmp_path, sha256="00")
    path = tmp_path / "data" / "file.zip"
    assert not path.exists()
    assert fetched(server, tmp_path, sha256=SUM.upper()) == CONTENT  # the part sufficed
    path.write_bytes(b"altered")
    with pytest.raises(DataError, match=f"file.zip: has SHA-256 .*SHA256SUMS says {SUM}; remove"):
        fetched(server, tmp_path)


def test_fetch_refuses_a_disk_without_room(server, tmp_path, monkeypatch) -> None:
    server.files["f"] = CONTENT
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 64 * 2**20 + 1000))
    with pytest.raises(DataError, match="0.00 GB are needed and 0.07 GB are free; make room"):
        fetched(server, tmp_path)


def test_fetch_compares_with_the_sum_that_is_known(server, tmp_path) -> None:
    server.files["f"] = CONTENT
    said = "SHA-256 .*; the script says 11; remove it to fetch it again, or give --sha256 with the"
    with pytest.raises(DataError, match=said):
        fetched(server, tmp_path, known="11")
    assert not (tmp_path / "data" / "file.zip").exists()
    assert fetched(server, tmp_path, known="11", sha256=SUM) == CONTENT  # the user knows better
    assert fetched(server, tmp_path, known=SUM) == CONTENT


@pytest.mark.parametrize("url", ["gopher//x", "http://[x/", "http://a b/c"])
def test_fetch_refuses_what_is_no_address(tmp_path, url) -> None:
    with pytest.raises(DataError, match="not an address that can be fetched .*; give one with"):
        downloading.fetch(url, tmp_path / "f", wait_s=0.0)


def test_fetch_refuses_a_place_that_is_no_folder(server, tmp_path) -> None:
    server.files["f"] = CONTENT
    (tmp_path / "data").write_text("x")
    with pytest.raises(DataError, match="data/file.zip: cannot be written"):
        downloading.fetch(server.url("f"), tmp_path / "data" / "file.zip", wait_s=0.0)
