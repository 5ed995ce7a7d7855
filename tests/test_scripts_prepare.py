"""The scripts that prepare data sets: from archives to folders that the data sets read."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from images import noise
from opening import label_maps, pair_folders, unpaired_folders
from PIL import Image
from preparing import (
    Server,
    downloading,
    png,
    prepare_cityscapes,
    prepare_coco_stuff,
    prepare_cyclegan,
    prepare_pix2pix,
    serving,
    tarred,
    zipped,
)

from gancompress.errors import DataError
from gancompress.recipe.reading import load_recipe


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_pix2pix_set_is_fetched_unpacked_and_read(server, tmp_path, capsys) -> None:
    files = {
        f"toy/{split}/{number}.png": png(noise(8, 16, seed=number))
        for split, count in (("train", 4), ("val", 2))
        for number in range(count)
    }
    server.files["toy.tar.gz"] = tarred({**files, "toy/._junk.png": b"", "toy/readme.txt": b"hi"})
    server.break_after = [500]
    folder = tmp_path / "sets" / "toy"
    argv = ["toy", "--url", server.url("toy.tar.gz"), "--folder", str(folder)]
    for _ in range(2):
        prepare_pix2pix.main(argv)
    assert len(server.asked) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[-2:] == [f"{folder}/train: 4 images", f"{folder}/val: 2 images"]
    assert "toy.tar.gz: SHA-256 " in out[0]
    data = pair_folders(folder=folder, load_size=8, crop_size=8)
    assert [data.count(split) for split in ("train", "search", "test")] == [3, 1, 2]
    prepare_pix2pix.main([*argv, "--remove-archive"])
    prepare_pix2pix.main(argv)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["SHA256SUMS", "toy"]
    with pytest.raises(DataError, match="toy: has no trainA/, so it is another data set; move"):
        prepare_cyclegan.main(argv)


def test_cyclegan_set_is_fetched_unpacked_and_read(server, tmp_path) -> None:
    counts = {"trainA": 5, "trainB": 4, "testA": 3, "testB": 2}
    server.files["toy.zip"] = zipped(
        {
            f"toy/{side}/{number}.png": png(noise(8, 8, seed=number))
            for side, count in counts.items()
            for number in range(count)
        }
        | {"__MACOSX/toy/trainA/._0.png": b"", "toy/trainA/.DS_Store": b""}
    )
    folder = tmp_path / "toy"
    prepare_cyclegan.main(["toy", "--url", server.url("toy.zip"), "--folder", str(folder)])
    assert {p.name: len(list(p.iterdir())) for p in folder.iterdir()} == counts
    data = unpaired_folders(layout="cyclegan", folder=folder, load_size=8, crop_size=8)
    assert data.count("test") == 3


def test_unknown_sets_and_those_under_licence_are_refused(capsys, monkeypatch) -> None:
    def code(module: ModuleType, *argv: str) -> int:
        return downloading.run(lambda: module.main(argv))

    monkeypatch.setattr(sys, "argv", ["prepare_x.py"])
    assert code(prepare_pix2pix, "edges2shoe") == 2
    assert 'x.py: edges2shoe: no such data set; did you mean "edges2shoes"?' in _err(capsys)
    assert code(prepare_cyclegan, "tables") == 2
    assert "no such data set; one of apple2orange, cezanne2photo" in _err(capsys)
    assert code(prepare_pix2pix, "cityscapes") == 2
    assert "licence lets nobody pass it on; get the two archives" in _err(capsys)
    assert code(prepare_cityscapes, "a.zip", "b.zip", "--folder", "/nowhere/at/all") == 2
    assert "a.zip: no such file; download it from cityscapes-dataset.com" in _err(capsys)


def _err(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_every_script_teaches_its_use(capsys) -> None:
    modules = (prepare_pix2pix, prepare_cyclegan, prepare_cityscapes, prepare_coco_stuff)
    for module in modules:
        with pytest.raises(SystemExit) as stopped:
            module.main(["--help"])
        assert stopped.value.code == 0
        text = capsys.readouterr().out
        assert f"python scripts/{module.__name__}.py" in text and "gancompress run" in text
        assert "--folder" in text


def test_cityscapes_archives_become_its_layout(tmp_path, capsys) -> None:
    images, labels = {}, {}
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for number in range(count):
            stem = f"{split}/aachen/aachen_00000{number}"
            images[f"leftImg8bit/{stem}_leftImg8bit.png"] = png(noise(8, 16, seed=number))
            ids = rng.integers(0, 34, (8, 16), np.uint8)
            labels[f"gtFine/{stem}_gtFine_labelIds.png"] = png(ids[..., None])
            wide = ids.astype(np.uint16) * 1000 + 3
            buffer = io.BytesIO()
            Image.fromarray(wide).save(buffer, "PNG")
            labels[f"gtFine/{stem}_gtFine_instanceIds.png"] = buffer.getvalue()
            labels[f"gtFine/{stem}_gtFine_color.png"] = b"not needed"
            labels[f"gtFine/{stem}_gtFine_polygons.json"] = b"not needed"
    archives = [tmp_path / "images.zip", tmp_path / "labels.zip"]
    for path, files in zip(archives, (images, labels), strict=True):
        path.write_bytes(zipped({"README": b"", "license.txt": b"", **files}))
    folder = tmp_path / "cityscapes"
    argv = [*map(str, archives), "--folder", str(folder)]
    prepare_cityscapes.main(argv)
    out = capsys.readouterr().out
    assert "3 photographs with their maps in train; all of Cityscapes has 2,975" in out
    assert sum(1 for _ in folder.rglob("*.png")) == 4 * 3
    sizes = {"load_size": (8, 16), "crop_size": (8, 16)}
    data = label_maps(layout="cityscapes", folder=folder, classes=35, unknown=255, **sizes)
    data.check()
    assert data.batch("test", [0], None)["input"].shape == (1, 36, 8, 16)
    for path in archives:
        path.unlink()
    prepare_cityscapes.main(argv)  # all is there: they are not needed any more
    next(folder.glob("gtFine/val/*/*labelIds.png")).unlink()
    with pytest.raises(DataError, match="labelIds.png: no such file, which .* needs; add it"):
        prepare_cityscapes.main(argv)


SQUARE = [[1.0, 1.0, 4.0, 1.0, 4.0, 4.0, 1.0, 4.0]]
CROWD = {"size": [8, 10], "counts": [8 * 6, 3, 5, 3, 8 * 2 + 5]}  # two columns of three, from x 6


def coco_files(server: Server) -> None:
    rng = np.random.default_rng(1)
    maps: dict[str, bytes] = {}
    notes: dict[str, bytes] = {}
    for split, count in (("train", 4), ("val", 1)):
        photographs, listed = {}, []
        for number in range(count):
            name = f"{split}2017/{number:012}"
            photographs[f"{name}.jpg"] = png(noise(8, 10, seed=number))
            ids = rng.choice(np.array([0, 5, 181, 255], np.uint8), (8, 10, 1))
            maps[f"{name}.png"] = png(ids)
            listed.append({"image_id": number, "segmentation": SQUARE, "iscrowd": 0})
        listed.append({"image_id": 0, "segmentation": CROWD, "iscrowd": 1})
        server.files[f"{split}2017.zip"] = zipped(photographs)
        notes[f"annotations/instances_{split}2017.json"] = json.dumps(
            {"annotations": listed}
        ).encode()
        notes[f"annotations/captions_{split}2017.json"] = b"{}"
    server.files["stuffthingmaps_trainval2017.zip"] = zipped(maps)
    server.files["annotations_trainval2017.zip"] = zipped(notes)


def test_coco_stuff_becomes_its_layout(server, tmp_path, monkeypatch) -> None:
    coco_files(server)
    sources = {name: server.url(name) for name in prepare_coco_stuff.SOURCES}
    monkeypatch.setattr(prepare_coco_stuff, "SOURCES", sources)
    monkeypatch.setattr(prepare_coco_stuff, "SHA256", {})  # of archives that are not these
    folder = tmp_path / "coco"
    prepare_coco_stuff.main(["--folder", str(folder)])
    asked = [name for name, _ in server.asked]
    assert sorted(asked) == sorted(sources)
    data = label_maps(
        layout="coco-stuff", folder=folder, classes=182, unknown=255, unknown_class=True,
        load_size=(8, 10), crop_size=(8, 10),
    )  # fmt: skip
    data.check()
    assert data.batch("test", [0], None)["input"].shape == (1, 184, 8, 10)
    labels = np.asarray(Image.open(folder / "train_label" / f"{0:012}.png"))
    ids = np.asarray(Image.open(folder / "train_inst" / f"{0:012}.png"))
    expected = labels.astype(int)
    expected[1:5, 1:5] = 256  # Pillow's polygons contain their border
    expected[0:3, 6:8] = 257
    assert ids.tolist() == expected.tolist()
    prepare_coco_stuff.main(["--folder", str(folder), "--remove-archives"])
    prepare_coco_stuff.main(["--folder", str(folder)])
    assert len(server.asked) == 4
    assert sorted(p.name for p in folder.iterdir()) == [
        "annotations", *(f"{s}_{k}" for s in ("train", "val") for k in ("img", "inst", "label")),
    ]  # fmt: skip


def test_archives_whose_sum_is_known_are_compared_with_it(server, tmp_path, monkeypatch) -> None:
    coco_files(server)
    sources = {name: server.url(name) for name in prepare_coco_stuff.SOURCES}
    monkeypatch.setattr(prepare_coco_stuff, "SOURCES", sources)
    with pytest.raises(DataError, match="train2017.zip.part: has SHA-256 .*; the script says 69a8"):
        prepare_coco_stuff.main(["--folder", str(tmp_path / "coco")])
    assert not (tmp_path / "coco" / "train_img").exists()
    known = [*prepare_cyclegan.SHA256.values(), *prepare_coco_stuff.SHA256.values()]
    assert len(known) == 13 and all(re.fullmatch("[0-9a-f]{64}", one) for one in known)
    assert all(
        url.startswith("https://") for url in (prepare_cyclegan.SERVER, prepare_pix2pix.SERVER)
    )


def test_damaged_label_maps_and_annotations_are_one_sentence(tmp_path) -> None:
    maps, notes = tmp_path / "train_label", tmp_path / "annotations"
    for folder in (maps, notes):
        folder.mkdir()
    whole, listed = png(np.zeros((8, 10, 1), np.uint8)), {"image_id": 1, "segmentation": SQUARE}
    cases = {
        "1.png": (whole[:40], [listed]),
        "x.png": (whole, [listed]),
        "2.png": (whole, [{"image_id": 2, "segmentation": {"size": [8, 10], "counts": [3]}}]),
        "3.png": (whole, [{"image_id": 3, "segmentation": 5}]),
        "4.png": (whole, [{"image_id": 4}]),
        "5.png": (whole, 3),
    }
    for name, (content, told) in cases.items():
        (maps / name).write_bytes(content)
        text = json.dumps({"annotations": told})
        (notes / "instances_train2017.json").write_text(text)
        with pytest.raises(
            DataError, match=f"({name}|train2017.json): (missing or )?damaged.*remov"
        ):
            prepare_coco_stuff.make_instances(tmp_path, "train")
        (maps / name).unlink()


def test_coco_instances_go_on_with_those_begun(server, tmp_path, monkeypatch) -> None:
    coco_files(server)
    sources = {name: server.url(name) for name in prepare_coco_stuff.SOURCES}
    monkeypatch.setattr(prepare_coco_stuff, "SOURCES", sources)
    monkeypatch.setattr(prepare_coco_stuff, "SHA256", {})  # of archives that are not these
    folder, calls = tmp_path / "coco", []
    draw = prepare_coco_stuff.instance_map

    def once(path: Path, annotations: Any) -> Any:
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(path, annotations)

    monkeypatch.setattr(prepare_coco_stuff, "instance_map", once)
    with pytest.raises(KeyboardInterrupt):
        prepare_coco_stuff.main(["--folder", str(folder)])
    assert not (folder / "train_inst").exists()
    prepare_coco_stuff.main(["--folder", str(folder)])
    assert calls == [f"{n:012}.png" for n in (0, 1, 2, 2, 3, 0)]
    assert len(list((folder / "train_inst").iterdir())) == 4


def test_run_lengths_and_polygons_of_one_shape_agree() -> None:
    shape = np.zeros((8, 10), bool)
    shape[2:7, 3:5] = True
    flat = shape.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    assert (prepare_coco_stuff.from_runs(counts, 8, 10) == shape).all()
    polygon = [3.0, 2.0, 4.0, 2.0, 4.0, 6.0, 3.0, 6.0]
    assert (prepare_coco_stuff.from_polygons([polygon, [1.0, 1.0, 2.0, 2.0]], 8, 10) == shape).all()


def test_recipes_read_what_the_scripts_prepare_with_the_settings_of_the_papers() -> None:
    names = ("cityscapes", "coco-stuff", "horse2zebra")
    cities, coco, horses = map(load_recipe, names)
    assert [made.data.folder for made in (cities, coco, horses)] == [f"datasets/{n}" for n in names]
    assert (cities.data.channels, cities.data.image_size) == ((36, 3), (256, 512))
    assert (coco.data.channels, coco.data.image_size) == ((184, 3), (256, 256))
    for made in (cities, coco):
        assert (made.teacher.lr, made.teacher.lr_discriminator) == (1e-4, 4e-4)
        assert (made.teacher.beta1, made.teacher.beta2) == (0.0, 0.9)
    task = horses.task
    assert (task.gan, task.lambda_cycle, task.lambda_identity, task.pool) == ("lsgan", 10, 0.5, 50)
    assert horses.data.layout == "cyclegan"
