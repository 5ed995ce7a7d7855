from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from images import Pixels, noise, save, to_bytes
from opening import label_maps
from PIL import Image

from gancompress.data.dataset import SPLITS
from gancompress.data.labelchannels import edges, label_picture, palette
from gancompress.data.labelcodes import LabelCodes, colour_table
from gancompress.data.labelmaps import LabelMaps
from gancompress.errors import DataError

CLASSES = 5
TABLE = [[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 40], [40, 220, 220]]


def _labels(seed: int, height: int = 8, width: int = 8, count: int = CLASSES) -> Pixels:
    return np.random.default_rng(seed).integers(0, count, (height, width, 1), np.uint8)


def _photograph(labels: npt.NDArray[np.uint8]) -> Pixels:
    """(H, W, 3) by which the labels can be told."""
    return (labels * 40 + np.array([0, 5, 10])).astype(np.uint8)


def _fill(folder: Path, count: int = 6, with_instances: bool = False) -> None:
    for number in range(count):
        labels = _labels(number)
        save(folder / "labels" / f"{number}.png", labels)
        save(folder / "photos" / f"{number}.bmp", _photograph(labels))
        if with_instances:
            save(folder / "instances" / f"{number}.png", _labels(number + 50))


def _maps(folder: Path, **settings: object) -> LabelMaps:
    defaults = {
        "classes": CLASSES, "label_folder": folder / "labels", "image_folder": folder / "photos",
        "load_size": 8, "crop_size": 8, "flip": False,
    }  # fmt: skip
    return label_maps(**{**defaults, **settings})


def _classes(channels: torch.Tensor) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = channels.argmax(1).numpy()
    return found


def test_files_of_equal_stems_give_planes_and_their_photograph(tmp_path: Path) -> None:
    _fill(tmp_path)
    data = _maps(tmp_path)
    assert (data.channels, data.paired, data.class_names) == ((5, 3), True, tuple("01234"))
    seen = []
    for split in SPLITS:
        batch = data.batch(split, range(data.count(split)), None)
        assert set(batch["input"].unique().tolist()) == {0, 1}
        assert torch.equal(batch["input"].sum(1), torch.ones(data.count(split), 8, 8))
        labels = _classes(batch["input"])
        assert np.array_equal(to_bytes(batch["target"]), _photograph(labels[..., None]))
        seen += [labels.tobytes() for labels in labels.astype(np.uint8)]
    assert sorted(seen) == sorted(_labels(number).tobytes() for number in range(6))


@pytest.mark.parametrize("form", ["gray", "deep", "palette", "array", "colours", "colour palette"])
def test_labels_are_read_in_every_form(tmp_path: Path, form: str) -> None:
    _fill(tmp_path)
    settings: dict[str, object] = {"colours": TABLE} if form.startswith("colour") else {}
    wanted = _maps(tmp_path).batch("train", range(4), None)["input"]
    for number in range(6):
        labels, path = _labels(number)[..., 0], tmp_path / "labels" / f"{number}.png"
        indexed = Image.fromarray(labels)
        indexed.putpalette(
            np.array(TABLE[::-1] if form == "palette" else TABLE, np.uint8).tobytes()
        )
        match form:
            case "deep":
                Image.fromarray(labels.astype(np.uint16)).save(path)
            case "palette" | "colour palette":
                indexed.save(path)
            case "array":
                path.unlink()
                np.save(path.with_suffix(".npy"), labels)
            case "colours":
                save(path, np.array(TABLE, np.uint8)[labels])
    assert torch.equal(_maps(tmp_path, **settings).batch("train", range(4), None)["input"], wanted)


def test_colours_come_from_a_file_too(tmp_path: Path) -> None:
    _fill(tmp_path)
    for number in range(6):
        pixels = np.array(TABLE, np.uint8)[_labels(number)[..., 0]]
        save(tmp_path / "labels" / f"{number}.png", pixels)
    lines = [f"{r} {g}\t{b} class number {i}" for i, (r, g, b) in enumerate(TABLE)]
    (tmp_path / "table.txt").write_text("\n".join(["# r g b name", "", *lines, ""]))
    listed, written = (
        _maps(tmp_path, colours=TABLE),
        _maps(tmp_path, colour_file=tmp_path / "table.txt"),
    )
    one, two = (data.batch("test", [0], None)["input"] for data in (listed, written))
    assert torch.equal(one, two)
    assert listed.content_hash("test") == written.content_hash("test")


@pytest.mark.parametrize("own_plane", [False, True])
def test_unknown_pixels_have_no_class_or_a_plane_of_their_own(
    tmp_path: Path, own_plane: bool
) -> None:
    _fill(tmp_path)
    for number in range(6):
        labels = _labels(number)
        labels[2:4] = 255
        save(tmp_path / "labels" / f"{number}.png", labels)
    data = _maps(tmp_path, unknown=255, unknown_class=own_plane)
    channels = data.batch("test", [0], None)["input"]
    assert channels.shape[1] == data.channels[0] == CLASSES + own_plane
    assert (channels[:, :CLASSES].sum(1)[:, 2:4] == 0).all()
    assert (channels[:, :CLASSES].sum(1)[:, 4:] == 1).all()
    if own_plane:
        assert (channels[:, CLASSES, 2:4] == 1).all() and channels[:, CLASSES].sum() == 16


