"""Fetches a data set of CycleGAN (Zhu et al. 2017) from its authors' server and unpacks it.

    python scripts/prepare_cyclegan.py horse2zebra    110 MB, 1 067 horses and 1 334 zebras
    gancompress run horse2zebra

The images of the two kinds are no pairs. They land in datasets/NAME/trainA, trainB, testA and
testB, as `data: {name: unpaired, layout: cyclegan, folder: datasets/NAME}` reads them.

Given again after a break, it goes on where it stopped; what is there already is left alone. The
server gives no checksums: the archive must have the SHA-256 below, which TensorFlow Datasets notes
of the same files at the address where the authors had them before; --sha256 says another one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from downloading import run
from unpacking import Source, arguments, prepare

from gancompress.data.formats import SUFFIXES

SERVER = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets"
SHA256 = {
    "apple2orange": "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8",
    "cezanne2photo": "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff",
    "facades": "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0",
    "horse2zebra": "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1",
    "iphone2dslr_flower": "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113",
    "maps": "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e",
    "monet2photo": "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04",
    "summer2winter_yosemite": "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9",
    "ukiyoe2photo": "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08",
    "vangogh2photo": "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff",
}
NAMES = tuple(SHA256)
FOLDERS = ("trainA", "trainB", "testA", "testB")


def place(name: str) -> str | None:
    """NAME/trainA/1.jpg as trainA/1.jpg; anything but images of the four folders is left out."""
    parts = PurePosixPath(name).parts[1:]
    is_image = bool(parts) and PurePosixPath(name).suffix.lower() in SUFFIXES
    return "/".join(parts) if is_image and parts[0] in FOLDERS and parts[-1][0] != "." else None


def main(argv: Sequence[str]) -> None:
    given = arguments(__doc__ or "", NAMES, argv)
    url = given.url or f"{SERVER}/{given.name}.zip"
    prepare(Source(url, ".zip", FOLDERS, place, SHA256.get(given.name)), given)


if __name__ == "__main__":
    sys.exit(run(lambda: main(sys.argv[1:])))
