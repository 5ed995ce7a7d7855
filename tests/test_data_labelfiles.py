from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from images import Pixels, noise, save
from opening import label_maps
from PIL import Image

from gancompress.data.dataset import SPLITS
from gancompress.data.labelchannels import edges
from gancompress.data.labelmaps import LabelMaps
from gancompress.errors import DataError


def _labels(seed: int, width: int, count: int) -> Pixels:
    """(8, width, 1) of which the first row has no class."""
    labels = np.random.default_rng(seed).integers(0, count, (8, width, 1), np.uint8)
    labels[0] = 255
    return labels


def _opened(layout: str, folder: Path, width: int, **settings: object) -> LabelMaps:
    size = {"load_size": [8, width], "crop_size": [8, width]}
    return label_maps(layout=layout, folder=folder, unknown=255, **{**size, **settings})


def _cityscapes(folder: Path) -> None:
    number = 0
    for split, cities in (("train", ("aachen", "ulm")), ("val", ("bonn",))):
        for city in cities:
            for _ in range(4):
                labels, stem = _labels(number, 16, 34), f"{city}_{number:06}_000019"
                photograph = folder / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"
                save(photograph, noise(8, 16, seed=number))
                truth = folder / f"gtFine/{split}/{city}/{stem}_gtFine"
                save(Path(f"{truth}_labelIds.png"), labels)
                save(Path(f"{truth}_color.png"), noise(8, 16))
                deep = labels[..., 0].astype(np.uint16) * 1000 % 65521
                Image.fromarray(deep).save(f"{truth}_instanceIds.png")
                number += 1


def test_cityscapes_is_read_as_it_comes(tmp_path: Path) -> None:
    _cityscapes(tmp_path)
    data = _opened("cityscapes", tmp_path, 16, classes=35)
    assert data.channels == (36, 3) and [data.count(split) for split in SPLITS] == [7, 1, 4]
    channels = data.batch("test", range(4), None)["input"].numpy()
    wanted = np.stack([_labels(number, 16, 34)[..., 0] for number in range(8, 12)])
    assert np.array_equal(channels[:, :35].argmax(1)[:, 1:], wanted[:, 1:])
    assert (channels[:, :35, 0] == 0).all() and (channels[:, :35, 1:].sum(1) == 1).all()
    assert np.array_equal(channels[:, 35] == 1, edges(wanted))


def test_incomplete_cityscapes_is_refused_by_name(tmp_path: Path) -> None:
    _cityscapes(tmp_path)
    (tmp_path / "gtFine/val/bonn/bonn_000008_000019_gtFine_instanceIds.png").unlink()
    with pytest.raises(DataError, match=r"instanceIds\.png: no such file, which .*bonn.* needs"):
        _opened("cityscapes", tmp_path, 16, classes=35)
    assert _opened("cityscapes", tmp_path, 16, classes=35, edges=False).channels == (35, 3)
    shutil.rmtree(tmp_path / "leftImg8bit/val/bonn")
    with pytest.raises(DataError, match=r"leftImg8bit/val: no images in it; CITY/\*_leftImg8bit"):
        _opened("cityscapes", tmp_path, 16, classes=35)
    shutil.rmtree(tmp_path / "gtFine/train")
    with pytest.raises(DataError, match=r"gtFine/train: no such folder; the layout needs it"):
        _opened("cityscapes", tmp_path, 16, classes=35)


def test_coco_stuff_is_read_as_spade_has_it(tmp_path: Path) -> None:
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            for kind in ("label", "inst"):
                save(tmp_path / f"{split}_{kind}" / f"{number:012}.png", _labels(number, 8, 182))
            save(tmp_path / f"{split}_img" / f"{number:012}.jpg", noise(8, 8))
    settings = {"classes": 182, "unknown_class": True}
    data = _opened("coco-stuff", tmp_path, 8, **settings)
    assert data.channels == (184, 3) and [data.count(split) for split in SPLITS] == [4, 1, 2]
    channels = data.batch("test", [1], None)["input"].numpy()
    wanted = _labels(1, 8, 182)[None, ..., 0]
    assert np.array_equal(channels[:, :183].argmax(1), np.where(wanted == 255, 182, wanted))
    assert np.array_equal(channels[:, 183] == 1, edges(wanted))
    (tmp_path / "val_inst" / f"{1:012}.png").unlink()
    with pytest.raises(DataError, match=r"0001\.png: no partner of the same stem in .*val_inst"):
        _opened("coco-stuff", tmp_path, 8, **settings)
