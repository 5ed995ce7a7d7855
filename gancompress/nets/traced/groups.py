"""Groups of channels of a graph that are kept or dropped one by one, and sizes in terms of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gancompress.nets.families.family import Axis, ChannelRun
from gancompress.nets.traced.analysis import Analysis
from gancompress.nets.traced.graph import Node, OperatorGraph, Ref
from gancompress.nets.traced.identities import Identities, Ids, Value


@dataclass(frozen=True)
class Extent:
    """A number of channels: a fixed one, and so many for each channel of a group."""

    fixed: int
    units: tuple[tuple[str, int], ...] = ()

    def at(self, widths: Mapping[str, int]) -> int:
        """The number where each group has so many channels."""
        return self.fixed + sum(n * widths[group] for group, n in self.units)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that may be dropped one by one, each wherever it occurs.

    channels: how many. axes: where they lie, in the order of the graph's tensors.
    """

    name: str
    channels: int
    axes: tuple[Axis, ...]


@dataclass
class Groups:
    """The groups of a graph, how they lie on the axes of its tensors, and what is frozen.

    extents: the sizes in the arguments of nodes that change with groups: by node and place.
    frozen: why the channels of an axis cannot be dropped, by axis; those of the input and of the
    output are among them. roots: the identities of the groups' channels.
    """

    groups: dict[str, ChannelGroup] = field(default_factory=dict)
    axes: dict[Axis, tuple[ChannelRun, ...]] = field(default_factory=dict)
    extents: dict[str, dict[str, Any]] = field(default_factory=dict)
    frozen: dict[Axis, str] = field(default_factory=dict)
    roots: frozenset[int] = frozenset()

    def size(self, axis: Axis, otherwise: int) -> Extent:
        """The size of an axis of a tensor; `otherwise` where no group lies on it."""
        runs = self.axes.get(axis)
        return Extent(otherwise) if runs is None else _sum(runs)


class _UnevenError(Exception):
    """Positions that hold some of a group's channels more often than others."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids


def groups_of(graph: OperatorGraph, found: Analysis, refused: Mapping[str, str]) -> Groups:
    """The groups of an analysed graph. refused: by a group's name, why it is to be frozen."""
    for _ in range(1000):  # Each turn freezes a group.
        groups = _once(graph, found, refused)
        if groups is not None:
            return groups
    raise AssertionError("each turn freezes a group, and there are fewer")


def _once(graph: OperatorGraph, found: Analysis, refused: Mapping[str, str]) -> Groups | None:
    """The groups, or None where one had to be frozen."""
    ids = found.identities
    used = dict.fromkeys(name for node in graph.nodes for name in node.refs())
    roots = {
        (name, axis): ids.roots(own)
        for name in used  # In their order: a group is named after the first layer that has it.
        if name in graph.tensors
        for axis, own in enumerate(found.axes(name))
        if own is not None
    }
    result, of_root = Groups(), dict[int, tuple[str, int]]()
    for axes, own in _alike(roots, ids):
        name = axes[0][0].removesuffix(".weight")
        while name in result.groups:
            name += "'"
        why = refused.get(name) or _unfit(own, axes, found)
        if why:
            ids.freeze(np.array(own), why)
            return None
        result.groups[name] = ChannelGroup(name, len(own), tuple(axes))
        of_root |= {root: (name, number) for number, root in enumerate(own)}
    result.roots = frozenset(of_root)
    sizes = {name: group.channels for name, group in result.groups.items()}
    for at, row in roots.items():
        runs = _runs([of_root.get(root) for root in row.tolist()], sizes)
        if isinstance(runs, str):
            group = result.groups[runs]
            own = [root for root, (name, _) in of_root.items() if name == runs]
            ids.freeze(np.array(own), f"the channels of {group.name} lie interleaved in {at[0]}")
            return None
        if any(run.group for run in runs):
            result.axes[at] = runs
        else:
            reasons = {ids.reason(root) for root in row.tolist()}
            result.frozen[at] = next(iter(sorted(r or "" for r in reasons)))
    try:
        for node in graph.nodes:
            if extents := _extents(node, found, of_root, sizes):
                result.extents[node.name] = extents
    except _UnevenError as error:
        ids.freeze(error.ids, "a part of the channels is taken that is no whole group")
        return None
    return result


def _alike(roots: Mapping[Axis, Ids], ids: Identities) -> Iterator[tuple[list[Axis], list[int]]]:
    """Channels that occur equally often on the same axes: these, and those."""
    where: dict[int, Counter[Axis]] = {}
    for at, row in roots.items():
        for root in row.tolist():
            if ids.reason(root) is None:
                where.setdefault(root, Counter())[at] += 1
    members: dict[tuple[tuple[Axis, int], ...], list[int]] = {}
    for root, counter in where.items():
        members.setdefault(tuple(counter.items()), []).append(root)
    for signature, own in members.items():
        yield [at for at, _ in signature], own


