"""What a trained network need not compute: folded into a convolution beside it, or left out.

Each function changes a traced network in place and returns in how many places.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.node import map_arg

from gancompress.export.graph import (
    Convolution,
    aten,
    convolutions,
    held,
    only_user,
    put,
    replace,
    tensor_of,
)

# Of aten.batch_norm and aten.instance_norm, in this order.
_NORM = ("x", "weight", "bias", "mean", "var", "training", "momentum", "eps")


def fold_constants(module: GraphModule) -> int:
    """What is computed from weights alone, as under spectral norm, is computed now."""
    count = 0
    for node in module.graph.nodes:
        known = [tensor_of(module, given) for given in node.all_input_nodes]
        if node.op != "call_function" or not known or any(tensor is None for tensor in known):
            continue
        if not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable:
            continue
        values = dict(zip(node.all_input_nodes, known, strict=True))
        value = node.target(*map_arg(node.args, values.get), **map_arg(node.kwargs, values.get))
        if isinstance(value, Tensor):
            put(module, held(module, node, value), node)
            count += 1
    return count


def drop_dropouts(module: GraphModule) -> int:
    """Dropout does nothing once trained."""
    found = [n for n in module.graph.nodes if n.target is aten.dropout.default and not n.args[2]]
    for node in found:
        put(module, node.args[0], node)
    return len(found)


def fold_batch_norms(module: GraphModule) -> int:
    """A batch norm with kept statistics is a scale and a shift, so the convolution's own.

    W' = W g / s, b' = (b - mean) g / s + beta with s = sqrt(var + eps).
    """
    count = 0
    for conv in convolutions(module):
        norm = _norm_behind(module, conv, aten.batch_norm.default)
        if norm is None or norm["training"]:
            continue
        scale = norm["weight"] / torch.sqrt(norm["var"] + norm["eps"])
        bias = torch.zeros_like(norm["mean"]) if conv.bias is None else conv.bias
        shift = (bias - norm["mean"]) * scale + norm["bias"]
        put(module, conv.node, norm["node"])
        replace(module, conv, weight=_scaled(conv, scale), bias=shift)
        count += 1
    return count


def drop_cancelled_biases(module: GraphModule) -> int:
    """An instance norm subtracts the mean, and with it the bias of the convolution before it."""
    count = 0
    for conv in convolutions(module):
        if conv.bias is None:
            continue
        norm = _norm_behind(module, conv, aten.instance_norm.default)
        if norm is not None and norm["training"]:  # by the image's own statistics
            replace(module, conv, weight=conv.weight, bias=None)
            count += 1
    return count


def fold_affine_norms(module: GraphModule) -> int:
    """Scale and shift of an instance norm, into the 1x1 convolution that alone reads it.

    W (g y + beta) + b = (W g) y + (W beta + b): the separable kernels' inner norm is plain then.
    """
    count = 0
    for conv in convolutions(module):
        node = conv.x
        if node.target is not aten.instance_norm.default or only_user(node) is not conv.node:
            continue
        scale, shift = (tensor_of(module, node.args[i]) for i in (1, 2))
        if scale is None or shift is None or not _is_pointwise(conv):
            continue
        weight = conv.weight * scale[:, None, None]
        bias = (conv.weight * shift[:, None, None]).sum((1, 2, 3))
        node.args = (node.args[0], None, None, *node.args[3:])
        replace(module, conv, weight=weight, bias=bias if conv.bias is None else conv.bias + bias)
        count += 1
    return count


def fold_zero_pads(module: GraphModule) -> int:
    """Zeros around an input, as the convolution's own padding."""
    count = 0
    for conv in convolutions(module):
        pad = conv.x
        if pad.target is not aten.pad.default or conv.transposed or only_user(pad) is not conv.node:
            continue
        given: tuple[Any, ...] = pad.args
        amounts, mode = given[1], given[2] if len(given) > 2 else "constant"
        value = given[3] if len(given) > 3 else None
        if mode != "constant" or value not in (None, 0, 0.0) or len(amounts) > 4:
            continue
        left, right, up, down = (*amounts, 0, 0)[:4]
        if left != right or up != down or min(left, up) < 0:
            continue
        sides = (conv.padding[0] + up, conv.padding[1] + left)
        replace(module, conv, weight=conv.weight, bias=conv.bias, x=given[0], padding=sides)
        count += 1
    return count


def _norm_behind(module: GraphModule, conv: Convolution, kind: Any) -> dict[str, Any] | None:
    """The norm that alone reads a convolution: its node and numbers; None without one.

    Scale and shift that are not given are 1 and 0.
    """
    node = only_user(conv.node)
    if node is None or node.target is not kind or node.args[0] is not conv.node:
        return None
    given = dict(zip(_NORM, node.args, strict=False))
    found: dict[str, Any] = {k: given[k] for k in ("training", "eps")} | {"node": node}
    empty = {"weight": torch.ones, "bias": torch.zeros}
    for name in ("weight", "bias", "mean", "var"):
        tensor = tensor_of(module, given[name])
        if tensor is None and given[name] is None and name in empty:
            tensor = empty[name](conv.out_channels)
        if tensor is None and given[name] is not None:
            return None  # computed by the network itself
        found[name] = tensor
    return found


def _scaled(conv: Convolution, scale: Tensor) -> Tensor:
    """The weights for an output times `scale` (C,)."""
    if not conv.transposed:
        return conv.weight * scale[:, None, None, None]
    groups, width = conv.groups, conv.weight.shape[1]
    rows = scale.view(groups, 1, width).expand(-1, conv.weight.shape[0] // groups, -1)
    return conv.weight * rows.reshape(-1, width)[:, :, None, None]


def _is_pointwise(conv: Convolution) -> bool:
    return (
        not conv.transposed
        and conv.kernel == (1, 1)
        and conv.groups == 1
        and conv.padding == (0, 0)
    )
