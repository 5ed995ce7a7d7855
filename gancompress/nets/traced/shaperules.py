"""What operators that cut, join or turn tensors do with channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gancompress.nets.traced.graph import Ref
from gancompress.nets.traced.identities import (
    Axes,
    Ids,
    NodeView,
    UnknownUse,
    replaced,
    unite_axes,
)


def cat(at: NodeView) -> Axes:
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


def sliced(at: NodeView) -> Axes:
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


def slice_scatter(at: NodeView) -> Axes:
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


def narrow(at: NodeView) -> Axes:
    x, axis, start, length = at.args[0], int(at.args[1]) % len(at.shape), at.args[2], at.args[3]
    own = x.axes[axis]
    return replaced(x.axes, axis, None if own is None else own[start : start + length])


def select(at: NodeView) -> Axes:
    x, axis = at.args[0], int(at.args[1]) % len(at.args[0].shape)
    own = x.axes[axis]
    if own is not None:
        at.ids.freeze(own, f"{at.label} takes one of the channels")
    return (*x.axes[:axis], *x.axes[axis + 1 :])


def flip(at: NodeView) -> Axes:
    x = at.args[0]
    axes = list(x.axes)
    for axis in at.args[1]:
        own = axes[axis]
        axes[axis] = None if own is None else own[::-1]
    return tuple(axes)


def pixel_shuffle(at: NodeView) -> Axes:
    x, factor = at.args[0], int(at.args[1])
    own = x.axes[1]
    if own is None:
        raise UnknownUse
    bundles = own.reshape(-1, factor**2)
    for bundle in bundles:
        at.ids.unite(bundle, np.repeat(bundle[:1], len(bundle)))
    return replaced(x.axes, 1, bundles[:, 0])


def pixel_unshuffle(at: NodeView) -> Axes:
    x, factor = at.args[0], int(at.args[1])
    own = x.axes[1]
    return replaced(x.axes, 1, None if own is None else np.repeat(own, factor**2))


def pad(at: NodeView) -> Axes:
    x, padding = at.args[0], at.args[1]
    for i in range(len(padding) // 2):
        axis = len(x.shape) - 1 - i
        is_padded = any(isinstance(p, Ref) or p != 0 for p in padding[2 * i : 2 * i + 2])
        if is_padded and x.axes[axis] is not None:
            raise UnknownUse
    axes: Axes = x.axes
    return axes


def transpose(at: NodeView) -> Axes:
    x, one, other = at.args[0], int(at.args[1]), int(at.args[2])
    axes = list(x.axes)
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def permute(at: NodeView) -> Axes:
    x = at.args[0]
    return tuple(x.axes[axis] for axis in at.args[1])


def turned(at: NodeView) -> Axes:
    axes: Axes = at.args[0].axes[::-1]
    return axes


def reshaped(at: NodeView) -> Axes:
    """Axes that keep their size keep their channels; others are divided, or joined to none.

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
        wide = [axis for axis in mine if x.axes[axis] is not None]
        own = x.axes[wide[0]] if wide else None
        if own is not None and len(mine) == 1:
            axis = max(made, key=lambda a: after[a])
            found[axis] = _divided(at, own, [after[a] for a in made], made.index(axis))
        elif own is not None and len(made) == len(wide) == 1:
            lying = np.reshape(own, [before[a] if a == wide[0] else 1 for a in mine])
            found[made[0]] = np.broadcast_to(lying, [before[a] for a in mine]).flatten()
        else:
            for axis in wide:
                _freeze(at, x.axes[axis], f"{at.label} divides or joins channels")
    return tuple(found)


def _freeze(at: NodeView, ids: Ids | None, why: str) -> None:
    if ids is not None:
        at.ids.freeze(ids, why)


def _divided(at: NodeView, own: Ids, sizes: Sequence[int], axis: int) -> Ids:
    """The channels along one of the axes that a channel axis becomes: as many of each other one."""
    rows = np.moveaxis(own.reshape(sizes), axis, 0).reshape(sizes[axis], -1)
    for row in rows:
        at.ids.unite(row, np.repeat(row[:1], len(row)))
    return rows[:, 0]


def expand(at: NodeView) -> Axes:
    x = at.args[0]
    more = len(at.shape) - len(x.shape)
    axes = [None] * more + list(x.axes)
    return tuple(
        None if size != 1 and (axis < more or x.shape[axis - more] == 1) else ids
        for axis, (size, ids) in enumerate(zip(at.shape, axes, strict=True))
    )


def unsqueeze(at: NodeView) -> Axes:
    axis = int(at.args[1]) % len(at.shape)
    axes = list(at.args[0].axes)
    axes.insert(axis, None)
    return tuple(axes)


def squeeze(at: NodeView) -> Axes:
    x = at.args[0]
    over = at.argument(1, "dim")
    over = range(len(x.shape)) if over is None else [over] if isinstance(over, int) else over
    gone = {axis % len(x.shape) for axis in over if x.shape[axis] == 1}
    return tuple(ids for axis, ids in enumerate(x.axes) if axis not in gone)


def stack(at: NodeView) -> Axes:
    values, axis = at.args[0], int(at.argument(1, "dim", 0)) % len(at.shape)
    for other in values[1:]:
        for one, two in zip(values[0].axes, other.axes, strict=True):
            unite_axes(one, two, at.ids)
    axes: Axes = values[0].axes
    return (*axes[:axis], None, *axes[axis:])


def repeated(at: NodeView) -> Axes:
    x, times = at.args[0], at.args[1]
    own = [None] * (len(times) - len(x.shape)) + list(x.axes)
    return tuple(
        None if ids is None else np.tile(ids, n) for ids, n in zip(own, times, strict=True)
    )