def _unfit(own: Sequence[int], axes: Sequence[Axis], found: Analysis) -> str:
    """Why channels are no group that a width could be chosen for; "" if they are."""
    if len(own) == 1:
        return "one channel alone"
    ranks = {len(value.shape) for at in axes if isinstance(value := found.values[at[0]], Value)}
    return "" if max(ranks) > 1 else "no weight of a layer has these channels"


def _runs(
    row: Sequence[tuple[str, int] | None], sizes: Mapping[str, int]
) -> tuple[ChannelRun, ...] | str:
    """The runs of an axis; or the group whose channels lie in no order that can be cut."""
    found: list[ChannelRun] = []
    for group, part in itertools.groupby(row, lambda one: "" if one is None else one[0]):
        items = list(part)
        if not group:
            found.append(ChannelRun("", len(items)))
            continue
        numbers = [one[1] for one in items if one is not None]
        count = sizes[group]
        bundle = next((i for i, n in enumerate(numbers) if n != numbers[0]), len(numbers))
        block = [n for n in range(count) for _ in range(bundle)]
        times, rest = divmod(len(numbers), len(block))
        if rest or numbers != block * times:
            return group
        found += [ChannelRun(group, count, bundle)] * times
    return tuple(found)


def _sum(runs: Sequence[ChannelRun]) -> Extent:
    units: Counter[str] = Counter()
    fixed = 0
    for run in runs:
        if run.group:
            units[run.group] += run.bundle
        else:
            fixed += run.count
    return Extent(fixed, tuple(units.items()))


def _extents(
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
                raise _UnevenError(own)
            units.append((group, each.pop()))
        return Extent(fixed, tuple(units))

    x = found.values.get(node.first)
    if not isinstance(x, Value):
        return {}
    return {key: value for key, value in _sizes(node, x, found, extent).items() if _moves(value)}


def _moves(value: Any) -> bool:
    if isinstance(value, Extent):
        return bool(value.units)
    return any(_moves(one) for one in value)


def _sizes(node: Node, x: Value, found: Analysis, extent: Any) -> dict[str, Any]:
    args = node.args
    if node.op in ("slice", "narrow", "slice_scatter"):
        if node.op == "slice_scatter":  # beside the tensor that goes in
            args = (args[0], *args[2:])
        axis = int(args[1] if len(args) > 1 else 0) % len(x.shape)
        own = x.axes[axis]
        if own is None:
            return {}
        start = args[2] if len(args) > 2 and args[2] is not None else 0
        stop = args[3] if len(args) > 3 and args[3] is not None else len(own)
        stop = start + stop if node.op == "narrow" else stop
        start, stop, _ = slice(start, stop).indices(len(own))
        return {"start": extent(own[:start]), "stop": extent(own[:stop])}
    if node.op in ("split", "split_with_sizes", "chunk"):
        axis = int(args[2] if len(args) > 2 else 0) % len(x.shape)
        results = found.values[node.name]
        own_parts = [r.axes[axis] for r in results] if isinstance(results, list) else []
        if not own_parts or own_parts[0] is None:
            return {}
        return {"parts": [extent(own) for own in own_parts]}
    value = found.values.get(node.name)
    if node.op in ("reshape", "expand", "unflatten"):
        if not isinstance(value, Value):
            return {}
        given = args[2] if node.op == "unflatten" else args[1]
        offset = int(args[1]) % len(x.shape) if node.op == "unflatten" else 0
        sizes = {
            i: extent(own)
            for i, size in enumerate(given)
            if (own := value.axes[offset + i]) is not None and size != -1
        }
        # Computed of other channels, perhaps; one such size can be what is left.
        computed = [i for i, size in sizes.items() if size.units and isinstance(given[i], Ref)]
        if len(computed) + (-1 in given) > 1 or (computed and node.op == "expand"):
            own = value.axes[offset + computed[0]]
            assert own is not None, "its size has been worked out"
            raise _UnevenError(own)
        return {f"size {i}": size for i, size in sizes.items()}
    if node.op in ("conv2d", "conv_transpose2d", "group_norm"):
        at = 1 if node.op == "group_norm" else 6
        groups, own = args[at] if len(args) > at else 1, x.axes[1]
        if own is None or isinstance(groups, Ref) or groups == 1:
            return {}
        return {"groups": extent(own[:: len(own) // groups])}
    if node.op == "layer_norm":
        own = x.axes[-1]
        return {"normalized": extent(own)} if own is not None else {}
    return {}


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
        at = 1 if node.op == "group_norm" else 6
        args[at] = extents["groups"].at(widths)
    elif "normalized" in extents:
        args[1] = [extents["normalized"].at(widths)]
    else:
        at = 2 if node.op == "unflatten" else 1
        sizes = list(args[at])
        for key, value in extents.items():
            place = int(key.removeprefix("size "))
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
