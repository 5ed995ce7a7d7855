"""Attributes of images from one text file, as CelebA's `list_attr_celeba` has them.

In its .txt form the first line is the number of images, the second the attributes' names, and
every other one a file's name followed by 1 or -1 for each attribute. In its .csv form the first
line names the columns, of which the first holds the files' names.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from gancompress.data.folders import image_files, nearest
from gancompress.errors import DataError
from gancompress.storage.regularfiles import read_regular, spelled

_SEPARATORS = (",", ";", "\t")  # The first line of the .txt form has none of them.
# How a table tells what an image has; one way for all of it.
_CODES: tuple[Mapping[str, bool], ...] = (
    {"1": True, "-1": False},
    {"1": True, "0": False},
    {"true": True, "false": False},
)

Flags = tuple[bool, ...]  # whether an image has each, one for each attribute asked for


def attribute_labels(folder: Path, path: Path, wanted: Sequence[str]) -> dict[Path, Flags]:
    """The images of `folder`, which are exactly those listed in `path`, with their label.

    Raises: DataError for a file that is missing or malformed, an attribute that it does not have,
    or an image that only one of folder and file has.
    """
    listed = _listed(path, wanted)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder with the images")
    present = {spelled(image.name): image for image in image_files(folder)}
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


def _listed(path: Path, wanted: Sequence[str]) -> dict[str, Flags]:
    """The label of every image that the file lists, by name."""
    lines = _lines(path)
    separator = max(_SEPARATORS, key=lines[0].count)
    if separator in lines[0]:
        return _in_table(path, lines, separator, wanted)
    header, names, *lines = lines
    if not header.isdecimal():
        raise DataError(f"{path}: line 1 is {header!r}; the number of images is needed there")
    known = names.split()
    columns = _columns(path, known, wanted)
    labels: dict[str, Flags] = {}
    for number, line in enumerate(lines, 3):
        parts = line.split()
        if len(parts) != len(known) + 1 or not {"1", "-1"}.issuperset(parts[1:]):
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; a file's name and {len(known)} values, "
                "each 1 or -1, are needed"
            )
        _add(labels, parts[0], tuple(parts[column] == "1" for column in columns), path, number)
    if len(labels) != int(header):
        raise DataError(
            f"{path}: line 1 promises {header} images and {len(labels)} are listed; "
            "get the whole file or correct the number"
        )
    return labels


def _in_table(
    path: Path, lines: list[str], separator: str, wanted: Sequence[str]
) -> dict[str, Flags]:
    """As `_listed`, of a file with columns; those that are not asked for may hold anything."""
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    labels: dict[str, Flags] = {}
    try:
        known = [name.strip() for name in next(rows)]
        columns = _columns(path, known[1:], wanted)
        codes = _CODES
        for row in rows:
            values = [row[column].strip().lower() for column in columns if column < len(row)]
            codes = tuple(code for code in codes if code.keys() >= set(values))
            if len(row) != len(known) or not codes:
                raise DataError(
                    f"{path}: line {rows.line_num} is {lines[rows.line_num - 1][:60]!r}; "
                    f"{len(known)} columns are needed, and for each attribute that is asked for 1 "
                    "or -1, 1 or 0, or true or false, the same throughout"
                )
            flags = tuple(codes[0][value] for value in values)
            _add(labels, row[0].strip(), flags, path, rows.line_num)
    except csv.Error as error:
        raise DataError(f"{path}: line {rows.line_num}: {error}; mend or remove it") from None
    return labels


def _columns(path: Path, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the attributes asked for stand behind a file's name. Raises: DataError."""
    for name in wanted:
        if name not in known:
            raise DataError(f"{path}: has no attribute {name!r}; {nearest(name, known)}")
    return [known.index(name) + 1 for name in wanted]


def _add(labels: dict[str, Flags], name: str, flags: Flags, path: Path, number: int) -> None:
    if (name := spelled(name)) in labels:
        raise DataError(f"{path}: line {number} lists {name} again; keep one of its lines")
    labels[name] = flags


def _lines(path: Path) -> list[str]:
    """At least two lines, stripped, without empty ones at the end."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); give the file with the attributes"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text; give the file with the attributes") from None
    lines = [line.strip(" \r\n") for line in text.rstrip().splitlines()]
    if len(lines) < 2:
        raise DataError(
            f"{path}: has {len(lines)} line(s); the number of images, the attributes' names and "
            "a line for each image are needed"
        )
    return lines
