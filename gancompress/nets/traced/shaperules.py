"""What operators that turn and reshape tensors do with channels."""

from __future__ import annotations

import numpy as np

from gancompress.nets.traced.identities import Axes, Ids, NodeView, Value, replaced


def flip(at: NodeView) -> Axes:
    x = at.args[0]
    axes = list(x.axes)
    for axis in at.args[1]:
        own = axes[axis]
        axes[axis] = None if own is None else own[::-1]
    return tuple(axes)


def pixel_shuffle(at: NodeView) -> Axes:
    x = at.args[0]
    return replaced(x.axes, 1, _bundled(at, x.axes[1], int(at.args[1]) ** 2))


def pixel_unshuffle(at: NodeView) -> Axes:
    x = at.args[0]
    return replaced(x.axes, 1, _spread(x.axes[1], int(at.args[1]) ** 2))


def im2col(at: NodeView) -> Axes:
    """(N, C, H, W) -> (N, C * k * k, places)"""
    x, kernel = at.args[0], at.args[1]
    return (x.axes[0], _spread(x.axes[1], kernel[0] * kernel[1]), None)


def col2im(at: NodeView) -> Axes:
    x, kernel = at.args[0], at.args[2]
    return (x.axes[0], _bundled(at, x.axes[1], kernel[0] * kernel[1]), None, None)


def _bundled(at: NodeView, own: Ids | None, size: int) -> Ids | None:
    """Channels of which each `size` neighbours become one."""
    if own is None:
        return None
    bundles = own.reshape(-1, size)
    at.one_order(bundles)
    return bundles[:, 0]


def _spread(own: Ids | None, size: int) -> Ids | None:
    """Channels each of which becomes `size` neighbours."""
    return None if own is None else np.repeat(own, size)


def windows(at: NodeView) -> Axes:
    """`Tensor.unfold`: windows along an axis, their places last."""
    x = at.args[0]
    axis = at.axis(1, "dimension", len(x.shape))
    at.keep(x.axes[axis], "are cut into windows")
    return (*replaced(x.axes, axis, None), None)


def pad(at: NodeView) -> Axes:
    """Channels too: what is put beside them keeps its number."""
    x, padding = at.args[0], at.args[1]
    axes = list(x.axes)
    for i in range(len(padding) // 2):
        axis = len(x.shape) - 1 - i
        own, sides = axes[axis], padding[2 * i : 2 * i + 2]
        is_fixed = all(isinstance(side, int) and side >= 0 for side in sides)
        if own is None or sides == [0, 0]:
            continue
        if not is_fixed or at.argument(2, "mode", "constant") not in ("constant", 0, 0.0):
            at.keep(own, "are padded")
            axes[axis] = None
            continue
        before, after = at.ids.fresh(sides[0]), at.ids.fresh(sides[1])
        for more in (before, after):
            at.ids.freeze(more, "padding")
        axes[axis] = np.concatenate([before, own, after])
    return tuple(axes)


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
        wide = [axis for axis in mine if x.axes[axis] is not None]
        if wide and made:
            kept = max(wide, key=lambda a: before[a])
            for axis in wide:
                if axis != kept:
                    at.keep(x.axes[axis], "are joined to others")
            lying = np.reshape(x.axes[kept], [before[a] if a == kept else 1 for a in mine])
            every = np.broadcast_to(lying, [before[a] for a in mine])
            axis, own = _divided(at, every.reshape([after[a] for a in made]))
            found[made[axis]] = own
    return tuple(found)


def _divided(at: NodeView, every: Ids) -> tuple[int, Ids]:
    """Which axis of an array of channels keeps them, and these: all else along others is alike.

    One along which the others have equal channels already, or the longest.
    """
    rows = [np.moveaxis(every, axis, 0).reshape(size, -1) for axis, size in enumerate(every.shape)]
    alike = [bool((own == own[:, :1]).all()) for own in rows]
    axis = max(range(len(rows)), key=lambda one: (alike[one], every.shape[one]))
    at.one_order(rows[axis])
    return axis, rows[axis][:, 0]


def expand(at: NodeView) -> Axes:
    """An axis of equal copies is free: it is what it meets. One whose size changes with the
    input's is one of places."""
    x = at.args[0]
    more = len(at.shape) - len(x.shape)
    sizes = at.args[1]
    if isinstance(sizes, Value):  # as large as another tensor is
        wanted: Axes = sizes.axes
    else:
        is_fixed = [isinstance(given, int) and given != -1 for given in sizes]
        wanted = tuple(
            at.ids.fresh(size) if fixed and size > 1 else None
            for fixed, size in zip(is_fixed, at.shape, strict=True)
        )
    own = [None] * more + list(x.axes)
    is_copied = [axis < more or x.shape[axis - more] == 1 for axis in range(len(at.shape))]
    return tuple(
        wanted[axis] if is_copied[axis] and size > 1 else own[axis]
        for axis, size in enumerate(at.shape)
    )


def filled(at: NodeView) -> Axes:
    """Tensors of one value: their axes are free where their sizes are fixed."""
    given = at.argument(1 if at.node.op.startswith("new_") else 0, "size")
    return tuple(
        at.ids.fresh(size) if isinstance(side, int) and size > 1 else None
        for side, size in zip(given, at.shape, strict=True)
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


def repeated(at: NodeView) -> Axes:
    x, times = at.args[0], at.args[1]
    own = [None] * (len(times) - len(x.shape)) + list(x.axes)
    return tuple(
        None if ids is None else np.tile(ids, n) for ids, n in zip(own, times, strict=True)
    )
