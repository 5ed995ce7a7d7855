"""`gancompress apply` writes as many files as it says: no two answers share a name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from images import noise, save
from PIL import Image

from gancompress.apps import applytasks
from gancompress.apps.apply import Applied, apply
from gancompress.apps.applytasks import answer_names, jobs_of
from gancompress.cli.filecommands import at_home, place_of
from gancompress.errors import DataError
from gancompress.export.card import Card, Model
from gancompress.nets.families import family_of

FAMILY = family_of("resnet", in_channels=3, out_channels=3, blocks=1)


def model() -> Model:
    """Answers with the input's negative."""
    card = Card(FAMILY.options, 3, 3, (16, 16), 4)
    return Model(torch.neg, FAMILY.uniform(8), card, "model.safetensors")


def quiet(text: str) -> None:
    """Says nothing."""


def test_as_many_files_as_are_said_to_be_written(tmp_path: Path) -> None:
    names = ["x.png", "x.jpg", "x.jpg.webp", "y.png", "Y.bmp", "z/a.png", "Z/A.PNG", "z/b.tif"]
    for i, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(16, 16, seed=i)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").touch()
    said: list[str] = []
    assert apply(model(), tmp_path / "in", tmp_path / "out", say=said.append) == Applied(8, 0, ())
    assert said == [f"{tmp_path}/out: 8 written", "left out: 1 .txt file"]
    written = sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*.png"))
    assert len({str(path).casefold() for path in written}) == 8
    alone = {}
    for name in names:
        apply(model(), tmp_path / "in" / name, tmp_path / "one.png", say=quiet, redo=True)
        alone[name] = (tmp_path / "one.png").read_bytes()
    answers = [(tmp_path / "out" / path).read_bytes() for path in written]
    assert sorted(answers) == sorted(alone.values())
    own = {"x.jpg.webp": "x.jpg.webp.png", "x.jpg": "x.jpg.png", "z/b.tif": "z/b.png"}
    for name, place in own.items():
        assert (tmp_path / "out" / place).read_bytes() == alone[name]


@pytest.mark.parametrize(
    "images, names",
    [
        (["a.png", "b.jpg"], ["a.png", "b.png"]),
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
        (["a.jpg", "a.jpg.png"], ["a.png", "a.jpg.png.png"]),
        (["A.png", "a.png"], ["A.png.png", "a.png-2.png"]),
        (["\u00e9.png", "e\u0301.jpg"], ["\u00e9.png.png", "e\u0301.jpg.png"]),
        (["d/a.png", "e/a.png"], ["d/a.png", "e/a.png"]),
        (["D/a.png", "d/a.png"], ["D/a.png.png", "d/a.png-2.png"]),
        (["v1.2.png", "v1.3.png"], ["v1.2.png", "v1.3.png"]),
    ],
)
def test_names_of_answers(images: list[str], names: list[str]) -> None:
    assert [str(name) for name in answer_names([Path(i) for i in images], ".png")] == names


def test_an_answer_never_takes_the_place_of_another_image_to_read(tmp_path: Path) -> None:
    save(tmp_path / "in" / "b" / "a.jpg", noise(16, 16))
    save(tmp_path / "in" / "a.png", noise(16, 16))
    save(tmp_path / "in" / "b" / "b" / "a.png", noise(16, 16))
    with pytest.raises(DataError, match=r"in/b/b/a\.png: is an image to read"):
        apply(model(), tmp_path / "in" / "b", tmp_path / "in" / "b", say=quiet)


def test_options_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert at_home(Path("~/x")) == place_of("~/x") == tmp_path / "x"
    assert at_home(Path("x/~")) == Path("x/~") and at_home(None) is None


def test_thousands_of_names_that_differ_in_case_alone_are_each_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    real = applytasks._folded
    monkeypatch.setattr(applytasks, "_folded", lambda path: asked.append(path) or real(path))
    count = 1000
    letters = ["".join(c.upper() if n >> i & 1 else c for i, c in enumerate("abcdefghij"))
               for n in range(count)]  # fmt: skip
    names = answer_names([Path(f"{name}.jpg") for name in letters], ".png")
    assert len({str(name).casefold() for name in names}) == count
    assert names[-1] == Path(f"{letters[-1]}.jpg-{count}.png")
    assert len(asked) <= 6 * count


def test_a_folder_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(300):
        (tmp_path / "in" / f"{i % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"{i % 3}" / f"{i}.png").touch()
    followed, scanned = [], []
    realpath, scandir = os.path.realpath, os.scandir
    monkeypatch.setattr(os.path, "realpath", lambda p, **k: followed.append(p) or realpath(p, **k))
    monkeypatch.setattr(os, "scandir", lambda p: scanned.append(p) or scandir(p))
    listed = jobs_of(tmp_path / "in", tmp_path / "out", ".png")
    assert len(listed.tasks) == 300
    assert len(scanned) == 4 and len(followed) <= 2 + 2 * 4


def test_what_has_an_image_s_name_and_is_none_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = save(folder / "good.png", noise(16, 16))
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("good.png")
    (folder / "locked").mkdir()
    long = folder / ("x" * 251 + ".jpg")
    long.write_bytes(good.read_bytes())
    long.with_suffix(".png").write_bytes(good.read_bytes())
    (folder / os.fsdecode(b"\xff.png")).write_bytes(good.read_bytes())
    said: list[str] = []
    got = apply(model(), folder, tmp_path / "out", say=said.append)
    assert got.written == 3
    reasons = {"pipe.png": "a named pipe", "loop.png": "symbolic links", "gone.png": "No such file",
               "x.jpg": "its answer's name has 259 bytes; at most 255",
               "x.png": "its answer's name has 259 bytes"}  # fmt: skip
    assert len(got.left_out) == len(reasons)
    for name, reason in reasons.items():
        assert any(f"{name}: " in sentence and reason in sentence for sentence in got.left_out)
    with pytest.raises(DataError, match=r"pipe\.png: cannot be read \(a named pipe"):
        apply(model(), folder / "pipe.png", tmp_path / "one.png", say=quiet)
