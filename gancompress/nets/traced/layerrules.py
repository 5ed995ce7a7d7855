"""What layers with weights do with channels.

A weight may be a tensor of the graph or computed, as a modulated kernel is. What a layer takes from
axes without channels freezes the inner axis of its weight alone: what it makes is free.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gancompress.nets.traced.identities import Axes, Ids, NodeView, Value, replaced


def conv(at: NodeView) -> Axes:
    """Of any number of axes of places."""
    x, weight = at.args[0], at.args[1]
    made = _grouped(at, x, weight, at.number(6, "groups", 1))
    return _made(at, x, made, weight.shape[0])


def conv_transpose(at: NodeView) -> Axes:
    x, weight = at.args[0], at.args[1]
    groups = at.number(6, "groups", 1)
    if groups == 1:
        at.meet(weight.axes[0], x.axes[1])
        return _made(at, x, weight.axes[1], weight.shape[1])
    own = at.meet(weight.axes[0], x.axes[1])
    if own is None:
        return _made(at, x, None, weight.shape[1] * groups)
    # A group's channels, in and out, are dropped together or not at all.
    rows = own.reshape(groups, -1)
    at.one_order(rows)
    at.keep(weight.axes[1], "lie inside of a group")
    return _made(at, x, np.repeat(rows[:, 0], weight.shape[1]), weight.shape[1] * groups)


def _grouped(at: NodeView, x: Value, weight: Value, groups: int) -> Ids | None:
    """What a convolution makes, its input tied to the kernel."""
    (out, inner), taken = weight.axes[:2], x.axes[1]
    if groups == 1:
        at.meet(inner, taken)
        return out
    at.keep(inner, "lie inside of a group")
    if taken is None or out is None:
        at.meet(taken, out)
        return None
    at.one_order(np.concatenate([taken.reshape(groups, -1), out.reshape(groups, -1)], 1))
    return out


def _made(at: NodeView, x: Value, made: Ids | None, count: int) -> Axes:
    """The axes of what a layer makes, its channels second."""
    made = _single(at, made, count)
    _tie(at, at.argument(2, "bias"), made)
    return (x.axes[0], made, *[None] * (len(at.shape) - 2))


def _single(at: NodeView, made: Ids | None, count: int) -> Ids | None:
    """The axis that a layer makes; one channel alone has an identity too, to be joined to more."""
    if made is None and count == 1:
        made = at.ids.fresh(1)
        at.ids.freeze(made, "one channel alone")
    return made


def _tie(at: NodeView, one: Any, channels: Ids | None) -> None:
    """Ties a tensor of one value per channel to these."""
    if isinstance(one, Value):
        at.meet(one.axes[0], channels)


def linear(at: NodeView) -> Axes:
    x, weight = at.args[0], at.args[1]
    at.meet(weight.axes[1], x.axes[-1])
    made = _single(at, weight.axes[0], weight.shape[0])
    _tie(at, at.argument(2, "bias"), made)
    return (*x.axes[:-1], made)


def channel_norm(at: NodeView) -> Axes:
    """Norms, each channel by itself, and a PReLU: all their tensors are of the channels."""
    x = at.args[0]
    for value in at.values()[1:]:
        if len(value.shape) == 1 and value.shape[0] > 1:
            at.meet(value.axes[0], x.axes[1])
    return tuple(x.axes)


def group_norm(at: NodeView) -> Axes:
    x, groups = at.args[0], at.number(1, "num_groups", 1)
    own = x.axes[1]
    for value in at.values()[1:]:
        own = at.meet(value.axes[0], own)
    if own is not None and groups > 1:  # Of one group there is no order among the channels.
        at.one_order(own.reshape(groups, -1))
    return replaced(x.axes, 1, own)


def layer_norm(at: NodeView) -> Axes:
    """Over the last axes, whose number its second argument tells; their order is free."""
    x, over = at.args[0], len(at.args[1])
    first = len(x.shape) - over
    axes = list(x.axes)
    for value in at.values()[1:]:
        for i, own in enumerate(value.axes):
            axes[first + i] = at.meet(axes[first + i], own) if value.shape[i] > 1 else None
    return tuple(axes)
