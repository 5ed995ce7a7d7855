"""What a teacher answers to a fixed set of draws, computed once and kept in memory.

A third to a half of a training step of a small student is its teacher's forward pass. Images that
come up again are answered from here instead; see `gancompress.data.fixeddraws`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.bars import progress
from gancompress.data.fixeddraws import DRAW
from gancompress.distill.hooks import hooked
from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import load_tensors, save_tensors
from gancompress.tasks.base import Batch
from gancompress.training import distributed

Taught = tuple[Tensor, Mapping[str, Tensor]]  # the teacher's image, its features by layer
ANSWERS = "answers"  # What the names of files of answers begin with.
_IMAGE = ""  # The name of the teacher's image beside those of layers, none of which is empty.
_PARTS = ("codes", "steps")
_LEVELS = 127  # A code is a whole number from -127 to 127.


@dataclass(frozen=True)
class Draws:
    """A numbered set of training images: draw numbers -> their batch, on the CPU.

    kept: the file that the answers to them are kept in, if they are; its name has to say what they
    depend on.
    """

    count: int
    batch: Callable[[Sequence[int]], Batch]
    batch_size: int
    kept: Path | None = None


class Codes:
    """Tensors (D, C, H, W) in 8 bits: each channel of each draw in steps of its own, 1/127 of its
    largest value.

    That is a quarter of float32's memory, at an error of at most half a step: of images in [-1, 1]
    half a grey level.
    """

    def __init__(self, count: int, like: Tensor) -> None:
        shape = (count, *like.shape[1:])
        self._codes = torch.empty(shape, dtype=torch.int8, device=like.device)
        self._steps = torch.empty((*shape[:2], 1, 1), device=like.device)

    def keep(self, draws: slice, values: Tensor) -> None:
        """Keeps `values` (n, C, H, W) of n draws. A channel that is not finite stays so."""
        values = values.float()
        steps = values.abs().amax((2, 3), keepdim=True) / _LEVELS
        self._steps[draws] = steps
        self._codes[draws] = (values / steps).nan_to_num(0, 0, 0).round().to(torch.int8)

    @classmethod
    def stored(cls, codes: Tensor, steps: Tensor) -> Codes:
        """What `tensors` gave."""
        found = cls.__new__(cls)
        found._codes, found._steps = codes, steps
        return found

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {"codes": self._codes, "steps": self._steps}

    def of(self, draws: Tensor) -> Tensor:
        """Those of the draws (n,) int64: (n, C, H, W) float32."""
        return self._codes[draws].float() * self._steps[draws]


@dataclass(frozen=True)
class Answers:
    """The teacher's images in [-1, 1], and its features by layer, of draws 0 … D - 1.

    Features are kept at half their height and width, see `pooled`: at full size those of a ResNet
    take ten times as much memory as its images.
    """

    images: Codes
    features: Mapping[str, Codes]

    def of(self, batch: Batch) -> Taught:
        """Those of a batch that `FixedDraws` made, in float32."""
        draws = batch[DRAW].flatten()
        return self.images.of(draws), {name: kept.of(draws) for name, kept in self.features.items()}


def pooled(features: Tensor) -> Tensor:
    """(N, C, H, W) averaged over squares of 2 pixels: (N, C, ceil(H / 2), ceil(W / 2))."""
    return F.avg_pool2d(features, 2, ceil_mode=True)


@torch.no_grad()
def ask(
    teacher: nn.Module,
    inputs: Callable[[Batch], tuple[Tensor, ...]],
    layers: Sequence[str],
    draws: Draws,
    device: torch.device,
) -> Answers:
    """Asks the teacher, in float32, about every draw; the answers are kept on `device`.

    In parts of one size and in their order, so that the answers are the same to the last bit
    whenever a training that was stopped asks again.
    Raises: CheckpointError if kept answers are damaged, or cannot be written.
    """
    if draws.kept is not None and draws.kept.exists():
        return _stored(draws.kept, layers, device)
    # Filled in place: parts joined at the end would take twice as much.
    kept: dict[str, Codes] = {}
    starts = range(0, draws.count, draws.batch_size)
    for start in progress(starts, "teacher's answers", unit="batch", leave=False):
        numbers = range(start, min(start + draws.batch_size, draws.count))
        batch = {name: values.to(device) for name, values in draws.batch(numbers).items()}
        with hooked(teacher, layers) as taken:
            image = teacher(*inputs(batch))
        small = {name: pooled(feature.float()) for name, feature in taken.items()}
        for name, found in {_IMAGE: image, **small}.items():
            if name not in kept:
                kept[name] = Codes(draws.count, found)
            kept[name].keep(slice(numbers.start, numbers.stop), found)
    if draws.kept is not None and distributed.current().is_main_process:
        draws.kept.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(
            draws.kept,
            {f"{name}/{part}": t for name, one in kept.items() for part, t in one.tensors.items()},
            {},
        )
        # Others are of a recipe that was changed since, and are not asked for any more.
        for other in draws.kept.parent.glob(f"{ANSWERS}-*"):
            if other != draws.kept:
                other.unlink(missing_ok=True)
    return Answers(kept.pop(_IMAGE), kept)


def _stored(path: Path, layers: Sequence[str], device: torch.device) -> Answers:
    """The answers that a file keeps. Raises: CheckpointError."""
    tensors, _ = load_tensors(path)
    try:
        codes = {
            name: Codes.stored(*(tensors[f"{name}/{part}"].to(device) for part in _PARTS))
            for name in (_IMAGE, *layers)
        }
    except KeyError:
        raise CheckpointError(f"{path}: not the teacher's answers; delete it") from None
    return Answers(codes.pop(_IMAGE), codes)
