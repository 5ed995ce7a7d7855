"""What operators do with channels: the axes of a result, and what is united on the way."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.nets.traced import layerrules, shaperules
from gancompress.nets.traced.identities import (
    Axes,
    Ids,
    NodeView,
    UnknownUse,
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


def _reduced(at: NodeView) -> Axes:
    """Sums, means and the like: over channels too, whose order does not matter there."""
    x = at.args[0]
    over = at.argument(2 if at.node.op in ("norm", "linalg_vector_norm") else 1, "dim")
    over = range(len(x.shape)) if over is None else [over] if isinstance(over, int) else over
    over = {axis % len(x.shape) for axis in over}
    if len(at.shape) == len(x.shape):
        return tuple(None if i in over else ids for i, ids in enumerate(x.axes))
    return tuple(ids for i, ids in enumerate(x.axes) if i not in over)


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


def _along(at: NodeView) -> Axes:
    """Works along axes of places, which it names or which are the last two."""
    x = at.args[0]
    over = at.argument(2, "dim") or (-2, -1)
    if any(x.axes[axis] is not None for axis in over):
        raise UnknownUse
    axes: Axes = x.axes
    return axes


def _attention(at: NodeView) -> Axes:
    q, k, v = at.args[:3]
    unite_axes(q.axes[-1], k.axes[-1], at.ids)
    for axis in range(len(q.shape) - 2):
        for other in (k, v):
            unite_axes(q.axes[axis], other.axes[axis], at.ids)
    return (*q.axes[:-1], v.axes[-1])


_ELEMENTWISE = (
    "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "softplus",
    "hardtanh", "hardswish", "hardsigmoid", "mish", "clamp", "clamp_min", "clamp_max", "abs",
    "neg", "exp", "log", "sqrt", "rsqrt", "square", "reciprocal", "sign", "sin", "cos", "pow",
    "add", "sub", "rsub", "mul", "div", "where", "minimum", "maximum", "lerp", "addcmul", "round",
    "floor", "ceil", "log1p", "expm1", "erf", "threshold", "relu6", "logsigmoid", "log_sigmoid",
    "rrelu", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "to",
    "_to_copy", "type_as", "float", "nan_to_num", "zeros_like", "ones_like", "full_like",
    "empty_like", "floor_divide", "fmod", "remainder", "softsign", "tanhshrink", "sgn", "isnan",
    "fill", "masked_fill",
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
    **dict.fromkeys(["reshape", "flatten", "unflatten"], shaperules.reshaped),
    **dict.fromkeys(
        ["pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"], shaperules.pad
    ),
    **dict.fromkeys(["transpose", "swapaxes"], shaperules.transpose),
    **dict.fromkeys(["matmul", "bmm", "mm"], _matmul),
    **dict.fromkeys(["expand", "expand_as"], shaperules.expand),
    "conv2d": layerrules.conv2d,
    "conv_transpose2d": layerrules.conv_transpose2d,
    "linear": layerrules.linear,
    "group_norm": layerrules.group_norm,
    "layer_norm": layerrules.layer_norm,
    **dict.fromkeys(
        ["roll", "fft_rfftn", "fft_irfftn", "fft_rfft2", "fft_irfft2", "fft_fft2", "fft_ifft2"],
        _along,
    ),
    "stack": shaperules.stack,
    "repeat": shaperules.repeated,
    "scaled_dot_product_attention": _attention,
    "cat": shaperules.cat,
    "concat": shaperules.cat,
    "slice": shaperules.sliced,
    "slice_scatter": shaperules.slice_scatter,
    "narrow": shaperules.narrow,
    "select": shaperules.select,
    "flip": shaperules.flip,
    "pixel_shuffle": shaperules.pixel_shuffle,
    "pixel_unshuffle": shaperules.pixel_unshuffle,
    "permute": shaperules.permute,
    "t": shaperules.turned,
    "unsqueeze": shaperules.unsqueeze,
    "squeeze": shaperules.squeeze,
}
