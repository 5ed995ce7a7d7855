"""Stages know their files by content: none vanishes unseen, and folders may move."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from images import save_pairs

from gancompress.errors import DataError, RunError
from gancompress.project import Project
from gancompress.project.files import changed_since, files_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages import pipeline
from gancompress.storage.checkpoint import file_hash, read_json, read_record, write_record
from gancompress.storage.contents import Contents, Files, changes, read_contents
from gancompress.storage.runs import Run


def _files(folder: Path, **content: str) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / name).write_text(text)
    return {f"0/{path.name}": path for path in folder.iterdir()}


def test_what_vanished_came_and_changed_is_counted_with_its_first_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = read_contents(tmp_path, {}, _files(data, a="1", b="2", c="3", d="4"))
    for name in ("a", "b"):
        (data / name).unlink()
    new = read_contents(tmp_path, {}, _files(data, c="5", e="6"))
    told = "2 files vanished (first a), 1 file came (e), 1 file changed (c)"
    assert changes(tmp_path, old.digests, new) == told
    assert changes(tmp_path, new.digests, new) == ""
    shutil.rmtree(tmp_path / "cache")
    assert changes(tmp_path, old.digests, new) == "the images are not the same"


def test_a_moved_folder_holds_the_same(tmp_path: Path) -> None:
    one = read_contents(tmp_path, {}, _files(tmp_path / "one", a="1", b="2"))
    two = read_contents(tmp_path, {}, _files(tmp_path / "two", b="2", a="1"))
    assert one == two
    swapped = read_contents(tmp_path, {}, _files(tmp_path / "two", a="2", b="1"))
    assert changes(tmp_path, one.digests, swapped) == "2 files changed (first a)"


def test_named_files_are_compared_by_themselves_and_what_one_lacks_is_not(tmp_path: Path) -> None:
    weights = _files(tmp_path / "w", x="1", y="2")
    one = read_contents(tmp_path, {"metrics.inception_weights": weights["0/x"]}, {})
    assert one.digests["metrics.inception_weights"] == file_hash(weights["0/x"])
    two = read_contents(tmp_path, {"metrics.inception_weights": weights["0/y"]}, {})
    told = "metrics.inception_weights is another file"
    assert changes(tmp_path, one.digests, two) == told
    assert changes(tmp_path, {}, two) == ""
    with pytest.raises(DataError, match=r"gone: cannot be read \(no such file"):
        read_contents(tmp_path, {}, {"gone": tmp_path / "gone"})


def test_unchanged_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return file_hash(path)

    monkeypatch.setattr("gancompress.storage.filehashes.file_digest", counted)
    files = _files(tmp_path / "data", a="1", b="2")
    first = read_contents(tmp_path, {}, files)
    assert read_contents(tmp_path, {}, files) == first and sorted(read) == ["a", "b"]
    told = (tmp_path / "data" / "a").stat()
    (tmp_path / "new").write_text("3")  # as large, and given the old file's time
    os.utime(tmp_path / "new", ns=(told.st_atime_ns, told.st_mtime_ns))
    (tmp_path / "new").replace(tmp_path / "data" / "a")
    assert read_contents(tmp_path, {}, files) != first
    assert read[2:] == ["a"]
    (tmp_path / "cache" / "file-hashes.json").write_text("no JSON")
    read_contents(tmp_path, {}, files)
    assert sorted(read[3:]) == ["a", "b"]


SECTIONS: dict[str, dict[str, Any]] = {
    "data": {"folder": "photos", "size": 3},
    "family": {"file": "a.py", "sha256": "1"},
}


@pytest.mark.parametrize(
    "key, name, alike",
    [
        ("data.folder", "./photos/", (True, True)),
        ("data.folder", "x/../photos", (True, True)),
        ("data.folder", "other", (True, False)),
        ("family.file", "b.py", (True, True)),
    ],
)
def test_spelling_counts_only_where_content_is_not_known(
    key: str, name: str, alike: tuple[bool, bool]
) -> None:
    section, last = key.split(".")
    now = {**SECTIONS, section: {**SECTIONS[section], last: name}}
    files = Files({key: name}, lambda: Contents({}))
    for any_place, same in zip((True, False), alike, strict=True):
        assert (files.spelled_alike(SECTIONS, now, any_place=any_place) == now) is same
    assert files.moved(SECTIONS) is (name in ("other", "b.py"))
    unset = {**SECTIONS, section: {**SECTIONS[section], last: None}}
    assert files.spelled_alike(unset, now, any_place=True) == unset


TOY = (
    "task.discriminator_width=2", "teacher.width=4", "teacher.steps=1", "teacher.batch_size=1",
    "teacher.decay_from=0", "supernet.steps=1", "supernet.batch_size=1", "supernet.decay_from=0",
    "supernet.init=teacher", "space.preset=null", "space.widths=[4, 2]", "space.ops=[dense]",
    "family.blocks=1", "metrics.features=effnet-lite0", "workers=0",
    "device=cpu", "precision=float32",
    "precision=float32", "search.reduction=2", "search.budget_macs=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pairs` and a run whose teacher was trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    save_pairs(folder / "pairs", 8, 32, 32)
    pipeline.run_stage(Project(_recipe(folder)), "teacher", lambda _: None)
    return folder


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    """A copy of that, at another place."""
    shutil.copytree(trained, tmp_path / "it", copy_function=shutil.copy2)
    return tmp_path / "it"


def _recipe(root: Path, *more: str, folder: str = "pairs") -> Recipe:
    data = f"folder: {root / folder}, load_size: 32, crop_size: 32, search_fraction: 0.25"
    changes = [f"data={{name: pairs, {data}}}", *TOY, f"run={root / 'run'}", *more]
    return load_recipe("edges2shoes", changes)


def _stay(root: Path) -> None:
    """As if the teacher had been trained on the images where they are now."""
    path = root / "run" / "teacher" / "stage.json"
    record = read_record(path)
    record["sections"]["data"]["folder"] = f"{root}/pairs"
    write_record(path, record)


def _begin(recipe: Recipe, name: str = "supernet", redo: bool = False) -> list[str]:
    """What is said when a stage of no steps more than one is done."""
    said: list[str] = []
    pipeline.run_stage(Project(recipe), name, said.append, redo=redo)
    return said


def test_a_later_stage_refuses_other_images_and_says_what_to_do(root: Path) -> None:
    for name in ("000.png", "003.png"):
        (root / "pairs" / name).unlink()
    save_pairs(root / "pairs", 1, 32, 32, first=9)
    sentence = (
        f"{root}/run/teacher: made from other files than there are now: 2 files vanished (first "
        "000.png), 1 file came (009.png); put back what was there, or give `gancompress "
        "train-supernet … --redo` to make supernet from what is there now"
    )
    with pytest.raises(RunError, match=f"^{re.escape(sentence)}$"):
        _begin(_recipe(root))
    assert not (root / "run" / "supernet").exists()
    _stay(root)
    assert "done already" in _begin(_recipe(root), "teacher")[-1]
    said = _begin(_recipe(root), redo=True)
    assert said[-1] == f"supernet: {root}/run/supernet/shared_weights.safetensors"
    contents = [
        read_json(root / "run" / s / "stage.json")["contents"] for s in ("teacher", "supernet")
    ]
    assert contents[0] != contents[1]
    assert "done already" in _begin(_recipe(root))[-1]


@pytest.mark.parametrize("spelled", ["pairs/", "./pairs", "../it/pairs", "moved"])
def test_images_that_moved_or_are_spelled_otherwise_are_the_same(root: Path, spelled: str) -> None:
    if spelled == "moved":
        (root / "pairs").rename(root / "moved")
    recipe = _recipe(root, folder=spelled)
    assert "done already" in _begin(recipe, "teacher")[-1]
    with Run(root / "run").stage("supernet") as stage:
        sections = pipeline.stage_sections(recipe, "supernet")
        files = files_of(Project(recipe), sections)
        assert stage.begin(sections, ("teacher",), files=files) == "new"


def test_another_folder_with_other_images_is_not_taken_for_done(root: Path) -> None:
    save_pairs(root / "other", 8, 32, 32, first=1)
    with pytest.raises(RunError, match=r"run/teacher: made from other files .*: 1 file vanished"):
        _begin(_recipe(root, folder="other"), "teacher")


def test_a_stage_that_was_stopped_refuses_other_images(root: Path) -> None:
    record = read_record(root / "run" / "teacher" / "stage.json")
    write_record(root / "run" / "teacher" / "stage.json", {**record, "finished": False})
    save_pairs(root / "pairs", 1, 32, 32, first=9)
    (root / "pairs" / "009.png").replace(root / "pairs" / "002.png")
    sentence = r"1 file changed \(002.png\); .* train-teacher … --redo` to make teacher from"
    with pytest.raises(RunError, match=sentence):
        _begin(_recipe(root), "teacher")


def test_what_is_done_needs_its_images_no_more(root: Path) -> None:
    _stay(root)
    shutil.rmtree(root / "pairs")
    assert "done already" in _begin(_recipe(root), "teacher")[-1]


def test_runs_of_the_version_before_go_on(root: Path) -> None:
    """They know no contents: there a place counts, though not its spelling."""
    path = root / "run" / "teacher" / "stage.json"
    record = read_record(path)
    del record["contents"]
    record["sections"]["data"]["folder"] = f"{root}//run/../pairs/"
    write_record(path, record)
    assert "done already" in _begin(_recipe(root), "teacher")[-1]
    (root / "pairs" / "000.png").unlink()
    with Run(root / "run").stage("supernet") as stage:
        sections = pipeline.stage_sections(_recipe(root), "supernet")
        files = files_of(Project(_recipe(root)), sections)
        assert stage.begin(sections, ("teacher",), files=files) == "new"
    (root / "pairs").rename(root / "moved")
    with pytest.raises(RunError, match=r"made with another recipe, data\.folder \(was"):
        _begin(_recipe(root, folder="moved"), "teacher")


def test_who_judges_only_is_told_of_other_images(root: Path) -> None:
    recipe = _recipe(root)
    assert changed_since(Project(recipe)) == changed_since(Project(recipe)) == ""
    (root / "pairs" / "000.png").unlink()
    told = f"note: {root}/run/teacher was made from other files than there are now: 1 file vanished"
    assert changed_since(Project(recipe)) == f"{told} (000.png)"


def test_the_commands_tell_of_the_images_once(root: Path) -> None:
    (root / "pairs" / "notes.txt").touch()
    said: list[str] = []
    pipeline.run_stages(Project(_recipe(root)), ("teacher",), said.append, redo=True)
    line = f"pairs: 5 train, 2 search, 1 test images from {root}/pairs; left out: 1 .txt file"
    assert said.count(line) == 1 == sum("images from" in text for text in said)
    assert said.index(line) < said.index(said[-1])  # before the work begins
    said.clear()
    pipeline.run_stages(Project(_recipe(root)), ("teacher",), said.append)
    assert len(said) == 1 and "done already" in said[0]
