"""What the cost of each module of a traced generator depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from gancompress.archs.slots import Value as SlotValue
from gancompress.nets.families.family import Part
from gancompress.nets.traced.branches import without
from gancompress.nets.traced.graph import Node, OperatorGraph, map_refs
from gancompress.nets.traced.identities import Ids, Value
from gancompress.nets.traced.network import path_of
from gancompress.nets.traced.takenapart import TakenApart

Sizes = tuple[int, tuple[tuple[str, int], ...]]  # a fixed part, and so many for a slot's unit


def parts_of(taken: TakenApart, depths: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    """Every module with what its cost depends on; none where a layer runs twice.

    depths: the values of each depth slot, that which leaves nothing out first.
    """
    graph = taken.program.graph
    reading, kinds = _CostReading(taken, graph), _ReducedKinds(taken)
    paths = {n.name: path for n in graph.nodes if (path := path_of(n, taken.layers.get(n.name)))}
    if max(Counter(paths.values()).values(), default=1) > 1:
        return ()
    found = []
    for node in graph.nodes:
        is_of_tensors = isinstance(taken.found.values.get(node.first), Value)
        if node.name not in paths or not is_of_tensors:
            continue
        values = [node.name, *node.refs()]
        sizes = [reading.size(ids) for name in values for ids in taken.found.all_axes(name)]
        widths = dict.fromkeys(slot for _, units in sizes for slot, _ in units)
        inside = dict.fromkeys(s for name in values for s in reading.depths.get(name, ()))
        ops = [
            f"{stage}.op"
            for stage, nodes in taken.operators.items()
            if any(value in nodes for value in values)
        ]
        full = {slot: depths[slot.removesuffix(".depth")][0] for slot in inside}
        key = partial(_key, node.name, paths[node.name], sizes, ops, full, kinds)
        kind = f"{reading.kind(node)} {ops}"
        found.append(Part(paths[node.name], (*widths, *ops, *inside), kind, key))
    return tuple(found)


def _key(
    name: str,
    path: str,
    sizes: Sequence[Sizes],
    ops: Sequence[str],
    full: Mapping[str, str],
    kinds: _ReducedKinds,
    values: Mapping[str, SlotValue],
) -> tuple[SlotValue, ...]:
    """What of an arch's values decides on the cost of the module of a node: the sizes of its axes,
    operators, and where branches of a chain are left out what kind it has then. A module that is
    left out itself is like no other.

    full: the depth slots that it depends on, with the values that leave nothing out.
    """
    found = [fixed + sum(n * int(values[s]) for s, n in units) for fixed, units in sizes]
    depths = tuple(str(values[slot]) for slot in full)
    own: tuple[SlotValue, ...] = ()
    if depths != tuple(full.values()):
        kind = kinds.of(name, tuple(zip(full, depths, strict=True)))
        own = (path, *depths) if kind is None else (kind,)
    return (*found, *(values[slot] for slot in ops), *own)


class _ReducedKinds:
    """The kinds of nodes in graphs that lack some residual branches, each graph read once."""

    def __init__(self, taken: TakenApart) -> None:
        self._taken = taken
        self._found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}

    def of(self, name: str, depths: tuple[tuple[str, str], ...]) -> str | None:
        """That of a node where these depth slots have these values; None where it is left out."""
        if depths not in self._found:
            taken = self._taken
            skipped = [
                branch
                for slot, value in depths
                for branch in taken.left_out(slot.removesuffix(".depth"), int(value))
            ]
            graph = without(taken.program.graph, skipped)
            reading = _CostReading(taken, graph)
            self._found[depths] = {node.name: reading.kind(node) for node in graph.nodes}
        return self._found[depths].get(name)


class _CostReading:
    """What is looked up again and again: who takes a value, who makes it, its channels' slots.

    depths: the slots that decide whether a value is there, or what stands in its place.
    """

    def __init__(self, taken: TakenApart, graph: OperatorGraph) -> None:
        self._taken, nodes = taken, graph.nodes
        self._makers = {node.name: node.target for node in nodes}
        self._users: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.refs()):
                self._users.setdefault(name, []).append(node)
        self.depths: dict[str, list[str]] = {}
        for name, chain in taken.chains.items():
            for branch in chain:
                for value in (*branch.nodes, branch.node, branch.skip):
                    self.depths.setdefault(value, []).append(f"{name}.depth")
        self._slots = _slots_by_root(taken)

    def size(self, ids: Ids) -> Sizes:
        """The size of an axis as a function of widths."""
        roots = self._taken.found.identities.roots(ids).tolist()
        counts = Counter(self._slots.get(root, ("", 0)) for root in roots)
        fixed = counts.pop(("", 0), 0)
        return fixed, tuple((slot, count // full) for (slot, full), count in counts.items())

    def kind(self, node: Node) -> str:
        """What makes nodes alike, so that equal sizes cost the same: the operator with its numbers,
        the sizes of places, and who else has what it takes, as an activation is kept once."""
        tensors = self._taken.program.graph.tensors
        numbers = map_refs(node.args, lambda ref: "tensor" if ref.name in tensors else "value")
        about = []
        for name in node.refs():
            if name not in tensors:
                users = self._users[name]
                before = [one.target for one in users[: [u.name for u in users].index(node.name)]]
                about.append((self._makers.get(name, ""), before, self._places(name)))
        made = self._places(node.name)
        return f"{node.target} {numbers} {sorted(node.kwargs.items(), key=str)} {about} {made}"

    def _places(self, name: str) -> list[list[int | None]]:
        """The sizes of a value's axes, or of several, that have no channels."""
        value = self._taken.found.values.get(name)
        several = value if isinstance(value, list) else [value] if value else []
        return [
            [size if own is None else None for size, own in zip(one.shape, one.axes, strict=True)]
            for one in several
        ]


def _slots_by_root(taken: TakenApart) -> dict[int, tuple[str, int]]:
    """Of the identity of each channel that is in a group, the width slot and its full width."""
    found: dict[int, tuple[str, int]] = {}
    for slot, own in taken.widths.items():
        for name in own:
            group, at = taken.groups.groups[name], 0
            tensor, axis = group.axes[0]
            ids = taken.found.axes(tensor)[axis]
            assert ids is not None, "a group lies on axes of channels"
            for run in taken.groups.axes[tensor, axis]:
                size = run.count * run.bundle
                if run.group == name:
                    roots = taken.found.identities.roots(ids[at : at + size])
                    found |= dict.fromkeys(roots.tolist(), (f"{slot}.width", group.channels))
                at += size
    return found
