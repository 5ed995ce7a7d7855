"""What operators that join tensors, or take parts of them, do with channels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch

from gancompress.nets.traced.graph import Ref
from gancompress.nets.traced.identities import Axes, Ids, NodeView, UnknownUse, Value, replaced


def cat(at: NodeView) -> Axes:
    values = [v for v in at.args[0] if v.shape != torch.Size([0])]
    axis = at.axis(1, "dim", len(at.shape))
    axes = list(_met(at, [replaced(v.axes, axis, None) for v in values]))
    own = [v.axes[axis] for v in values]
    if any(ids is not None for ids in own):
        axes[axis] = np.concatenate([
            _frozen(at, v.shape[axis]) if ids is None else ids
            for v, ids in zip(values, own, strict=True)
        ])  # fmt: skip
    return tuple(axes)


def _met(at: NodeView, rows: Sequence[Axes]) -> Axes:
    """The axes of several tensors of one shape, each united."""
    found = rows[0]
    for other in rows[1:]:
        found = tuple(at.meet(one, two) for one, two in zip(found, other, strict=True))
    return found


def _frozen(at: NodeView, count: int) -> Ids:
    ids = at.ids.fresh(count)
    at.ids.freeze(ids, f"{at.label} joins what has no channels")
    return ids


def stack(at: NodeView) -> Axes:
    axis = at.axis(1, "dim", len(at.shape))
    axes = _met(at, [v.axes for v in at.args[0]])
    return (*axes[:axis], None, *axes[axis:])


def sliced(at: NodeView) -> Axes:
    x, axis = at.args[0], at.axis(1, "dim", len(at.shape))
    start, end = at.argument(2, "start"), at.argument(3, "end")
    own = x.axes[axis]
    if own is None:
        return tuple(x.axes)
    if at.argument(4, "step", 1) not in (1, None) or isinstance(start, Ref):
        at.keep(own, "are taken at steps")
        return replaced(x.axes, axis, None)
    if isinstance(end, Ref):
        if len(own) != at.shape[axis]:
            at.keep(own, "are cut by a size that is computed")
            return replaced(x.axes, axis, None)
        end = None
    return replaced(x.axes, axis, own[slice(start, end)])


def slice_scatter(at: NodeView) -> Axes:
    x, part, axis = at.args[0], at.args[1], at.axis(2, "dim", len(at.shape))
    start, end = at.argument(3, "start"), at.argument(4, "end")
    is_plain = not (isinstance(start, Ref) or isinstance(end, Ref))
    is_whole = is_plain and (at.argument(5, "step", 1) or 1) == 1
    own, put = x.axes[axis], part.axes[axis]
    axes = list(_met(at, [replaced(v.axes, axis, None) for v in (x, part)]))
    axes[axis] = own
    if own is not None and not is_whole:
        raise UnknownUse
    at.meet(None if own is None else own[slice(start, end)], put)
    return tuple(axes)


def select_scatter(at: NodeView) -> Axes:
    x, part, axis = at.args[0], at.args[1], at.axis(2, "dim", len(at.shape))
    at.keep(x.axes[axis], "are put in one by one")
    return _met(at, [replaced(x.axes, axis, None), (*part.axes[:axis], None, *part.axes[axis:])])


def narrow(at: NodeView) -> Axes:
    x, axis, start, length = at.args[0], at.axis(1, "dim", len(at.shape)), at.args[2], at.args[3]
    own = x.axes[axis]
    return replaced(x.axes, axis, None if own is None else own[start : start + length])


def select(at: NodeView) -> Axes:
    x = at.args[0]
    axis = at.axis(1, "dim", len(x.shape))
    at.keep(x.axes[axis], "are taken one by one")
    return (*x.axes[:axis], *x.axes[axis + 1 :])


def indexed(at: NodeView) -> Axes:
    """`x[:, index]`: by tensors of places, on axes that lie side by side."""
    x, given = at.args[0], at.args[1]
    places = [i for i, one in enumerate(given) if isinstance(one, Value)]
    for value in (given[i] for i in places):
        for own in value.axes:
            at.keep(own, "say which places are taken")
    for i in places:
        at.keep(x.axes[i], "are taken by an index")
    if places != list(range(places[0], places[-1] + 1)):
        raise UnknownUse
    after = x.axes[places[-1] + 1 :]
    return (*x.axes[: places[0]], *[None] * (len(at.shape) - places[0] - len(after)), *after)


def index_selected(at: NodeView) -> Axes:
    x, axis = at.args[0], at.axis(1, "dim", len(at.shape))
    for value in at.values():
        at.keep(value.axes[axis if value is x else 0], "are taken by an index")
    return replaced(x.axes, axis, None)


def embedded(at: NodeView) -> Axes:
    """Rows of a table: their channels are the table's."""
    table, index = at.args[:2]
    for own in (table.axes[0], *index.axes):
        at.keep(own, "are rows of a table")
    return (*[None] * len(index.shape), table.axes[1])


def gathered(at: NodeView) -> Axes:
    """Along one axis by an index that is of the same channels on all others."""
    x, axis, index = at.args[0], at.axis(1, "dim", len(at.shape)), at.args[2]
    for value in (x, index):
        at.keep(value.axes[axis], "are taken by an index")
    return _met(at, [replaced(v.axes, axis, None) for v in (x, index)])


def divided(at: NodeView, shapes: Sequence[torch.Size]) -> list[Axes]:
    """The results of split and chunk."""
    x = at.args[0]
    axis = at.axis(2, "dim", len(x.shape))
    own = x.axes[axis]
    ends = list(itertools.accumulate(shape[axis] for shape in shapes))
    return [
        replaced(x.axes, axis, None if own is None else own[end - shape[axis] : end])
        for shape, end in zip(shapes, ends, strict=True)
    ]


def unbound(at: NodeView, shapes: Sequence[torch.Size]) -> list[Axes]:
    x = at.args[0]
    axis = at.axis(1, "dim", len(x.shape))
    at.keep(x.axes[axis], "are taken one by one")
    return [(*x.axes[:axis], *x.axes[axis + 1 :])] * len(shapes)


def chosen(at: NodeView, shapes: Sequence[torch.Size]) -> list[Axes]:
    """The largest along an axis, and where they are: their order along it does not matter."""
    x = at.args[0]
    axis = at.axis(1, "dim", len(x.shape))
    rest = () if len(shapes[0]) < len(x.shape) else (None,)
    return [(*x.axes[:axis], *rest, *x.axes[axis + 1 :])] * len(shapes)


def ordered(at: NodeView, shapes: Sequence[torch.Size]) -> list[Axes]:
    """Sorted along an axis, or the first of what is: its channels have an order then."""
    x = at.args[0]
    place = 2 if at.node.op == "topk" else 1
    axis = at.axis(place, "dim", len(x.shape), -1)
    at.keep(x.axes[axis], "are put in order")
    return [replaced(x.axes, axis, None)] * len(shapes)


# What several results of an operator do with channels, by the shapes of these.
SEVERAL: dict[str, Callable[[NodeView, Sequence[torch.Size]], list[Axes]]] = {
    **dict.fromkeys(["split", "split_with_sizes", "chunk", "tensor_split"], divided),
    **dict.fromkeys(["max", "min", "mode", "median"], chosen),
    **dict.fromkeys(["topk", "sort"], ordered),
    "unbind": unbound,
}
