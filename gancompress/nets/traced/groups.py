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
from gancompress.nets.traced.extents import Extent, UnevenError, extents_of
from gancompress.nets.traced.graph import OperatorGraph
from gancompress.nets.traced.identities import Identities, Ids, Value


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
            if extents := extents_of(node, found, of_root, sizes):
                result.extents[node.name] = extents
    except UnevenError as error:
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
