"""`gancompress apply`: an exported generator on a folder of images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from gancompress.apps.applyinputs import InputOptions, Inputs, Prepared
from gancompress.apps.applytasks import ImageJob, jobs_of
from gancompress.bars import progress
from gancompress.data.decoding import refused_by_name
from gancompress.data.origin import by_ending
from gancompress.errors import DataError, ExportError
from gancompress.export.card import Model
from gancompress.export.inputchannels import check_takes_pictures
from gancompress.process import is_too_little_memory
from gancompress.storage.checkpoint import remove_dead, write_bytes

__all__ = ["Applied", "InputOptions", "apply"]

Say = Callable[[str], None]

# Of all images of a batch: sixteen of 256x256. Larger batches are no faster on a processor, and
# eight photographs at once need eight times the memory of one.
BATCH_PIXELS = 2**20

_PICTURES = (1, 3, 4)  # channels that a PNG has; other answers become .npy files


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
    options: InputOptions | None = None,
    say: Say = print,
    *,
    batch: int = 8,
    redo: bool = False,
) -> Applied:
    """Writes the generator's answer to every image, a PNG of the same name, and tells of it.

    images: one file, or a folder, searched with all folders in it. out: a folder, or for one image
    a PNG. Answers that are there already are kept unless `redo`, so that what was stopped goes on;
    images that cannot be read are left out and told of, as are files that are no images. `batch`:
    images of equal size that are run at once, fewer where they are large.
    Raises: ExportError for options that the generator does not admit; DataError if there are no
    images, or none could be used; CheckpointError if `out` cannot be written.
    """
    check_takes_pictures(model.card, model.where)
    inputs = Inputs(model.card, options or InputOptions(), model.where)
    suffix = ".png" if model.card.out_channels in _PICTURES else ".npy"
    listed = jobs_of(images, out, suffix)
    todo = [task for task in listed.tasks if redo or not task.target.exists()]
    if model.card.is_static and todo:
        height, width = model.card.size
        say(f"{model.where}: its size is fixed, every image is resized to {height}x{width}")
    if out.is_dir():
        remove_dead(out)
    left_out = list(listed.left_out)
    written = 0
    sizes = _Sizes(model, inputs.is_resized)
    with progress(total=len(todo), desc="applying", unit="image", is_summed_up=True) as bar:
        for group in _batches(_prepared(inputs, todo, left_out, bar), batch):
            sizes.note(group)
            written += _answer(model, group, left_out)
            bar.update(len(group))
    count, present = len(listed.tasks) + len(listed.left_out), len(listed.tasks) - len(todo)
    if not written and not present:
        for sentence in left_out[1:]:
            say(f"left out: {sentence}")
        raise DataError(f"{images}: none of {count} image(s) could be used; {left_out[0]}")
    say(_told(written, present, len(left_out), out))
    if note := sizes.told():
        say(note)
    if listed.others:
        say(f"left out: {by_ending(listed.others)}")
    for sentence in left_out:
        say(f"left out: {sentence}")
    return Applied(written, present, tuple(left_out))


def _told(written: int, present: int, left_out: int, out: Path) -> str:
    already = f", {present} there already (--redo makes them anew)" if present else ""
    lacking = f", {left_out} left out" if left_out else ""
    return f"{out}: {written} written{already}{lacking}"


def _prepared(
    inputs: Inputs, tasks: Sequence[ImageJob], left_out: list[str], bar: tqdm[Any]
) -> Iterator[tuple[ImageJob, Prepared]]:
    """Images as inputs, one by one; tells of those that cannot be read."""
    for task in tasks:
        try:
            with refused_by_name(task.source):  # resizing, too, needs memory
                one = inputs.of(task.source, task.relative)
        except DataError as error:
            left_out.append(str(error))
            bar.update()
            continue
        yield task, one


def _batches(
    prepared: Iterator[tuple[ImageJob, Prepared]], size: int
) -> Iterator[list[tuple[ImageJob, Prepared]]]:
    """Neighbours of equally large inputs, at most `size` of them and about `BATCH_PIXELS` in all.

    A batch that is full is handed on before another image is read.
    """
    group: list[tuple[ImageJob, Prepared]] = []
    for task, one in prepared:
        if group and group[0][1].x.shape != one.x.shape:
            yield group
            group = []
        group.append((task, one))
        pixels = one.x.shape[2] * one.x.shape[3]
        if len(group) == size or (len(group) + 1) * pixels > BATCH_PIXELS:
            yield group
            group = []
    if group:
        yield group


def _answer(model: Model, group: Sequence[tuple[ImageJob, Prepared]], left_out: list[str]) -> int:
    """Runs a batch and writes its answers; how many. Raises: ExportError, CheckpointError."""
    try:
        answers = model(torch.cat([one.x for _, one in group])).cpu()  # (N, C, H, W)
    except (MemoryError, RuntimeError) as error:
        if not is_too_little_memory(error):
            raise
        height, width = group[0][1].kept
        told = f"too little memory for {height}x{width}; give --size, or make it smaller"
        left_out.extend(f"{task.source}: {told}" for task, _ in group)
        return 0
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


class _Sizes:
    """Counts images of another size than the generator was trained at."""

    def __init__(self, model: Model, is_resized: bool) -> None:
        self._where, self._trained = model.where, model.card.size
        self._is_asked_for = is_resized
        self._first = ""
        self._count = self._others = 0

    def note(self, group: Sequence[tuple[ImageJob, Prepared]]) -> None:
        self._count += len(group)
        task, one = group[0]  # all of a batch are alike
        if self._is_asked_for or one.kept == self._trained:
            return
        self._first = self._first or f"{one.kept[0]}x{one.kept[1]} ({task.source})"
        self._others += len(group)

    def told(self) -> str:
        """One sentence, empty if all are as trained or resized to what the user asked for."""
        if not self._others:
            return ""
        trained = f"{self._trained[0]}x{self._trained[1]}"
        return (
            f"note: {self._where} was trained at {trained} pixels and is applied to {self._others} "
            f"of {self._count} image(s) at other sizes, such as {self._first}; "
            f"--size {trained} resizes them"
        )


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
