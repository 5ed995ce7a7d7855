"""A hundred of the files of scripts/fuzz_images.py, and that it would tell of what it looks for."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))

import fuzz_images
from brokenimages import broken, whole_files

from gancompress.data.formats import FORMATS
from gancompress.data.images import read_image
from gancompress.errors import DataError


def test_a_hundred_broken_images_are_read_or_refused_by_name() -> None:
    ends: Counter[str] = Counter()
    for seed, found, ways in fuzz_images.cases(range(100)):
        assert set(ways.values()) <= set(fuzz_images.GOOD), (seed, found.how, ways)
        assert (ways["training"] == "read") == (ways["apply"] == "read"), (seed, found.how)
        ends[ways["apply"]] += 1
    assert min(ends["read"], ends["refused by name"]) >= 20  # both sides are met


def test_the_whole_files_are_of_all_formats_that_pillow_writes_and_can_be_read(
    tmp_path: Path,
) -> None:
    whole = whole_files()
    suffixes = {name.split()[1] for name in whole}
    written = {Image.registered_extensions().get(suffix) for suffix in suffixes - {".npy"}}
    assert written == Image.SAVE.keys() & {*FORMATS}
    for name, content in whole.items():
        path = tmp_path / f"a{name.split()[1]}"
        path.write_bytes(content)
        if name.split()[0] != "F":  # whose white is not known
            assert {*read_image(path).shape[:2]} == {20, 24}, name
    assert broken(whole, 5) == broken(whole, 5) != broken(whole, 6)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (DataError("a.png: bad"), "refused by name"),
        (DataError("bad"), "refused otherwise: bad"),
        (DataError("a.png: bad\nworse"), "refused otherwise: a.png: bad\nworse"),
        (KeyError("x"), "traceback: KeyError: 'x'"),
    ],
)
def test_outcomes_are_told_apart(error: Exception, end: str) -> None:
    def work() -> None:
        raise error

    assert fuzz_images.outcome(work, "a.png") == end


def test_a_hang_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_images, "SECONDS", 0.05)

    def work(wait: Callable[[float], None] = time.sleep) -> None:
        while True:
            wait(0.01)

    assert fuzz_images.outcome(work, "a.png") == "hang"
