"""Networks without values, built and run on the meta device for the sake of their shapes.

torch itself draws first weights there too, and answers common operations by Python code that
imports its compiler first, a second of processor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

_DRAWS = {init.kaiming_uniform_, init.kaiming_normal_, init.uniform_, init.normal_}


@contextmanager
def without_values() -> Iterator[None]:
    """Modules made inside are on the meta device, and no first weights are drawn for them."""
    with torch.device("meta"), _NoDraws():
        yield


class _NoDraws(TorchFunctionMode):
    """Leaves tensors as they are where `torch.nn.init` would draw their values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


# Each of these answers with the result of an operation, or with None where torch's own code is to
# be asked: for what is rare, and for what is refused.


def _new(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device="meta")  # new_empty is Python code too


def _like(x: Tensor, *numbers: float) -> Tensor | None:
    return _new(x, x.shape) if x.is_floating_point() else None


def _both(x: Tensor, y: Tensor) -> Tensor | None:
    is_like = isinstance(y, Tensor) and (x.dtype, x.shape) == (y.dtype, y.shape)
    return _new(x, x.shape) if is_like else None


def _added(x: Tensor, y: Tensor) -> Tensor | None:
    return x if _both(x, y) is not None else None


def _joined(tensors: Sequence[Tensor], axis: int = 0) -> Tensor | None:
    first = tensors[0]
    shapes = [list(x.shape) for x in tensors]
    length = sum(shape.pop(axis) for shape in shapes)
    if any(x.dtype != first.dtype for x in tensors) or any(s != shapes[0] for s in shapes):
        return None
    axis %= first.dim()
    return _new(first, (*shapes[0][:axis], length, *shapes[0][axis:]))


def _pooled(x: Tensor, kernel: Sequence[int], *rest: Any) -> Tensor | None:
    """Averages of windows that tile the image; the last ones may be smaller."""
    stride, padding, ceil_mode = (*rest, *([], [0, 0], False)[len(rest) :])[:3]
    if set(padding) != {0} or list(stride) not in ([], list(kernel)) or len(kernel) != 2:
        return None
    sides = [-(-s // k) if ceil_mode else s // k for s, k in zip(x.shape[-2:], kernel, strict=True)]
    return _new(x, (*x.shape[:-2], *sides)) if min(sides) else None


def _enlarged(x: Tensor, size: Sequence[int], *scales: Any) -> Tensor | None:
    return _new(x, (*x.shape[:2], *size)) if x.dim() == 4 and min(x.shape) and min(size) else None


def _padded(x: Tensor, padding: Sequence[int]) -> Tensor | None:
    """padding: (left, right, top, bottom)."""
    height, width = x.shape[-2:]
    left, right, top, bottom = padding
    if max(left, right) >= width or max(top, bottom) >= height or min(padding) < 0:
        return None
    return _new(x, (*x.shape[:-2], height + top + bottom, width + left + right))


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    """The arguments are those of `aten::convolution`."""
    taken = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.dim() != 4 or weight.dim() != 4 or x.shape[1] != taken or x.dtype != weight.dtype:
        return None
    sides = []
    for at, side in enumerate(x.shape[2:]):
        reach = dilation[at] * (weight.shape[2 + at] - 1)
        if transposed:
            grown = (side - 1) * stride[at] - 2 * padding[at] + reach
            sides.append(grown + output_padding[at] + 1)
        else:
            sides.append((side + 2 * padding[at] - reach - 1) // stride[at] + 1)
    if min(sides) < 1:
        return None
    made = weight.shape[1] * groups if transposed else weight.shape[0]
    return _new(x, (x.shape[0], made, *sides))


_RESULTS: dict[Any, Callable[..., Tensor | None]] = {
    aten.convolution.default: _convolved,
    aten.relu.default: _like,
    aten.leaky_relu.default: _like,
    aten.tanh.default: _like,
    aten.sigmoid.default: _like,
    aten.add.Tensor: _both,
    aten.mul.Tensor: _both,
    aten.add_.Tensor: _added,
    aten.avg_pool2d.default: _pooled,
    aten.cat.default: _joined,
    aten.new_empty.default: _new,
    aten.reflection_pad2d.default: _padded,
    aten.upsample_nearest2d.default: _enlarged,
}


class ShapesAlone(TorchDispatchMode):
    """Answers what generators call most with tensors of the right shape, on the meta device alone.

    It works below autograd, which records and saves what it always does.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True, the default, imports torch's compiler at the first call

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = _RESULTS.get(func)
        if result is not None and not kwargs and _is_meta(args[0]):
            found = result(*args)
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


def _is_meta(given: Tensor | Sequence[Tensor]) -> bool:
    return all(x.is_meta for x in ([given] if isinstance(given, Tensor) else given))
