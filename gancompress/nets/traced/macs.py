"""Multiply-accumulates of operators, by the shapes of what they take and make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
PRODUCTS = ("matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "scaled_dot_product_attention")


def macs_of(op: str, args: Sequence[Any], result: Tensor) -> tuple[int, int]:
    """Those that an operator does, and those that are published for it: a transposed convolution
    is counted on its output grid there.

    args: as it takes them, tensors as such. Of a computed weight as of any other.
    """
    macs = _macs(op, args, result)
    if op in TRANSPOSED and macs:
        places = math.prod(args[0].shape[2:])
        return macs, macs // places * math.prod(result.shape[2:])
    return macs, macs


def _macs(op: str, args: Sequence[Any], result: Tensor) -> int:
    if op in CONVOLUTIONS or op == "linear":
        return math.prod(args[1].shape[1:]) * result.numel()
    if op in TRANSPOSED:
        return math.prod(args[1].shape[1:]) * int(args[0].numel())
    if op in ("matmul", "mm", "bmm"):
        return int(args[0].shape[-1]) * result.numel()
    if op in ("addmm", "baddbmm"):
        return int(args[1].shape[-1]) * result.numel()
    if op == "scaled_dot_product_attention":  # What is looked for, and what is found there.
        queries, keys, values = args[:3]
        places = math.prod(queries.shape[:-1]) * keys.shape[-2]
        return int(places * (queries.shape[-1] + values.shape[-1]))
    return _of_letters(str(args[0]), args[1]) if op == "einsum" else 0


def _of_letters(equation: str, tensors: Sequence[Tensor]) -> int:
    """Of a product of two tensors by letters, each of which is an axis; 0 for one alone."""
    given = equation.replace(" ", "").partition("->")[0].split(",")
    if len(tensors) < 2 or "." in equation:
        return 0
    sizes: dict[str, int] = {}
    for letters, tensor in zip(given, tensors, strict=True):
        for letter, size in zip(letters, tensor.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.values())
