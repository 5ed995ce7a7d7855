"""What operators do with channels: the axes of a result, and what is united on the way."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.nets.traced import cutrules, layerrules, productrules, shaperules
from gancompress.nets.traced.identities import Axes, Ids, NodeView

Rule = Callable[[NodeView], Axes]


def _pass(at: NodeView) -> Axes:
    axes: Axes = at.args[0].axes
    return axes


def _broadcast(at: NodeView) -> Axes:
    """Of operators that work element by element on any number of tensors."""
    rank = len(at.shape)
    found: list[Ids | None] = [None] * rank
    is_known = [False] * rank
    for value in at.values():
        for axis, size, ids in zip(
            range(rank - len(value.shape), rank), value.shape, value.axes, strict=True
        ):
            if size == 1 and at.shape[axis] != 1:
                continue
            found[axis] = at.meet(found[axis], ids) if is_known[axis] else ids
            is_known[axis] = True
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


_ELEMENTWISE = (
    "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "celu", "softplus",
    "hardtanh", "hardswish", "hardsigmoid", "mish", "clamp", "clamp_min", "clamp_max", "abs",
    "neg", "exp", "log", "sqrt", "rsqrt", "square", "reciprocal", "sign", "sin", "cos", "pow",
    "add", "sub", "rsub", "mul", "div", "where", "minimum", "maximum", "lerp", "addcmul", "round",
    "floor", "ceil", "log1p", "expm1", "erf", "threshold", "relu6", "logsigmoid", "log_sigmoid",
    "rrelu", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_not", "to",
    "_to_copy", "type_as", "float", "nan_to_num", "zeros_like", "ones_like", "full_like",
    "empty_like", "floor_divide", "fmod", "remainder", "softsign", "tanhshrink", "sgn", "isnan",
    "fill", "masked_fill", "complex", "real", "imag", "angle", "polar", "conj", "atan2", "max",
    "min", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_not", "positive", "clip", "hypot",
    "addcdiv", "log2", "log10", "exp2", "atan", "tan", "trunc", "frac",
)  # fmt: skip
_SPATIAL = (
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "lp_pool2d",
)  # fmt: skip
_REDUCTIONS = (
    "mean", "sum", "amax", "amin", "var", "std", "norm", "linalg_vector_norm", "logsumexp",
    "prod", "all", "any", "argmax", "argmin",
)  # fmt: skip
_ALONG = (
    "roll", "fft_rfftn", "fft_irfftn", "fft_fftn", "fft_ifftn", "fft_rfft2", "fft_irfft2",
    "fft_fft2", "fft_ifft2", "fft_rfft", "fft_irfft", "fft_fft", "fft_ifft", "fft_fftshift",
    "fft_ifftshift", "cumsum", "cumprod",
)  # fmt: skip
_FILLED = ("zeros", "ones", "full", "new_zeros", "new_ones", "new_full")
RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _broadcast),
    **dict.fromkeys(_SPATIAL, _pass),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(_ALONG, productrules.along),
    **dict.fromkeys(_FILLED, shaperules.filled),
    **dict.fromkeys(["softmax", "_softmax", "log_softmax"], _pass),
    **dict.fromkeys(["batch_norm", "instance_norm", "prelu"], layerrules.channel_norm),
    **dict.fromkeys(["reshape", "reshape_as", "flatten", "unflatten"], shaperules.reshaped),
    **dict.fromkeys(
        ["pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"], shaperules.pad
    ),
    **dict.fromkeys(["transpose", "swapaxes"], shaperules.transpose),
    **dict.fromkeys(["matmul", "bmm", "mm"], productrules.matmul),
    **dict.fromkeys(["addmm", "baddbmm"], productrules.added_product),
    **dict.fromkeys(["expand", "expand_as"], shaperules.expand),
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], layerrules.conv),
    **dict.fromkeys(
        ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], layerrules.conv_transpose
    ),
    "linear": layerrules.linear,
    "group_norm": layerrules.group_norm,
    **dict.fromkeys(["layer_norm", "rms_norm"], layerrules.layer_norm),
    **dict.fromkeys(["view_as_real", "view_as_complex"], productrules.paired),
    "grid_sampler": productrules.sampled,
    "einsum": productrules.einsum,
    "scaled_dot_product_attention": productrules.attention,
    **dict.fromkeys(["cat", "concat"], cutrules.cat),
    "stack": cutrules.stack,
    "slice": cutrules.sliced,
    "slice_scatter": cutrules.slice_scatter,
    "select_scatter": cutrules.select_scatter,
    "narrow": cutrules.narrow,
    "select": cutrules.select,
    "index": cutrules.indexed,
    "index_select": cutrules.index_selected,
    "embedding": cutrules.embedded,
    "gather": cutrules.gathered,
    "repeat": shaperules.repeated,
    "flip": shaperules.flip,
    "pixel_shuffle": shaperules.pixel_shuffle,
    "pixel_unshuffle": shaperules.pixel_unshuffle,
    "im2col": shaperules.im2col,
    "col2im": shaperules.col2im,
    "unfold": shaperules.windows,
    "permute": shaperules.permute,
    "t": shaperules.turned,
    "unsqueeze": shaperules.unsqueeze,
    "squeeze": shaperules.squeeze,
}
