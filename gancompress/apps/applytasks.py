"""What `gancompress apply` is to do: which images a folder holds, and where their answers go."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gancompress.data.formats import COUNTED, SUFFIXES
from gancompress.errors import DataError
from gancompress.storage.checkpoint import NAME_BYTES


@dataclass(frozen=True)
class ImageJob:
    """One image: where it is, its place within what the user gave, where its answer goes."""

    source: Path
    relative: Path
    target: Path


@dataclass(frozen=True)
class ImageJobs:
    """What was found: images to answer, files that are none, and a sentence for what cannot be."""

    tasks: tuple[ImageJob, ...]
    others: tuple[Path, ...]
    left_out: tuple[str, ...]


def jobs_of(images: Path, out: Path, suffix: str) -> ImageJobs:
    """What is to be done, in order of name. Hidden files are passed over, and what lies in `out`.

    Every folder is looked through once. What has an image's name is an image, whatever it is: that
    it is a pipe, or a link to nothing, is told where it is read.
    Raises: DataError if there is nothing, or answers would take the images' own places.
    """
    if images.is_dir():
        listed = _in_folder(images, out, suffix)
    elif os.path.lexists(images):
        listed = _single(images, out, suffix)
    else:
        raise DataError(f"{images}: no such file or folder; give an image or a folder of images")
    places = _Places()
    sources = {_folded(places.of(task.source)) for task in listed.tasks}
    for task in listed.tasks:
        if _folded(places.of(task.target)) in sources:
            raise DataError(f"{task.target}: is an image to read; give another folder to write to")
    return listed


def _single(image: Path, out: Path, suffix: str) -> ImageJobs:
    has_name = out.suffix != "" and not out.is_dir()
    if has_name and out.suffix.lower() != suffix:
        raise DataError(f"{out}: answers are written as {suffix}; give such a name or a folder")
    target = out if has_name else out / f"{image.stem}{suffix}"
    return ImageJobs((ImageJob(image, Path(image.name), target),), (), ())


def _in_folder(images: Path, out: Path, suffix: str) -> ImageJobs:
    if out.is_file():
        raise DataError(f"{out}: is a file, and {images} a folder; give a folder to write to")
    files, left_out = _files(images, out)
    found = [path for path in files if is_image(path)]
    if not found:
        raise DataError(f"{images}: no images in it; {COUNTED}")
    tasks = []
    for one, name in zip(found, answer_names(found, suffix), strict=True):
        if (size := len(os.fsencode(name.name))) > NAME_BYTES:
            told = f"its answer's name has {size} bytes; at most {NAME_BYTES} are allowed"
            left_out.append(f"{images / one}: {told}, shorten it")
        else:
            tasks.append(ImageJob(images / one, one, out / name))
    others = tuple(path for path in files if not is_image(path))
    return ImageJobs(tuple(tasks), others, tuple(left_out))


def _files(images: Path, out: Path) -> tuple[list[Path], list[str]]:
    """Files of the folder and all folders in it, but for hidden ones and those in `out`.

    Paths are relative to it; a sentence for each folder that cannot be read.
    """
    ours, top = os.path.realpath(out), os.path.realpath(images)
    files: list[Path] = []
    left_out: list[str] = []

    def unreadable(error: OSError) -> None:
        left_out.append(f"{error.filename}: cannot be read ({error.strerror}); allow reading")

    for folder, inner, names in os.walk(images, onerror=unreadable):
        place = Path(folder).relative_to(images)
        inside = Path(top, place)  # links to folders are not followed
        inner[:] = [name for name in inner if name[0] != "." and str(inside / name) != ours]
        files += [place / name for name in names if name[0] != "."]
    return sorted(files), left_out


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def answer_names(images: Sequence[Path], suffix: str) -> list[Path]:
    """A name for the answer to each image, no two alike, even where case makes no difference.

    `x.jpg` gives `x.png`. Images that would share that keep their own suffix, `x.jpg.png`, as does
    `x.jpg.webp`, whose `x.jpg.png` could be another's; what then still differs in case alone is
    numbered. The names depend on the images alone, so that what was stopped goes on.
    """
    plain = [path.with_suffix(suffix) for path in images]
    shared = Counter(map(_folded, plain))
    names: list[Path] = []
    taken: set[str] = set()
    last: Counter[str] = Counter()  # the number that a name was given last
    for path, name in zip(images, plain, strict=True):
        if shared[_folded(name)] > 1 or is_image(path.with_suffix("")):
            name = path.with_name(f"{path.name}{suffix}")
        first = _folded(name)
        number = max(2, last[first] + 1)
        while (folded := _folded(name)) in taken:
            name = path.with_name(f"{path.name}-{number}{suffix}")
            last[first], number = number, number + 1
        taken.add(folded)
        names.append(name)
    return names


def _folded(path: Path) -> str:
    """What tells files apart where case and the form of accents make no difference."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


class _Places:
    """Where files lie once links are followed; each folder is asked for once."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> Path:
        if os.path.islink(path):
            return Path(os.path.realpath(path))
        if path.parent not in self._folders:
            self._folders[path.parent] = os.path.realpath(path.parent)
        return Path(self._folders[path.parent], path.name)
