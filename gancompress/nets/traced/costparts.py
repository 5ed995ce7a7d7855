"""What the cost of each module of a traced generator depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from gancompress.archs.slots import Value as SlotValue
from gancompress.nets.families.family import Part
from gancompress.nets.traced.graph import Node, map_refs
from gancompress.nets.traced.identities import Ids, Value
from gancompress.nets.traced.network import path_of
from gancompress.nets.traced.takenapart import TakenApart

Sizes = tuple[int, tuple[tuple[str, int], ...]]  # a fixed part, and so many for a slot's unit


def parts_of(taken: TakenApart, depths: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    """Every module with what its cost depends on; none where a layer runs twice.

    depths: the values of each depth slot, that which leaves nothing out first.
    """
    graph, reading = taken.program.graph, _CostReading(taken)
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
        key = partial(_key, paths[node.name], sizes, ops, full)
        kind = f"{reading.kind(node)} {ops}"
        found.append(Part(paths[node.name], (*widths, *ops, *inside), kind, key))
    return tuple(found)


def _key(
    path: str,
    sizes: Sequence[Sizes],
    ops: Sequence[str],
    full: Mapping[str, str],
    values: Mapping[str, SlotValue],
) -> tuple[SlotValue, ...]:
    """What of an arch's values decides on the cost of the module at `path`: the sizes of its axes,
    operators, and where branches of a chain are left out which ones, so that none is like another.

    full: the depth slots that it depends on, with the values that leave nothing out.
    """
    found = [fixed + sum(n * int(values[s]) for s, n in units) for fixed, units in sizes]
    depths = [values[slot] for slot in full]
    own = () if depths == list(full.values()) else (path, *depths)
    return (*found, *(values[slot] for slot in ops), *own)


class _CostReading:
    """What is looked up again and again: who takes a value, who makes it, its channels' slots.

    depths: the slots that decide whether a value is there, or what stands in its place.
    """

    def __init__(self, taken: TakenApart) -> None:
        self._taken, nodes = taken, taken.program.graph.nodes
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
