"""Sizes among the arguments of a graph's nodes, in terms of its groups of channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gancompress.nets.traced.analysis import Analysis
from gancompress.nets.traced.graph import Node, Ref
from gancompress.nets.traced.identities import Ids, Value


@dataclass(frozen=True)
class Extent:
    """A number of channels: a fixed one, and so many for each channel of a group."""

    fixed: int
    units: tuple[tuple[str, int], ...] = ()

    def at(self, widths: Mapping[str, int]) -> int:
        """The number where each group has so many channels."""
        return self.fixed + sum(n * widths[group] for group, n in self.units)


Measure = Callable[[Ids], Extent]


class UnevenError(Exception):
    """Positions that hold some of a group's channels more often than others."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids


def extents_of(
    node: Node, found: Analysis, of_root: Mapping[int, tuple[str, int]], sizes: Mapping[str, int]
) -> dict[str, Any]:
    """The sizes among a node's arguments that groups change, by what they are."""
    ids = found.identities

    def extent(own: Ids) -> Extent:
        counts: dict[str, Counter[int]] = {}
        fixed = 0
        for root in ids.roots(own).tolist():
            if root in of_root:
                group, number = of_root[root]
                counts.setdefault(group, Counter())[number] += 1
            else:
                fixed += 1
        units = []
        for group, counter in counts.items():
            each = set(counter.values())
            if len(counter) != sizes[group] or len(each) != 1:
                raise UnevenError(own)
            units.append((group, each.pop()))
        return Extent(fixed, tuple(units))

    return {key: value for key, value in _sizes(node, found, extent).items() if _moves(value)}


def _moves(value: Any) -> bool:
    if isinstance(value, Extent):
        return bool(value.units)
    return any(_moves(one) for one in value)


# Operators whose argument at this place lists the sizes of the axes that they make.
_LISTED = {
    "reshape": 1, "expand": 1, "unflatten": 2, "new_zeros": 1, "new_ones": 1, "new_full": 1,
    "zeros": 0, "ones": 0, "full": 0,
}  # fmt: skip
# The places of the numbers of groups.
_GROUPED = {"group_norm": 1, **dict.fromkeys(
    [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)], 6
)}  # fmt: skip


def _sizes(node: Node, found: Analysis, extent: Measure) -> dict[str, Any]:
    if node.op in _LISTED:
        return _listed(node, found, extent)
    x, args = found.values.get(node.first), node.args
    if not isinstance(x, Value):
        return {}
    if node.op in ("slice", "narrow", "slice_scatter"):
        # beside the tensor that goes in
        return _bounds(node.op, x, (args[0], *args[2:]) if "scatter" in node.op else args, extent)
    if node.op in ("split", "split_with_sizes", "chunk", "tensor_split"):
        axis = int(args[2] if len(args) > 2 else 0) % len(x.shape)
        results = found.values[node.name]
        several = results if isinstance(results, list) else []
        parts = [extent(own) for r in several if (own := r.axes[axis]) is not None]
        return {"parts": parts} if parts else {}
    if node.op in _GROUPED:
        at = _GROUPED[node.op]
        groups, own = args[at] if len(args) > at else 1, x.axes[1]
        if own is None or isinstance(groups, Ref) or groups == 1:
            return {}
        return {"groups": extent(own[:: len(own) // groups])}
    if node.op in ("layer_norm", "rms_norm"):
        first = len(x.shape) - len(args[1])
        last = enumerate(x.axes[first:])
        return {f"normalized {i}": extent(own) for i, own in last if own is not None}
    return {}


def _bounds(op: str, x: Value, args: Sequence[Any], extent: Measure) -> dict[str, Any]:
    """The start and the stop of a slice of channels."""
    axis = int(args[1] if len(args) > 1 else 0) % len(x.shape)
    own = x.axes[axis]
    if own is None:
        return {}
    start = args[2] if len(args) > 2 and args[2] is not None else 0
    stop = args[3] if len(args) > 3 and args[3] is not None else len(own)
    if isinstance(start, Ref) or isinstance(stop, Ref):  # Computed: of the whole axis, or frozen.
        return {}
    stop = start + stop if op == "narrow" else stop
    start, stop, _ = slice(start, stop).indices(len(own))
    return {"start": extent(own[:start]), "stop": extent(own[:stop])}


def _listed(node: Node, found: Analysis, extent: Measure) -> dict[str, Any]:
    value, given = found.values.get(node.name), node.args[_LISTED[node.op]]
    if not isinstance(value, Value) or not isinstance(given, list | tuple):
        return {}
    offset = 0
    if node.op == "unflatten":
        offset = int(node.args[1]) % (len(value.shape) - len(given) + 1)
    sizes = {
        i: extent(own)
        for i, size in enumerate(given)
        if (own := value.axes[offset + i]) is not None and size != -1
    }
    # Computed of other channels, perhaps; one such size can be what is left.
    computed = [i for i, size in sizes.items() if size.units and isinstance(given[i], Ref)]
    is_reshape = node.op in ("reshape", "unflatten")
    if len(computed) + (-1 in given) > 1 or (computed and not is_reshape):
        own = value.axes[offset + computed[0]]
        assert own is not None, "its size has been worked out"
        raise UnevenError(own)
    return {f"size {i}": size for i, size in sizes.items()}


def resized(node: Node, extents: Mapping[str, Any], widths: Mapping[str, int]) -> Node:
    """The node with its sizes as they are where each group has so many channels."""
    args = list(node.args)
    target = node.target
    if node.op == "slice_scatter":
        args = [args[0], args[1], *_cut([args[0], *args[2:]], False, extents, widths)[1:]]
    elif "start" in extents or "stop" in extents:
        args = _cut(args, node.op == "narrow", extents, widths)
    elif "parts" in extents:
        axis = args[2] if len(args) > 2 else 0
        target = "aten.split_with_sizes.default"
        args = [args[0], [one.at(widths) for one in extents["parts"]], axis]
    elif "groups" in extents:
        args[_GROUPED[node.op]] = extents["groups"].at(widths)
    else:
        at = _LISTED.get(node.op, 1)
        sizes = list(args[at])
        for key, value in extents.items():
            place = int(key.split()[1])
            sizes[place] = -1 if isinstance(sizes[place], Ref) else value.at(widths)
        args[at] = sizes
    return Node(node.name, target, tuple(args), node.kwargs)


def _cut(
    args: Sequence[Any], is_narrow: bool, extents: Mapping[str, Any], widths: Mapping[str, int]
) -> list[Any]:
    """The arguments of a slice (tensor, axis, start, end), or of narrow (…, start, length)."""
    found = [*args, *[None] * (4 - len(args))]
    begin, end = found[2] or 0, found[3]
    if is_narrow:
        end += begin
    begin = extents["start"].at(widths) if "start" in extents else begin
    end = extents["stop"].at(widths) if "stop" in extents else end
    found[2], found[3] = begin, end - begin if is_narrow else end
    return found