def test_instances_give_a_last_plane_of_their_borders(tmp_path: Path) -> None:
    _fill(tmp_path, with_instances=True)
    folder = tmp_path / "instances"
    data = _maps(tmp_path, instance_folder=folder)
    assert data.channels == (6, 3)
    without = _maps(tmp_path, instance_folder=folder, edges=False)
    assert without.channels == (5, 3)
    one = data.batch("train", range(4), None)["input"]
    assert torch.equal(one[:, :5], without.batch("train", range(4), None)["input"])
    numbers = {_labels(number).tobytes(): number for number in range(6)}
    for channels, labels in zip(one, _classes(one[:, :5]).astype(np.uint8), strict=True):
        instances = _labels(numbers[labels.tobytes()] + 50)[..., 0]
        assert np.array_equal(channels[5].numpy() == 1, edges(instances[None])[0])
    for number in range(6):  # an id for each colour
        save(folder / f"{number}.png", np.array(TABLE, np.uint8)[_labels(number + 50)[..., 0]])
    coloured = _maps(tmp_path, instance_folder=folder).batch("train", range(4), None)["input"]
    assert torch.equal(coloured, one)


def test_crop_and_flip_are_the_same_for_labels_instances_and_photograph(tmp_path: Path) -> None:
    for number in range(3):
        labels = _labels(number, 12, 10)
        save(tmp_path / "labels" / f"{number}.png", labels)
        save(tmp_path / "instances" / f"{number}.png", labels)
        save(tmp_path / "photos" / f"{number}.png", _photograph(labels))
    sizes = {"load_size": [12, 10], "crop_size": [8, 6], "instance_folder": tmp_path / "instances"}
    data = _maps(tmp_path, flip=True, **sizes)
    batch = data.batch("train", [0] * 60, np.random.default_rng(0))
    labels = _classes(batch["input"][:, :CLASSES])
    assert np.array_equal(to_bytes(batch["target"]), _photograph(labels[..., None]))
    assert np.array_equal(batch["input"][:, CLASSES].numpy() == 1, edges(labels))
    assert len({one.tobytes() for one in labels}) > 30  # of 25 crops, mirrored or not
    again = _maps(tmp_path, flip=True, cache_mb=0, **sizes)
    streamed = again.batch("train", [0] * 60, np.random.default_rng(0))
    assert all(torch.equal(batch[key], streamed[key]) for key in batch)


def test_evaluation_takes_the_nearest_label_and_the_resized_photograph(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "labels" / f"{number}.png", _labels(1, 8, 12).repeat(3, 0).repeat(3, 1))
        save(tmp_path / "photos" / f"{number}.png", noise(24, 36, seed=1))
    batch = _maps(tmp_path, load_size=16, crop_size=[8, 12]).batch("test", [0], None)
    assert np.array_equal(_classes(batch["input"])[0], _labels(1, 8, 12)[..., 0])
    small = Image.fromarray(noise(24, 36, seed=1)).resize((12, 8), Image.Resampling.BICUBIC)
    assert np.array_equal(to_bytes(batch["target"])[0], np.asarray(small))


def test_gray_photographs_become_rgb(tmp_path: Path) -> None:
    _fill(tmp_path)
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.bmp", noise(8, 8, 1, seed=number))
    assert _maps(tmp_path).batch("test", [0], None)["target"].shape == (1, 3, 8, 8)


def test_label_maps_are_shown_in_their_colours_with_dark_edges(tmp_path: Path) -> None:
    _fill(tmp_path, with_instances=True)
    data = _maps(tmp_path, colours=TABLE)
    channels = data.batch("test", [0], None)["input"]
    assert np.array_equal(
        to_bytes(data.shown(channels)), np.array(TABLE, np.uint8)[_classes(channels)]
    )
    with_edges = _maps(tmp_path, instance_folder=tmp_path / "instances")
    channels = with_edges.batch("test", [0], None)["input"]
    picture = with_edges.shown(channels)
    assert picture.shape == (1, 3, 8, 8) and picture.min() >= -1 and picture.max() <= 1
    plain = label_picture(channels[:, :5], palette(5), has_edges=False)
    is_edge = (channels[:, 5:] == 1).expand_as(plain)
    assert torch.equal(picture[~is_edge], plain[~is_edge])
    assert (picture[is_edge] <= plain[is_edge]).all() and picture[is_edge].mean() < -0.5
    none = torch.zeros(1, 5, 2, 2)
    assert (label_picture(none, palette(5), has_edges=False) == 0).all()


def _spoil(folder: Path, number: int, pixels: Pixels) -> None:
    save(folder / "labels" / f"{number}.png", pixels)


