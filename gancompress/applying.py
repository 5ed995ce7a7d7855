"""`gancompress apply`: an exported generator on a folder of images."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from gancompress.applyinputs import Inputs, Prepared, Wishes
from gancompress.bars import progress
from gancompress.checkpoint import write_bytes
from gancompress.data.formats import COUNTED, SUFFIXES
from gancompress.data.origin import by_ending
from gancompress.errors import DataError, ExportError
from gancompress.export.card import Model
from gancompress.export.planes import check_takes_pictures

__all__ = ["Applied", "Wishes", "apply"]

Say = Callable[[str], None]

_PICTURES = (1, 3, 4)  # channels that a PNG has; other answers become .npy files


@dataclass(frozen=True)
class Task:
    """One image: where it is, its place within what the user gave, where its answer goes."""

    source: Path
    relative: Path
    target: Path


@dataclass(frozen=True)
class Applied:
    """What `apply` did: images written, passed over as their answer is there, and left out.

    left_out: a sentence for each.
    """

    written: int
    present: int
    left_out: tuple[str, ...]


def apply(
    model: Model,
    images: Path,
    out: Path,
    wishes: Wishes | None = None,
    say: Say = print,
    *,
    batch: int = 8,
    redo: bool = False,
) -> Applied:
    """Writes the generator's answer to every image, a PNG of the same name, and tells of it.

    images: one file, or a folder, searched with all folders in it. out: a folder, or for one image
    a PNG. Answers that are there already are kept unless `redo`, so that what was stopped goes on;
    images that cannot be read are left out and told of, as are files that are no images. `batch`:
    images of equal size that are run at once.
    Raises: ExportError for wishes that the generator does not admit; DataError if there are no
    images, or none could be used; CheckpointError if `out` cannot be written.
    """
    check_takes_pictures(model.card, model.where)
    inputs = Inputs(model.card, wishes or Wishes(), model.where)
    suffix = ".png" if model.card.out_channels in _PICTURES else ".npy"
    tasks = tasks_of(images, out, suffix)
    todo = [task for task in tasks if redo or not task.target.exists()]
    if model.card.is_static and todo:
        height, width = model.card.size
        say(f"{model.where}: its size is fixed, every image is resized to {height}x{width}")
    left_out: list[str] = []
    written = 0
    with progress(total=len(todo), desc="applying", unit="image", is_summed_up=True) as bar:
        for group in _batches(inputs, todo, batch, left_out, bar):
            written += _answer(model, group, left_out)
            bar.update(len(group))
    present = len(tasks) - len(todo)
    if not written and not present:
        for sentence in left_out[1:]:
            say(f"left out: {sentence}")
        raise DataError(f"{images}: none of {len(tasks)} image(s) could be used; {left_out[0]}")
    say(_told(written, present, len(left_out), out))
    if images.is_dir() and (others := _others(images, out)):
        say(f"left out: {others}")
    for sentence in left_out:
        say(f"left out: {sentence}")
    return Applied(written, present, tuple(left_out))


def _others(images: Path, out: Path) -> str:
    """Files that are no images, counted by kind; empty if there are none."""
    return by_ending(path for path in _entries(images, out) if not _is_image(path))


def _told(written: int, present: int, left_out: int, out: Path) -> str:
    already = f", {present} there already (--redo makes them anew)" if present else ""
    lacking = f", {left_out} left out" if left_out else ""
    return f"{out}: {written} written{already}{lacking}"


def tasks_of(images: Path, out: Path, suffix: str) -> list[Task]:
    """What is to be done, in order of name. Hidden files are passed over, and what lies in `out`.

    Raises: DataError if there is nothing, or answers would take the images' own places.
    """
    if images.is_file():
        has_name = out.suffix != "" and not out.is_dir()
        if has_name and out.suffix.lower() != suffix:
            raise DataError(f"{out}: answers are written as {suffix}; give such a name or a folder")
        target = out if has_name else out / f"{images.stem}{suffix}"
        tasks = [Task(images, Path(images.name), target)]
    elif images.is_dir():
        tasks = _in_folder(images, out, suffix)
    else:
        raise DataError(f"{images}: no such file or folder; give an image or a folder of images")
    sources = {_folded(task.source.resolve()) for task in tasks}
    for task in tasks:
        if _folded(task.target.resolve()) in sources:
            raise DataError(f"{task.target}: is an image to read; give another folder to write to")
    return tasks


def _in_folder(images: Path, out: Path, suffix: str) -> list[Task]:
    if out.is_file():
        raise DataError(f"{out}: is a file, and {images} a folder; give a folder to write to")
    found = [path.relative_to(images) for path in _entries(images, out) if _is_image(path)]
    if not found:
        raise DataError(f"{images}: no images in it; {COUNTED}")
    names = answer_names(found, suffix)
    return [Task(images / one, one, out / name) for one, name in zip(found, names, strict=True)]


def _entries(images: Path, out: Path) -> Iterator[Path]:
    """Files of the folder and all folders in it, but for hidden ones and those in `out`."""
    ours = out.resolve()
    inside = ours != images.resolve() and ours.is_relative_to(images.resolve())
    for path in sorted(images.rglob("*")):
        hidden = any(part[0] == "." for part in path.relative_to(images).parts)
        is_ours = inside and path.resolve().is_relative_to(ours)
        if path.is_file() and not hidden and not is_ours:
            yield path


def _is_image(path: Path) -> bool:
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
    for path, name in zip(images, plain, strict=True):
        if shared[_folded(name)] > 1 or _is_image(path.with_suffix("")):
            name = path.with_name(f"{path.name}{suffix}")
        number = 2
        while _folded(name) in taken:
            name = path.with_name(f"{path.name}-{number}{suffix}")
            number += 1
        taken.add(_folded(name))
        names.append(name)
    return names


def _folded(path: Path) -> str:
    """What tells files apart where case and the form of accents make no difference."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


