"""Proof that an exported file answers as the supernet does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.card import Run
from gancompress.export.formats import require


def difference(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference of two equally shaped tensors; NaN if either holds one."""
    return float((one.double() - other.double()).abs().max())


def _within(distance: float, allowed: float, what: str, reason: str, format: str) -> None:
    if not distance <= allowed:  # so that NaN is refused too
        raise ExportError(
            f"{what} from the supernet's own output by {distance:.3g}; {format} allows "
            f"{allowed:.3g} ({reason})"
        )


def verify(
    path: Path,
    format: str,
    reference: Run,
    inputs: Sequence[Tensor],
    load: Callable[[Path], Run] | None = None,
) -> float:
    """The largest absolute difference between the file's and the reference's answers.

    path: the format's first file. reference: the supernet's own float32 output, computed on the
    CPU (safetensors is held to equality, which two devices do not reach). inputs: real images,
    each (N, C, H, W) in [-1, 1]. load: how to load the file where the format's own way needs more.
    Raises: ExportError if the file cannot be loaded, answers in another shape, or differs by more
    than the format's tolerance, in one pixel or in an image's mean.
    """
    entry = require(format)
    if not inputs:
        raise ExportError(f"{path}: no images to compare with; give at least one")
    run, largest = (load or entry.load)(path), 0.0
    for x in inputs:
        with torch.inference_mode():
            expected = reference(x).cpu()
        got = run(x).cpu()
        if got.shape != expected.shape or got.dtype != expected.dtype:
            raise ExportError(
                f"{path}: answers {tuple(got.shape)} {got.dtype}; the supernet answers "
                f"{tuple(expected.shape)} {expected.dtype}"
            )
        distance = difference(got, expected)
        _within(distance, entry.tolerance, f"{path}: differs", entry.reason, format)
        if entry.mean_tolerance is not None:
            mean = float((got.double() - expected.double()).abs().mean())
            _within(
                mean, entry.mean_tolerance, f"{path}: in the mean differs", entry.reason, format
            )
        largest = max(largest, distance)
    return largest
