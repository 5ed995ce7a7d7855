"""Convolutions in another form with the same answer, where runtimes compute that one faster.

Runtimes work on blocks of 8 or 16 output channels: a head with 3 leaves most of a block idle, and
transposed convolutions run in slower code than ordinary ones. A phase is one of the f x f places
of a pixel in a tile of the output: phases are channels of an ordinary convolution.
"""

from __future__ import annotations

from torch import Tensor
from torch.fx import GraphModule
from torch.nn import functional as F

from gancompress.export.graph import Convolution, convolutions, divides, held, put

NARROW = 4  # output channels up to which a convolution leaves most of a block idle
SMALL = 5  # kernels below this side gain less than the wider kernels of the phases cost
PHASES = 2


def phased(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Stride 2 with the phases as channels, then put side by side: (N, C, H, W) of twice the sides.

    weight (4 C, C_in, kh + 1, kw + 1) by `phase_kernel`.
    """
    y = F.conv2d(x, weight, bias, stride=PHASES)
    return F.pixel_shuffle(y, PHASES)


def phase_kernel(weight: Tensor) -> Tensor:
    """The kernel (O, I, kh, kw), once for each of the 2x2 phases, at the offset of that phase."""
    o, i, kh, kw = weight.shape
    wide = weight.new_zeros(o, PHASES, PHASES, i, kh + 1, kw + 1)
    for a in range(PHASES):
        for b in range(PHASES):
            wide[:, a, b, :, a : a + kh, b : b + kw] = weight
    return wide.reshape(o * PHASES**2, i, kh + 1, kw + 1)


def rowwise(x: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Tensor:
    """One row of the kernel at a time as channels, then the rows' answers shifted and added.

    weight (rows * O * 2, I, 1, kw + 1) by `row_kernel`: with two columns as phases it reads each
    input only kw + 1 times for `rows` * O * 2 channels, and nearly fills their blocks.
    """
    y = F.conv2d(x, weight, stride=(1, PHASES))  # (N, rows * O * 2, H + rows - 1, W / 2)
    height = x.shape[2] - rows + 1
    parts = y.split(y.shape[1] // rows, 1)
    total = parts[0][:, :, :height]
    for row, part in enumerate(parts[1:], 1):
        total = total + part[:, :, row : row + height]
    if bias is not None:
        total = total + bias.repeat_interleave(PHASES)[:, None, None]
    return columns_merged(total.unflatten(1, (-1, PHASES)))


def row_kernel(weight: Tensor) -> Tensor:
    o, i, kh, kw = weight.shape
    wide = weight.new_zeros(kh, o, PHASES, i, 1, kw + 1)
    for row in range(kh):
        for b in range(PHASES):
            wide[row, :, b, :, 0, b : b + kw] = weight[:, :, row]
    return wide.reshape(kh * o * PHASES, i, 1, kw + 1)


def columns_merged(x: Tensor) -> Tensor:
    """(N, C, 2, H, W) -> (N, C, H, 2 W), the two by turns."""
    n, c, phases, height, width = x.shape
    return x.permute(0, 1, 3, 4, 2).reshape(n, c, height, width * phases)


def enlarged(x: Tensor, weight: Tensor, bias: Tensor | None, pad: list[int]) -> Tensor:
    """A transposed convolution of stride 2 by `up_kernel`: its four phases as channels.

    Merged columns first, then whole rows: two moves of memory in order, which onnxruntime does in
    half the time of one DepthToSpace.
    """
    y = F.conv2d(F.pad(x, pad), weight, bias)  # (N, 4 C, H, W), channels (c, row, column)
    n, c, height, width = y.shape
    merged = columns_merged(y.unflatten(1, (-1, PHASES)))  # (N, C * 2, H, 2 W)
    tall = merged.unflatten(1, (-1, PHASES)).transpose(2, 3)  # (N, C, H, 2, 2 W)
    return tall.reshape(n, c // PHASES**2, height * PHASES, width * PHASES)


def up_kernel(weight: Tensor, padding: int) -> tuple[Tensor, list[int]]:
    """The ordinary kernel of all phases, and what its input is padded by, for a transposed one.

    weight (I, O, k, k). Output row 2 i + a is the sum over k of x[i + (a + padding - k) / 2] where
    that is whole: a phase takes every other tap. Returns (4 O, I, m, m), [left, right, up, down].
    """
    i, o, side, _ = weight.shape
    taps = [  # (phase, tap of the kernel, input row from i)
        (a, k, (a + padding - k) // PHASES)
        for a in range(PHASES)
        for k in range(side)
        if (a + padding - k) % PHASES == 0
    ]
    low, high = min(row for *_, row in taps), max(row for *_, row in taps)
    wide = weight.new_zeros(o, PHASES, PHASES, i, high - low + 1, high - low + 1)
    for a, ky, row in taps:
        for b, kx, column in taps:
            wide[:, a, b, :, row - low, column - low] = weight[:, :, ky, kx].T
    return wide.flatten(0, 2), [-low, high, -low, high]


def phase_heads(module: GraphModule) -> int:
    """Convolutions with few outputs and a large kernel, as `phased`."""
    heads = _heads(module)
    for conv in heads:
        bias = None if conv.bias is None else conv.bias.repeat_interleave(PHASES**2)
        _call(module, conv, phased, phase_kernel(conv.weight), bias)
    return len(heads)


def row_heads(module: GraphModule) -> int:
    """Convolutions with few outputs and a large kernel, as `rowwise`."""
    heads = _heads(module)
    for conv in heads:
        _call(module, conv, rowwise, row_kernel(conv.weight), conv.bias, conv.kernel[0])
    return len(heads)


def phase_ups(module: GraphModule) -> int:
    """Transposed convolutions 3x3 of stride 2 that double the sides, as `enlarged`.

    Larger kernels stay: 4x4 would become 3x3 with more than twice the MACs.
    """
    ups = [
        conv
        for conv in convolutions(module)
        if conv.transposed
        and (conv.kernel, conv.stride, conv.dilation) == ((3, 3), (2, 2), (1, 1))
        and (conv.padding, conv.output_padding, conv.groups) == ((1, 1), (1, 1), 1)
    ]
    for conv in ups:
        weight, pad = up_kernel(conv.weight, conv.padding[0])
        bias = None if conv.bias is None else conv.bias.repeat_interleave(PHASES**2)
        _call(module, conv, enlarged, weight, bias, pad)
    return len(ups)


def _heads(module: GraphModule) -> list[Convolution]:
    return [
        conv
        for conv in convolutions(module)
        if not conv.transposed
        and conv.out_channels <= NARROW
        and min(conv.kernel) >= SMALL
        and (conv.stride, conv.dilation, conv.padding) == ((1, 1), (1, 1), (0, 0))
        and conv.groups == 1
        and divides(PHASES, conv.node, 2)
        and divides(PHASES, conv.node, 3)
    ]


def _call(
    module: GraphModule,
    conv: Convolution,
    function: object,
    weight: Tensor,
    bias: Tensor | None,
    *more: object,
) -> None:
    node = conv.node
    with module.graph.inserting_before(node):
        held_bias = None if bias is None else held(module, node, bias)
        args = (conv.x, held(module, node, weight), held_bias, *more)
        new = module.graph.call_function(function, args)  # type: ignore[arg-type]
    put(module, new, node)
