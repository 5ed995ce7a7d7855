"""What layers with weights do with channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from gancompress.nets.traced.identities import Axes, Ids, NodeView, UnknownUse, Value, unite_axes


def conv2d(at: NodeView) -> Axes:
    x, weight = at.args[0], at.args[1]
    groups = int(at.argument(6, "groups", 1))
    made = _grouped(at, x, weight.axes[0], weight.axes[1], groups, weight.shape[0])
    _tie_bias(at, at.argument(2, "bias"), made)
    return (x.axes[0], made, None, None)


def conv_transpose2d(at: NodeView) -> Axes:
    x, weight = at.args[0], at.args[1]
    groups = int(at.argument(6, "groups", 1))
    if groups == 1:
        unite_axes(weight.axes[0], x.axes[1], at.ids)
        made = weight.axes[1]
    elif groups == weight.shape[0] and weight.shape[1] == 1:
        unite_axes(weight.axes[0], x.axes[1], at.ids)
        made = weight.axes[0]
    else:
        raise UnknownUse
    if made is None:  # one channel
        made = at.ids.fresh(at.shape[1])
        at.ids.freeze(made, "one channel alone")
    _tie_bias(at, at.argument(2, "bias"), made)
    return (x.axes[0], made, None, None)


def _grouped(
    at: NodeView, x: Value, out: Ids | None, inner: Ids | None, groups: int, count: int
) -> Ids:
    """What a convolution makes, its input tied to the kernel."""
    if out is None:  # A kernel with one output has no axis of channels there.
        out = at.ids.fresh(count)
        at.ids.freeze(out, "one channel alone")
    taken = x.axes[1]
    if groups == 1:
        if inner is not None or (taken is not None and len(taken) > 1):
            unite_axes(inner, taken, at.ids)
        return out
    if taken is None:
        raise UnknownUse
    # A group's channels, in and out, are dropped together or not at all.
    size_in, size_out = len(taken) // groups, len(out) // groups
    for group in range(groups):
        mine = taken[group * size_in : (group + 1) * size_in]
        made = out[group * size_out : (group + 1) * size_out]
        both = np.concatenate([mine, made])
        at.ids.unite(both, np.repeat(both[:1], len(both)))
    if inner is not None:
        at.ids.freeze(inner, f"{at.label}: the channels inside of a group")
    return out


def _tie_bias(at: NodeView, bias: Any, made: Ids) -> None:
    if isinstance(bias, Value) and bias.axes[0] is not None:
        at.ids.unite(bias.axes[0], made)


def linear(at: NodeView) -> Axes:
    x, weight = at.args[0], at.args[1]
    unite_axes(weight.axes[1], x.axes[-1], at.ids)
    made = weight.axes[0]
    if made is None:
        made = at.ids.fresh(weight.shape[0])
        at.ids.freeze(made, "one channel alone")
    _tie_bias(at, at.argument(2, "bias"), made)
    return (*x.axes[:-1], made)


def channel_norm(at: NodeView) -> Axes:
    """Norms, each channel by itself, and a PReLU: all their tensors are of the channels."""
    x = at.args[0]
    for value in at.values()[1:]:
        if len(value.shape) == 1 and value.axes[0] is not None:
            unite_axes(value.axes[0], x.axes[1], at.ids)
    axes: Axes = x.axes
    return axes


def group_norm(at: NodeView) -> Axes:
    x, groups = at.args[0], int(at.args[1])
    taken = x.axes[1]
    if taken is None:
        raise UnknownUse
    size = len(taken) // groups
    if groups == 1:
        size = 1  # over all channels: no order among them
    for start in range(0, len(taken), size):
        mine = taken[start : start + size]
        at.ids.unite(mine, np.repeat(mine[:1], len(mine)))
    for value in at.values()[1:]:
        unite_axes(value.axes[0], taken, at.ids)
    axes: Axes = x.axes
    return axes


def layer_norm(at: NodeView) -> Axes:
    x, over = at.args[0], at.args[1]
    if len(over) != 1:
        raise UnknownUse
    for value in at.values()[1:]:
        unite_axes(value.axes[0], x.axes[-1], at.ids)
    axes: Axes = x.axes
    return axes