def _batches(
    inputs: Inputs, tasks: Sequence[Task], size: int, left_out: list[str], bar: tqdm[Any]
) -> Iterator[list[tuple[Task, Prepared]]]:
    """Neighbours of equally large inputs, at most `size` of them; tells what cannot be read."""
    group: list[tuple[Task, Prepared]] = []
    for task in tasks:
        try:
            one = inputs.of(task.source, task.relative)
        except DataError as error:
            left_out.append(str(error))
            bar.update()
            continue
        if group and (len(group) == size or group[0][1].x.shape != one.x.shape):
            yield group
            group = []
        group.append((task, one))
    if group:
        yield group


def _answer(model: Model, group: Sequence[tuple[Task, Prepared]], left_out: list[str]) -> int:
    """Runs a batch and writes its answers; how many. Raises: ExportError, CheckpointError."""
    answers = model(torch.cat([one.x for _, one in group])).cpu()  # (N, C, H, W)
    written = 0
    for (task, one), answer in zip(group, answers, strict=True):
        height, width = (side * _enlargement(model, one.x, answer) for side in one.kept)
        kept = answer[:, :height, :width]
        if not kept.isfinite().all():
            left_out.append(f"{task.source}: the answer holds values that are not finite")
            continue
        write_bytes(task.target, content(kept, task.target.suffix.lower()))
        written += 1
    return written


def _enlargement(model: Model, x: Tensor, answer: Tensor) -> int:
    """How many times as large the answer (C, H, W) to x (1, C, H, W) is. Raises: ExportError."""
    height, width = answer.shape[1:]
    times = height // x.shape[2]
    if times < 1 or (height, width) != (times * x.shape[2], times * x.shape[3]):
        raise ExportError(
            f"{model.where}: answers {height}x{width} to {x.shape[2]}x{x.shape[3]}; files whose "
            "answer is as large as their input, or so many times as large, are needed"
        )
    return times


def content(answer: Tensor, suffix: str) -> bytes:
    """The bytes of a file of an answer (C, H, W) in [-1, 1], rounded to 0 to 255."""
    scaled = ((answer.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels = np.ascontiguousarray(scaled.permute(1, 2, 0).numpy())  # (H, W, C)
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, pixels)
    else:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        image.save(buffer, format="PNG")
    return buffer.getvalue()
