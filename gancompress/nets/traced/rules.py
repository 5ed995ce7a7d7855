"""What operators do with channels: the axes of a result, and what is united on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gancompress.nets.traced import layerrules
from gancompress.nets.traced.graph import Ref
from gancompress.nets.traced.identities import (
    Axes,
    Ids,
    NodeView,
    UnknownUse,
    replaced,
    unite_axes,
)

Rule = Callable[[NodeView], Axes]


def _pass(at: NodeView) -> Axes:
    axes: Axes = at.args[0].axes
    return axes


def _broadcast(at: NodeView) -> Axes:
    """Of operators that work element by element on any number of tensors."""
    rank = len(at.shape)
    values = [v for v in at.values() if len(v.shape)]
    found: list[Ids | None] = [None] * rank
    is_known = [False] * rank
    for value in values:
        for axis, size, ids in zip(
            range(rank - len(value.shape), rank), value.shape, value.axes, strict=True
        ):
            if size == 1 and at.shape[axis] != 1:
                continue
            if not is_known[axis]:
                found[axis], is_known[axis] = ids, True
            elif ids is not None and found[axis] is not None:
                at.ids.unite(found[axis], ids)  # type: ignore[arg-type]
            elif ids is not None or found[axis] is not None:
                one = ids if found[axis] is None else found[axis]
                assert one is not None
                if len(one) > 1:
                    at.ids.freeze(one, f"{at.label} joins them to what has no channels")
                found[axis] = one
    return tuple(found)


def _cat(at: NodeView) -> Axes:
    values = at.args[0]
    axis = int(at.argument(1, "dim", 0)) % len(at.shape)
    values = [v for v in values if v.shape != torch.Size([0])]
    first = values[0]
    for other in values[1:]:
        for i, (one, two) in enumerate(zip(first.axes, other.axes, strict=True)):
            if i != axis:
                unite_axes(one, two, at.ids)
    own = [v.axes[axis] for v in values]
    joined: Ids | None = None
    if any(ids is not None for ids in own):
        joined = np.concatenate([
            _frozen(at, v.shape[axis]) if ids is None else ids
            for v, ids in zip(values, own, strict=True)
        ])  # fmt: skip
    return replaced(first.axes, axis, joined)


def _frozen(at: NodeView, count: int) -> Ids:
    ids = at.ids.fresh(count)
    at.ids.freeze(ids, f"{at.label} joins what has no channels")
    return ids


def _slice(at: NodeView) -> Axes:
    x, axis = at.args[0], int(at.argument(1, "dim", 0)) % len(at.shape)
    start, end = at.argument(2, "start"), at.argument(3, "end")
    step = int(at.argument(4, "step", 1) or 1)
    own = x.axes[axis]
    if own is None:
        axes: Axes = x.axes
        return axes
    if isinstance(start, Ref) or isinstance(end, Ref) or step != 1:
        raise UnknownUse
    return replaced(x.axes, axis, own[slice(start, end)])


def _slice_scatter(at: NodeView) -> Axes:
    x, part, axis = at.args[0], at.args[1], int(at.argument(2, "dim", 0)) % len(at.shape)
    start, end = at.argument(3, "start"), at.argument(4, "end")
    is_plain = not (isinstance(start, Ref) or isinstance(end, Ref))
    is_whole = is_plain and (at.argument(5, "step", 1) or 1) == 1
    if x.axes[axis] is not None and not is_whole:
        raise UnknownUse
    for number, (one, other) in enumerate(zip(x.axes, part.axes, strict=True)):
        cut = slice(start, end) if number == axis else slice(None)
        unite_axes(None if one is None else one[cut], other, at.ids)
    axes: Axes = x.axes
    return axes


def _narrow(at: NodeView) -> Axes:
    x, axis, start, length = at.args[0], int(at.args[1]) % len(at.shape), at.args[2], at.args[3]
    own = x.axes[axis]
    return replaced(x.axes, axis, None if own is None else own[start : start + length])


def _select(at: NodeView) -> Axes:
    x, axis = at.args[0], int(at.args[1]) % len(at.args[0].shape)
    own = x.axes[axis]
    if own is not None:
        at.ids.freeze(own, f"{at.label} takes one of the channels")
    return (*x.axes[:axis], *x.axes[axis + 1 :])


def _flip(at: NodeView) -> Axes:
    x = at.args[0]
    axes = list(x.axes)
    for axis in at.args[1]:
        own = axes[axis]
        axes[axis] = None if own is None else own[::-1]
    return tuple(axes)


def _pixel_shuffle(at: NodeView) -> Axes:
    x, factor = at.args[0], int(at.args[1])
    own = x.axes[1]
    if own is None:
        raise UnknownUse
    bundles = own.reshape(-1, factor**2)
    for bundle in bundles:
        at.ids.unite(bundle, np.repeat(bundle[:1], len(bundle)))
    return replaced(x.axes, 1, bundles[:, 0])


def _pixel_unshuffle(at: NodeView) -> Axes:
    x, factor = at.args[0], int(at.args[1])
    own = x.axes[1]
    return replaced(x.axes, 1, None if own is None else np.repeat(own, factor**2))


def _pad(at: NodeView) -> Axes:
    x, padding = at.args[0], at.args[1]
    for i in range(len(padding) // 2):
        axis = len(x.shape) - 1 - i
        is_padded = any(isinstance(p, Ref) or p != 0 for p in padding[2 * i : 2 * i + 2])
        if is_padded and x.axes[axis] is not None:
            raise UnknownUse
    axes: Axes = x.axes
    return axes


def _reduced(at: NodeView) -> Axes:
    """Sums, means and the like: over channels too, whose order does not matter there."""
    x = at.args[0]
    over = at.argument(1, "dim")
    over = range(len(x.shape)) if over is None else [over] if isinstance(over, int) else over
    over = {axis % len(x.shape) for axis in over}
    if len(at.shape) == len(x.shape):
        return tuple(None if i in over else ids for i, ids in enumerate(x.axes))
    return tuple(ids for i, ids in enumerate(x.axes) if i not in over)


def _transpose(at: NodeView) -> Axes:
    x, one, other = at.args[0], int(at.args[1]), int(at.args[2])
    axes = list(x.axes)
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def _permute(at: NodeView) -> Axes:
    x = at.args[0]
    return tuple(x.axes[axis] for axis in at.args[1])


def _t(at: NodeView) -> Axes:
    axes: Axes = at.args[0].axes[::-1]
    return axes


def _matmul(at: NodeView) -> Axes:
    x, y = at.args[0], at.args[1]
    if len(x.shape) < 2 or len(y.shape) < 2:
        raise UnknownUse
    unite_axes(x.axes[-1], y.axes[-2], at.ids)
    rank = len(at.shape)
    rest: list[Ids | None] = [None] * (rank - 2)
    for value in (x, y):
        for axis, ids in enumerate(value.axes[:-2], rank - len(value.shape)):
            if ids is not None and rest[axis] is not None:
                at.ids.unite(rest[axis], ids)  # type: ignore[arg-type]
            rest[axis] = ids if rest[axis] is None else rest[axis]
    return (*rest, x.axes[-2], y.axes[-1])


def _reshaped(at: NodeView) -> Axes:
    """Axes that keep their size keep their channels; channels that are divided or joined freeze.

    Walks both shapes at once and takes together what has the same product.
    """
    x = at.args[0]
    before, after = list(x.shape), list(at.shape)
    found: list[Ids | None] = [None] * len(after)
    i = j = 0
    while i < len(before) or j < len(after):
        start, stop = i, j
        left = before[i] if i < len(before) else 1
        right = after[j] if j < len(after) else 1
        i, j = i + 1, j + 1
        while left != right:
            if left < right:
                left *= before[i]
                i += 1
            else:
                right *= after[j]
                j += 1
        mine = [a for a in range(start, min(i, len(before))) if before[a] > 1]
        made = [a for a in range(stop, min(j, len(after))) if after[a] > 1]
        if len(mine) == 1 and len(made) == 1:
            found[made[0]] = x.axes[mine[0]]
            continue
        for axis in mine:
            own = x.axes[axis]
            if own is not None:
                at.ids.freeze(own, f"{at.label} divides or joins channels")
    return tuple(found)


def _expand(at: NodeView) -> Axes:
    x = at.args[0]
    more = len(at.shape) - len(x.shape)
    axes = [None] * more + list(x.axes)
    return tuple(
        None if size != 1 and (axis < more or x.shape[axis - more] == 1) else ids
        for axis, (size, ids) in enumerate(zip(at.shape, axes, strict=True))
    )


def _unsqueeze(at: NodeView) -> Axes:
    axis = int(at.args[1]) % len(at.shape)
    axes = list(at.args[0].axes)
    axes.insert(axis, None)
    return tuple(axes)


def _squeeze(at: NodeView) -> Axes:
    x = at.args[0]
    over = at.argument(1, "dim")
    over = range(len(x.shape)) if over is None else [over] if isinstance(over, int) else over
    gone = {axis % len(x.shape) for axis in over if x.shape[axis] == 1}
    return tuple(ids for axis, ids in enumerate(x.axes) if axis not in gone)


_ELEMENTWISE = (
    "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "softplus",
    "hardtanh", "hardswish", "hardsigmoid", "mish", "clamp", "clamp_min", "clamp_max", "abs",
    "neg", "exp", "log", "sqrt", "rsqrt", "square", "reciprocal", "sign", "sin", "cos", "pow",
    "add", "sub", "rsub", "mul", "div", "where", "minimum", "maximum", "lerp", "addcmul", "round",
    "floor", "ceil", "log1p", "expm1", "erf", "threshold", "relu6", "logsigmoid", "log_sigmoid",
    "rrelu", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "to",
    "_to_copy", "type_as", "float", "nan_to_num", "zeros_like", "ones_like", "full_like",
    "empty_like", "floor_divide", "fmod", "remainder", "softsign", "tanhshrink", "sgn", "isnan",
)  # fmt: skip
_SPATIAL = (
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "lp_pool2d",
)  # fmt: skip
_REDUCTIONS = (
    "mean", "sum", "amax", "amin", "var", "std", "norm", "linalg_vector_norm", "logsumexp",
    "prod", "all", "any",
)  # fmt: skip
RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _broadcast),
    **dict.fromkeys(_SPATIAL, _pass),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(["softmax", "_softmax", "log_softmax"], _pass),
    **dict.fromkeys(["batch_norm", "instance_norm", "prelu"], layerrules.channel_norm),
    **dict.fromkeys(["view", "reshape", "_unsafe_view", "flatten", "unflatten"], _reshaped),
    **dict.fromkeys(["pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"], _pad),
    **dict.fromkeys(["transpose", "swapaxes"], _transpose),
    **dict.fromkeys(["matmul", "bmm", "mm"], _matmul),
    **dict.fromkeys(["expand", "expand_as"], _expand),
    "conv2d": layerrules.conv2d,
    "conv_transpose2d": layerrules.conv_transpose2d,
    "linear": layerrules.linear,
    "group_norm": layerrules.group_norm,
    "layer_norm": layerrules.layer_norm,
    "cat": _cat,
    "concat": _cat,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "narrow": _narrow,
    "select": _select,
    "flip": _flip,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "permute": _permute,
    "t": _t,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
}