@pytest.mark.parametrize(
    ("value", "settings", "message"),
    [
        (5, {}, r"labels/3\.png: has the label id 5; 0 to 4 are allowed$"),
        (255, {}, r"labels/3\.png: has the label id 255; 0 to 4 are allowed$"),
        (7, {"unknown": 255}, r"3\.png: has the label id 7; 0 to 4, and 255 for unknown, are"),
    ],
)
def test_label_ids_outside_the_table_are_refused(
    tmp_path: Path, value: int, settings: dict[str, object], message: str
) -> None:
    _fill(tmp_path)
    labels = _labels(3)
    labels[4, 4] = value
    _spoil(tmp_path, 3, labels)
    with pytest.raises(DataError, match=message):
        _maps(tmp_path, **settings).check()


def test_colours_outside_the_table_are_refused(tmp_path: Path) -> None:
    _fill(tmp_path)
    pixels = np.array(TABLE, np.uint8)[_labels(3)[..., 0]]
    pixels[1, 1] = 1, 2, 3
    _spoil(tmp_path, 3, pixels)
    with pytest.raises(DataError, match=r"3\.png: has the colour \[1, 2, 3\], which is not in"):
        _maps(tmp_path, colours=TABLE).check()
    with pytest.raises(DataError, match=r"3\.png: is in colour; give its table as colours or"):
        _maps(tmp_path).check()


def test_images_of_other_sizes_are_refused_with_both_names(tmp_path: Path) -> None:
    _fill(tmp_path, with_instances=True)
    save(tmp_path / "instances" / "4.png", _labels(0, 4, 4))
    data = _maps(tmp_path, instance_folder=tmp_path / "instances")
    with pytest.raises(
        DataError, match=r"instances/4\.png: is 4x4 and its label image .*4\.png is"
    ):
        data.check()
    save(tmp_path / "photos" / "2.bmp", noise(8, 9))
    with pytest.raises(
        DataError, match=r"photos/2\.bmp: is 9x8 and its label image .*labels/2\.png is 8x8; both"
    ):
        _maps(tmp_path).check()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 2 3"], r"table\.txt: has 1 colours; one for each of 5 classes"),
        (["1 2 3", "1 2 cat"], r"table\.txt: line 2 is '1 2 cat'; r g b of a class are needed"),
        (["1 2 3", "1 2 300"], r"table\.txt: class 1 has \[1, 2, 300\]; three of 0 to 255"),
        (["1 2 3", "4 5 6", "1 2 3 x"], r"table\.txt: classes 0 and 2 both have \[1, 2, 3\]"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    _fill(tmp_path)
    (tmp_path / "table.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        _maps(tmp_path, colour_file=tmp_path / "table.txt")
    with pytest.raises(DataError, match=r"none\.txt: cannot be read \(No such file.*; give the"):
        _maps(tmp_path, colour_file=tmp_path / "none.txt")


def test_content_hash_follows_all_files_and_settings(tmp_path: Path) -> None:
    for split in ("train", "search", "test"):
        for kind in ("labels", "photos", "instances"):
            pixels = _labels(3) if kind == "labels" else noise(8, 8)
            save(tmp_path / kind / split / "0.png", pixels)

    def of(**settings: object) -> str:
        folder = tmp_path / "instances"
        return _maps(tmp_path, instance_folder=folder, **settings).content_hash("test")

    hashes = [of(), of(edges=False), of(unknown=255), of(unknown=255, unknown_class=True)]
    hashes += [of(colours=TABLE), of(classes=6), of(crop_size=4), of(flip=True)]
    for kind in ("labels", "photos", "instances"):
        save(
            tmp_path / kind / "test" / "0.png",
            _labels(9) if kind == "labels" else noise(8, 8, seed=9),
        )
        hashes.append(of())
    assert len(set(hashes)) == 11


@pytest.mark.parametrize("form", ["L", "1", "P", "RGB", "npy"])
def test_masks_of_black_and_white_are_two_classes_by_their_colours(
    tmp_path: Path, form: str
) -> None:
    mask = noise(6, 8, 1)[..., 0] > 127
    shades = np.where(mask, 255, 0).astype(np.uint8)
    path = tmp_path / f"a.{'npy' if form == 'npy' else 'png'}"
    if form == "npy":
        np.save(path, shades)
    elif form == "P":  # numbered the other way round: its table tells
        image = Image.fromarray((~mask).astype(np.uint8)).convert("P")
        image.putpalette([255, 255, 255, 0, 0, 0])
        image.save(path)
    else:
        Image.fromarray(shades).convert(form).save(path)
    table = colour_table([[0, 0, 0], [255, 255, 255]], None, 2)
    assert np.array_equal(LabelCodes(2, table=table).read(path), mask)
    if form == "L":
        advice = r"give them as colours: \[\[0, 0, 0\], \[255, 255, 255\]\]$"
        with pytest.raises(DataError, match="label id 255; 0 to 1 are allowed; if its.*" + advice):
            LabelCodes(2).read(path)


def test_a_table_of_colours_leaves_gray_files_their_ids(tmp_path: Path) -> None:
    ids = noise(6, 8, 1)[..., 0] % 2
    Image.fromarray(ids).save(tmp_path / "a.png")
    table = colour_table([[0, 0, 0], [255, 0, 0]], None, 2)
    assert np.array_equal(LabelCodes(2, table=table).read(tmp_path / "a.png"), ids)
