"""Which files make a labelled photograph: the label image, the photograph, perhaps instances."""

from __future__ import annotations

from pathlib import Path

from gancompress.data.folders import Listing, Pair, matched_files, matched_pairs
from gancompress.errors import DataError

_PHOTOGRAPH, _LABELS, _INSTANCES = (
    "_leftImg8bit.png",
    "_gtFine_labelIds.png",
    "_gtFine_instanceIds.png",
)


def in_folders(labels: Path, photographs: Path, instances: Path | None) -> Listing:
    """Files of equal stems, as `folders.matched_pairs` has them."""
    return matched_pairs(labels, photographs, *([instances] if instances is not None else []))


def in_cityscapes(folder: Path, instances: bool) -> Listing:
    """Cityscapes as it comes; its val/ is the test split, as its test/ has no labels.

    `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and `gtFine/SPLIT/CITY/*_gtFine_labelIds.png`, and
    `*_gtFine_instanceIds.png` with `instances`.
    Raises: DataError for a folder or file that is missing.
    """
    return {"train": _cities(folder, "train", instances), "test": _cities(folder, "val", instances)}


def in_coco_stuff(folder: Path, instances: bool) -> Listing:
    """COCO-Stuff as SPADE's users have it; its val_ folders are the test split.

    train_label/, train_img/, train_inst/ and the same of val, with files of equal stems.
    Raises: DataError for a folder or file that is missing.
    """
    kinds = ("label", "img", "inst") if instances else ("label", "img")
    places = {
        split: [_existing(folder / f"{name}_{kind}") for kind in kinds]
        for split, name in (("train", "train"), ("test", "val"))
    }
    return {split: matched_files(*folders) for split, folders in places.items()}


def _cities(folder: Path, split: str, instances: bool) -> list[Pair]:
    photographs = _existing(folder / "leftImg8bit" / split)
    labels = _existing(folder / "gtFine" / split)
    found = []
    for path in sorted(photographs.glob(f"[!.]*/[!.]*{_PHOTOGRAPH}")):
        stem = path.name.removesuffix(_PHOTOGRAPH)
        partners = [labels / path.parent.name / f"{stem}{_LABELS}"]
        if instances:
            partners.append(labels / path.parent.name / f"{stem}{_INSTANCES}")
        for partner in partners:
            if not partner.is_file():
                raise DataError(f"{partner}: no such file, which {path} needs; add it")
        found.append((partners[0], path, *partners[1:]))
    if not found:
        raise DataError(f"{photographs}: no images in it; CITY/*{_PHOTOGRAPH} count")
    return found


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; the layout needs it")
    return folder
