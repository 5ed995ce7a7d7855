"""Unpacks what Cityscapes' label maps need, from the two archives that you have downloaded.

    python scripts/prepare_cityscapes.py leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip
    gancompress run cityscapes

Its licence asks for an account: get the archives, 11 GB and 241 MB, from cityscapes-dataset.com.
Photographs, label ids and instance ids of train and val, 11 GB again, land in
datasets/cityscapes/leftImg8bit and gtFine, as
`data: {name: labelmaps, layout: cityscapes, folder: datasets/cityscapes}` reads them. (The labels
of test are secret, so val is the split that is reported on.)

Every file is checked by the archive's own checksums while it is unpacked, and every photograph
must have both its maps. What is there already is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from downloading import run
from unpacking import Place, unpack

from gancompress.data.labelfiles import in_cityscapes
from gancompress.errors import DataError

ENDINGS = {
    "leftImg8bit": ("_leftImg8bit.png",),
    "gtFine": ("_gtFine_labelIds.png", "_gtFine_instanceIds.png"),
}
COUNTS = {"train": 2975, "val": 500}  # Cordts et al. 2016, table 2


def place_in(part: str) -> Place:
    """part/train/CITY/NAME as train/CITY/NAME, of the files that are needed."""

    def place(name: str) -> str | None:
        root, *rest = PurePosixPath(name).parts
        is_taken = root == part and len(rest) == 3 and rest[0] in COUNTS
        return "/".join(rest) if is_taken and name.endswith(ENDINGS[part]) else None

    return place


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, metavar="leftImg8bit_trainvaltest.zip")
    parser.add_argument("labels", type=Path, metavar="gtFine_trainvaltest.zip")
    parser.add_argument("--folder", type=Path, default=Path("datasets/cityscapes"))
    given = parser.parse_args(argv)
    for part, archive in (("leftImg8bit", given.images), ("gtFine", given.labels)):
        if (given.folder / part).is_dir():
            continue
        if not archive.is_file():
            raise DataError(
                f"{archive}: no such file; download it from cityscapes-dataset.com, where an "
                "account is needed"
            )
        unpack(archive, given.folder / part, place_in(part))
    report(given.folder)


def report(folder: Path) -> None:
    """Says how many photographs there are. Raises: DataError if one lacks a map."""
    found = in_cityscapes(folder, instances=True)
    for split, key in (("train", "train"), ("val", "test")):
        count = len(found[key])
        note = "" if count == COUNTS[split] else f"; all of Cityscapes has {COUNTS[split]:,}"
        print(f"{folder}: {count:,} photographs with their maps in {split}{note}")


if __name__ == "__main__":
    sys.exit(run(lambda: main(sys.argv[1:])))
