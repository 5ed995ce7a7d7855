"""The slots of a traced generator: which groups share a width, which layers an operator."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch

from gancompress.nets.traced.analysis import Analysis
from gancompress.nets.traced.graph import Node, OperatorGraph, Ref
from gancompress.nets.traced.groups import Groups
from gancompress.nets.traced.identities import Value
from gancompress.nets.traced.layers import Layer

OPERATOR_MACS = 0.01  # The least fraction of all MACs that a slot for an operator decides on.


def width_slots(
    graph: OperatorGraph, found: Analysis, groups: Groups, most: int
) -> dict[str, tuple[str, ...]]:
    """Groups of equal role share a slot, in the order in which they come, until there are `most`.

    Roles are equal where as many channels take part in the same kinds of layers at the same
    resolution. Roles of many groups are cut in as many parts as their share of MACs says.
    """
    roles: dict[tuple[object, ...], list[str]] = {}
    users = _users(graph)
    for name, group in groups.groups.items():
        kinds = Counter(
            (axis, *_kind(graph, found, users.get(tensor, ()))) for tensor, axis in group.axes
        )
        role: tuple[object, ...] = (group.channels, tuple(sorted(kinds.items(), key=str)))
        roles.setdefault(role, []).append(name)
    macs = {role: _macs(own, graph, found, groups) for role, own in roles.items()}
    parts: dict[tuple[object, ...], int] = dict.fromkeys(roles, 1)
    while sum(parts.values()) < most:
        # The role whose parts decide on most, of those that can be cut again.
        open_roles = [role for role, own in roles.items() if parts[role] < len(own)]
        if not open_roles:
            break
        parts[max(open_roles, key=lambda role: macs[role] / parts[role])] += 1
    found_slots: dict[str, tuple[str, ...]] = {}
    for role, own in roles.items():
        for part in _cut(own, parts[role]):
            found_slots[_fresh(common_name(part), found_slots)] = tuple(part)
    order = {name: number for number, name in enumerate(groups.groups)}
    return dict(sorted(found_slots.items(), key=lambda item: order[item[1][0]]))


def operator_slots(
    graph: OperatorGraph, found: Analysis, layers: Mapping[str, Layer], groups: Groups
) -> dict[str, tuple[str, ...]]:
    """Dense k x k convolutions that could be separable: those of one resolution together.

    Left out are resolutions of little work, and layers that several nodes run or whose channels are
    all frozen.
    """
    total = sum(found.macs.values())
    runs = Counter(layer.path for layer in layers.values())
    stages: dict[tuple[object, ...], list[Node]] = {}
    for node in graph.nodes:
        layer = layers.get(node.name)
        if layer is None or runs[layer.path] > 1 or not can_be_separable(node, layer, found):
            continue
        weight = layer.tensors["weight"]
        value = found.values[node.name]
        if all((weight, axis) in groups.axes for axis in (0, 1)) and isinstance(value, Value):
            stages.setdefault(tuple(value.shape[2:]), []).append(node)
    chosen: dict[str, tuple[str, ...]] = {}
    for own in stages.values():
        if sum(found.macs[node.name] for node in own) >= OPERATOR_MACS * total:
            name = _fresh(common_name([layers[node.name].path for node in own]), chosen)
            chosen[name] = tuple(node.name for node in own)
    return chosen


def can_be_separable(node: Node, layer: Layer, found: Analysis) -> bool:
    """Whether a node is a dense square convolution of a kind that separable ones are made of."""
    if node.op != "conv2d":
        return False
    _, _, height, width = _shape(found, layer.tensors["weight"])
    given = dict(zip(("stride", "padding", "dilation", "groups"), node.args[3:], strict=False))
    pairs = [given.get("stride", 1), given.get("padding", 0)]
    is_square = height == width > 1 and all(
        isinstance(p, int) or (isinstance(p, list) and len(set(p)) == 1) for p in pairs
    )
    dilation = given.get("dilation", 1)
    is_plain = dilation in (1, [1, 1]) and given.get("groups", 1) == 1
    return is_square and is_plain


def _shape(found: Analysis, name: str) -> torch.Size:
    value = found.values[name]
    assert isinstance(value, Value)
    return value.shape


def _users(graph: OperatorGraph) -> dict[str, tuple[Node, ...]]:
    users: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        for name in dict.fromkeys(node.refs()):
            users[name] = (*users.get(name, ()), node)
    return users


def _kind(graph: OperatorGraph, found: Analysis, users: Sequence[Node]) -> tuple[object, ...]:
    """What takes a tensor: the operator, the kernel, the resolution of what it makes."""
    if not users:
        return ()
    node = users[0]
    value = found.values[node.name]
    kernel: tuple[int, ...] = ()
    if len(node.args) > 1 and isinstance(node.args[1], Ref) and node.op.startswith("conv"):
        kernel = tuple(_shape(found, node.args[1].name)[2:])
    side = tuple(value.shape[2:]) if isinstance(value, Value) else ()
    return (node.op, kernel, side)


def _macs(own: Sequence[str], graph: OperatorGraph, found: Analysis, groups: Groups) -> int:
    """The MACs of the layers that make the groups' channels."""
    tensors = {tensor for name in own for tensor, axis in groups.groups[name].axes if axis == 0}
    return sum(
        macs
        for node in graph.nodes
        if (macs := found.macs.get(node.name)) and tensors & set(node.refs())
    )


def _cut(items: Sequence[str], parts: int) -> Iterable[Sequence[str]]:
    bounds = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[a:b] for a, b in itertools.pairwise(bounds)]


def common_name(paths: Sequence[str]) -> str:
    """One name for several: numbers that differ as a range, other parts that differ left out.

    `body.0.rdb1.conv1` and `body.2.rdb3.conv1` are `body.0-2.conv1`.
    """
    rows = [path.split(".") for path in paths]
    if len({len(row) for row in rows}) > 1:
        return rows[0][0]
    parts = []
    for column in zip(*rows, strict=True):
        if len(set(column)) == 1:
            parts.append(column[0])
        elif all(part.isdecimal() for part in column):
            parts.append(f"{min(map(int, column))}-{max(map(int, column))}")
    return ".".join(parts) or rows[0][0]


def _fresh(name: str, taken: Iterable[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
