"""Attributes of images from one text file, as CelebA's `list_attr_celeba.txt` has them.

Its first line is the number of images, its second the attributes' names, and every other one a
file's name followed by 1 or -1 for each attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gancompress.data.folders import image_files, nearest
from gancompress.errors import DataError

Truths = tuple[bool, ...]  # one for each attribute asked for


def attribute_labels(folder: Path, path: Path, wanted: Sequence[str]) -> dict[Path, Truths]:
    """The images of `folder`, which are exactly those listed in `path`, with their label.

    Raises: DataError for a file that is missing or malformed, an attribute that it does not have,
    or an image that only one of folder and file has.
    """
    listed = _listed(path, wanted)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder with the images")
    present = {image.name: image for image in image_files(folder)}
    for name in listed:
        if name not in present:
            missing = len(listed.keys() - present.keys())
            raise DataError(
                f"{path}: lists {name}, which is not in {folder} ({missing} such images); "
                "add it or take its line away"
            )
    for name, image in present.items():
        if name not in listed:
            extra = len(present.keys() - listed.keys())
            raise DataError(
                f"{image}: is not listed in {path} ({extra} such images); "
                "add a line for it or take it away"
            )
    return {image: listed[name] for name, image in present.items()}


def _listed(path: Path, wanted: Sequence[str]) -> dict[str, Truths]:
    """The label of every image that the file lists, by name."""
    header, names, *lines = _lines(path)
    if not header.isdecimal():
        raise DataError(f"{path}: line 1 is {header!r}; the number of images is needed there")
    known = names.split()
    for name in wanted:
        if name not in known:
            raise DataError(f"{path}: has no attribute {name!r}; {nearest(name, known)}")
    columns = [known.index(name) + 1 for name in wanted]
    labels: dict[str, Truths] = {}
    for number, line in enumerate(lines, 3):
        parts = line.split()
        if len(parts) != len(known) + 1 or not {"1", "-1"}.issuperset(parts[1:]):
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; a file's name and {len(known)} values, "
                "each 1 or -1, are needed"
            )
        if parts[0] in labels:
            raise DataError(f"{path}: line {number} lists {parts[0]} again; keep one of its lines")
        labels[parts[0]] = tuple(parts[column] == "1" for column in columns)
    if len(labels) != int(header):
        raise DataError(
            f"{path}: line 1 promises {header} images and {len(labels)} are listed; "
            "get the whole file or correct the number"
        )
    return labels


def _lines(path: Path) -> list[str]:
    """At least two lines, stripped, without empty ones at the end."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().splitlines()]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give the file with the attributes"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text; give the file with the attributes") from None
    if len(lines) < 2:
        raise DataError(
            f"{path}: has {len(lines)} line(s); the number of images, the attributes' names and "
            "a line for each image are needed"
        )
    return lines
