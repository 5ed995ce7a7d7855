"""Fetches COCO-Stuff and arranges it as GauGAN's users have it.

    python scripts/prepare_coco_stuff.py
    gancompress run coco-stuff

20 GB are fetched from COCO's and COCO-Stuff's servers, and as much again is unpacked: 118 287
photographs for training and 5 000 for the report, with a label map of 182 classes each (255 is
unknown). They land in datasets/coco-stuff/train_img, train_label, train_inst and the same of val,
as `data: {name: labelmaps, layout: coco-stuff, folder: datasets/coco-stuff}` reads them.

The instance maps are made here: the label map, with the outlines of COCO's annotations filled by a
number of their own, so that neighbours of one class can be told apart (Wang et al. 2018, section
3.3). It takes 3 GB of memory and half an hour.

Given again after a break, it goes on where it stopped. The servers give no checksums: COCO's
archives must have the SHA-256 below, which TensorFlow Datasets notes of them. Of COCO-Stuff's,
which comes unencrypted, none is known: that of the first download is noted in archives/SHA256SUMS
there and compared ever after.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from downloading import disk_errors, fetch, run
from PIL import Image, ImageDraw
from tqdm import tqdm
from unpacking import Place, unpack

from gancompress.errors import DataError

SPLITS = ("train", "val")
COCO = "https://s3.amazonaws.com/images.cocodataset.org"  # whose own name has no certificate
SOURCES = {
    "train2017.zip": f"{COCO}/zips/train2017.zip",
    "val2017.zip": f"{COCO}/zips/val2017.zip",
    "annotations_trainval2017.zip": f"{COCO}/annotations/annotations_trainval2017.zip",
    "stuffthingmaps_trainval2017.zip": "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/"
    "cocostuffdataset/stuffthingmaps_trainval2017.zip",
}
SHA256 = {
    "train2017.zip": "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
    "val2017.zip": "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    "annotations_trainval2017.zip": (
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"
    ),
}
FIRST = 256  # number of an image's first instance: labels end at 255

Ids = npt.NDArray[np.uint16]
Annotation = Mapping[str, Any]


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("datasets/coco-stuff"))
    parser.add_argument(
        "--remove-archives", action="store_true", help="keep the images alone, not the archives"
    )
    given = parser.parse_args(argv)
    folder: Path = given.folder
    archives = folder / "archives"
    for split in SPLITS:
        year = f"{split}2017"
        have(folder / f"{split}_img", archives, f"{year}.zip", below(year, ".jpg"))
        maps = below(year, ".png")
        have(folder / f"{split}_label", archives, "stuffthingmaps_trainval2017.zip", maps)
    outlines = "annotations_trainval2017.zip"
    if not all((folder / f"{split}_inst").is_dir() for split in SPLITS):
        have(folder / "annotations", archives, outlines, below("annotations", ".json"))
    for split in SPLITS:
        make_instances(folder, split)
        print(f"{folder}: {sum(1 for _ in (folder / f'{split}_inst').iterdir()):,} in {split}")
    if given.remove_archives:
        shutil.rmtree(archives, ignore_errors=True)


def below(root: str, suffix: str) -> Place:
    """ROOT/NAME, or …/ROOT/NAME, as NAME, of the files that end so."""

    def place(name: str) -> str | None:
        path = PurePosixPath(name)
        is_taken = path.parent.name == root and path.suffix == suffix and path.name[0] != "."
        return path.name if is_taken else None

    return place


def have(folder: Path, archives: Path, name: str, place: Place) -> None:
    """Has `folder` hold what `place` takes of the archive `name`, fetched if need be."""
    if folder.is_dir():
        return
    found = fetch(SOURCES[name], archives / name, known=SHA256.get(name))
    print(f"{name}: SHA-256 {found}")
    unpack(archives / name, folder, place)


def make_instances(folder: Path, split: str) -> None:
    """Writes an instance map for every label map of the split; goes on with those begun.

    Raises: DataError for annotations that are damaged or do not fit the label maps.
    """
    done = folder / f"{split}_inst"
    if done.is_dir():
        return
    making = folder / f"{split}_inst.making"
    with disk_errors(making):
        making.mkdir(exist_ok=True)
    outlines = read_annotations(folder / "annotations" / f"instances_{split}2017.json")
    for path in tqdm(sorted((folder / f"{split}_label").iterdir()), desc=done.name, unit=" maps"):
        if not (making / path.name).exists():
            ids = _instances_of(path, outlines)
            part = making / f"{path.stem}.part"
            with disk_errors(part):
                Image.fromarray(ids).save(part, format="PNG")
                part.replace(making / path.name)
    for part in making.glob("*.part"):  # of an attempt that was killed
        part.unlink()
    making.replace(done)


def read_annotations(path: Path) -> dict[int, list[Annotation]]:
    """The annotations of each image, by its id, in the order of the file."""
    found: dict[int, list[Annotation]] = {}
    try:
        for annotation in json.loads(path.read_bytes())["annotations"]:
            kept = {"segmentation": annotation["segmentation"]}
            found.setdefault(int(annotation["image_id"]), []).append(kept)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: missing or damaged ({error}); remove {path.parent} and come again"
        ) from None
    return found


def _instances_of(path: Path, outlines: Mapping[int, list[Annotation]]) -> Ids:
    """The instance map of one label map. Raises: DataError as `make_instances`."""
    try:
        return instance_map(path, outlines.get(int(path.stem), []))
    except (OSError, SyntaxError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{path}: damaged, not named as COCO names its images, or with damaged annotations "
            f"({error}); remove {path.parent} and come again"
        ) from None


def instance_map(label_file: Path, annotations: Sequence[Annotation]) -> Ids:
    """(H, W) the label, 0 to 255, or `FIRST` + the place of the annotation that lies above.

    Later annotations lie above earlier ones. An annotation of several polygons, an object seen in
    parts, is one instance; so is a crowd, whose shape is run lengths.
    """
    with Image.open(label_file) as image:
        if image.mode not in ("L", "P"):
            raise DataError(f"{label_file}: has pixels of mode {image.mode}; a label map has ids")
        ids = np.asarray(image).astype(np.uint16)
    height, width = ids.shape
    for number, annotation in enumerate(annotations, FIRST):
        shape = annotation["segmentation"]
        if isinstance(shape, dict):
            if list(shape["size"]) != [height, width]:
                raise DataError(
                    f"{label_file}: is {height}x{width}, and annotations are of {shape['size']}; "
                    "remove what does not belong to COCO 2017"
                )
            ids[from_runs(shape["counts"], height, width)] = number
        else:
            ids[from_polygons(shape, height, width)] = number
    return ids


def from_polygons(
    polygons: Sequence[Sequence[float]], height: int, width: int
) -> npt.NDArray[np.bool_]:
    """(height, width) True inside of any polygon, given as x0, y0, x1, y1, …"""
    mask = Image.new("1", (width, height))
    pen = ImageDraw.Draw(mask)
    for corners in polygons:
        if len(corners) >= 6:  # fewer than three corners have no inside
            pen.polygon(list(corners), fill=1)
    return np.asarray(mask)


def from_runs(counts: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """(height, width) from run lengths down the columns, of False and True in turn."""
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


if __name__ == "__main__":
    sys.exit(run(lambda: main(sys.argv[1:])))
