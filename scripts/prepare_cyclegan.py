"""Fetches a data set of CycleGAN (Zhu et al. 2017) from its authors' server and unpacks it.

    python scripts/prepare_cyclegan.py horse2zebra    110 MB, 1 067 horses and 1 334 zebras
    gancompress run horse2zebra

The images of the two kinds are no pairs. They land in datasets/NAME/trainA, trainB, testA and
testB, as `data: {name: unpaired, layout: cyclegan, folder: datasets/NAME}` reads them.

Given again after a break, it goes on where it stopped; what is there already is left alone. The
server gives no checksums: the first download's SHA-256 is noted in datasets/SHA256SUMS and
compared ever after, and --sha256 compares with one that you know from elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from downloading import run
from unpacking import Source, arguments, prepare

from gancompress.data.formats import SUFFIXES

SERVER = "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
NAMES = (
    "apple2orange", "cezanne2photo", "facades", "horse2zebra", "iphone2dslr_flower", "maps",
    "monet2photo", "summer2winter_yosemite", "ukiyoe2photo", "vangogh2photo",
)  # fmt: skip
FOLDERS = ("trainA", "trainB", "testA", "testB")


def place(name: str) -> str | None:
    """NAME/trainA/1.jpg as trainA/1.jpg; anything but images of the four folders is left out."""
    parts = PurePosixPath(name).parts[1:]
    is_image = bool(parts) and PurePosixPath(name).suffix.lower() in SUFFIXES
    return "/".join(parts) if is_image and parts[0] in FOLDERS and parts[-1][0] != "." else None


def main(argv: Sequence[str]) -> None:
    given = arguments(__doc__ or "", NAMES, argv)
    url = given.url or f"{SERVER}/{given.name}.zip"
    prepare(Source(url, ".zip", FOLDERS, place), given)


if __name__ == "__main__":
    sys.exit(run(lambda: main(sys.argv[1:])))
