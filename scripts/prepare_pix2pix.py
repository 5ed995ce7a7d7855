"""Fetches a data set of pix2pix (Isola et al. 2017) from its authors' server and unpacks it.

    python scripts/prepare_pix2pix.py edges2shoes     2 GB, 49 825 pairs for training
    python scripts/prepare_pix2pix.py maps            250 MB, 1 096 pairs
    gancompress run edges2shoes                       or map2sat, with datasets/maps

Every image holds a pair, A|B side by side. They land in datasets/NAME/train, val and test, as
`data: {name: pairs, layout: side-by-side, folder: datasets/NAME}` reads them.

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

SERVER = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
NAMES = ("edges2shoes", "edges2handbags", "facades", "maps", "night2day")


def place(name: str) -> str | None:
    """NAME/train/1.jpg as train/1.jpg; anything but images of the splits is left out."""
    parts = PurePosixPath(name).parts[1:]
    is_image = bool(parts) and PurePosixPath(name).suffix.lower() in SUFFIXES
    is_taken = is_image and parts[0] in ("train", "val", "test") and parts[-1][0] != "."
    return "/".join(parts) if is_taken else None


def main(argv: Sequence[str]) -> None:
    given = arguments(__doc__ or "", NAMES, argv)
    url = given.url or f"{SERVER}/{given.name}.tar.gz"
    prepare(Source(url, ".tar.gz", ("train",), place), given)


if __name__ == "__main__":
    sys.exit(run(lambda: main(sys.argv[1:])))
