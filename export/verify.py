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
    than the format's tolerance.
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
        if not distance <= entry.tolerance:  # so that NaN is refused too
            raise ExportError(
                f"{path}: differs from the supernet's own output by {distance:.3g}; {format} "
                f"allows {entry.tolerance:.3g} ({entry.reason})"
            )
        largest = max(largest, distance)
    return largest
