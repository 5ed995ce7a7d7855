from __future__ import annotations

from pathlib import Path

import pytest
from images import coded_image, save, save_attributes

from gancompress.data.attributes import Flags, attribute_labels
from gancompress.errors import DataError

NAMES = ("Blond", "Male", "Young")
LABELS = [[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    save_attributes(tmp_path / "images", tmp_path / "list.txt", NAMES, LABELS)
    return tmp_path


def _labels(place: Path, *wanted: str) -> dict[str, Flags]:
    found = attribute_labels(place / "images", place / "list.txt", wanted or NAMES)
    return {path.name: label for path, label in found.items()}


def test_labels_are_those_of_the_lines_in_the_order_asked_for(listed: Path) -> None:
    text = (listed / "list.txt").read_text().split("\n", 2)
    lines = sorted(text[2].splitlines(), reverse=True)
    (listed / "list.txt").write_text("\r\n".join([*text[:2], *lines, "", ""]))
    whole = {f"{i:03}.png": tuple(map(bool, label)) for i, label in enumerate(LABELS)}
    assert _labels(listed) == whole
    turned = {name: (young, blond) for name, (blond, _, young) in whole.items()}
    assert _labels(listed, "Young", "Blond") == turned


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("8\n", "9\n", "line 1 promises 9 images and 8 are listed; get the whole file or"),
        ("8\n", "forty\n", "line 1 is 'forty'; the number of images is needed there"),
        ("003.png  -1", "003.png", r"line 6 is '003\.png  1  1'; a file's name and 3 values"),
        ("003.png  -1", "003.png  0", "line 6 is '003.png  0  1  1'; a file's name and 3 values"),
        ("003.png", "004.png", r"line 7 lists 004\.png again; keep one of its lines"),
        ("003.png", "hat.png", r"lists hat\.png, which is not in .*images \(1 such images\); add"),
        ("Blond", "Brunet", "has no attribute 'Blond'; there are: Brunet, Male, Young"),
        ("Male", "Males", "has no attribute 'Male'; did you mean \"Males\"?"),
    ],
)  # fmt: skip
def test_attribute_files_that_do_not_fit_are_refused(
    listed: Path, old: str, new: str, message: str
) -> None:
    text = (listed / "list.txt").read_text()
    assert old in text
    (listed / "list.txt").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=r"list\.txt: " + message):
        _labels(listed)


def test_attribute_files_that_are_none_are_refused(listed: Path) -> None:
    for content, message in (
        (b"8\n", r"has 1 line\(s\); the number of"),
        (b"\xff", "is not text"),
    ):
        (listed / "list.txt").write_bytes(content)
        with pytest.raises(DataError, match=r"list\.txt: " + message):
            _labels(listed)
    (listed / "list.txt").unlink()
    with pytest.raises(DataError, match=r"list\.txt: cannot be read \(No such file.*; give the"):
        _labels(listed)


def test_image_that_is_not_listed_is_refused(listed: Path) -> None:
    save(listed / "images" / "new.png", coded_image(0, 1))
    with pytest.raises(
        DataError, match=r"new\.png: is not listed in .*list\.txt \(1 such images\)"
    ):
        _labels(listed)


@pytest.mark.parametrize(
    ("separator", "yes", "no"), [(",", "1", "-1"), (";", "1", "0"), ("\t", "TRUE", "False")]
)
def test_a_table_gives_the_labels_of_the_text_file(
    listed: Path, separator: str, yes: str, no: str
) -> None:
    expected = _labels(listed, "Young", "Blond")
    rows = [["image_id", "Blond", "age, or so", "Male", "Young"]]
    for number, (blond, male, young) in enumerate(LABELS):
        words = [yes if flag else no for flag in (blond, male, young)]
        rows.append([f"{number:03}.png", words[0], "34", words[1], words[2]])
    lines = [separator.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows]
    (listed / "list.txt").write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    assert _labels(listed, "Young", "Blond") == expected
    with pytest.raises(DataError, match=r"list\.txt: line 2 is .*; 5 columns are needed, and for"):
        _labels(listed, "age, or so")
    (listed / "list.txt").write_text("\n".join(lines).replace("003.png", "002.png"))
    with pytest.raises(DataError, match=r"list\.txt: line 5 lists 002\.png again"):
        _labels(listed, "Young")


def test_a_table_has_one_way_of_saying_no(listed: Path) -> None:
    lines = [f"{n:03}.png,{-1 if n == 2 else n % 2}" for n in range(8)]
    (listed / "list.txt").write_text("\n".join(["name,Male", *lines]))
    with pytest.raises(DataError, match=r"line 4 is '002\.png,-1'; .* the same throughout"):
        _labels(listed, "Male")
