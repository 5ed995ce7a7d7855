"""Residual branches that a generator can do without, in chains of equal ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gancompress.nets.traced.analysis import Analysis
from gancompress.nets.traced.graph import Node, OperatorGraph, Ref
from gancompress.nets.traced.identities import Value

LEAST_CHAIN = 4  # Fewer equal branches are no chain that could be shortened.


@dataclass(frozen=True)
class Branch:
    """A sum x + f(x): the node of the sum, the value x, and the nodes of f."""

    node: str
    skip: str
    nodes: frozenset[str]


def chains_of(graph: OperatorGraph, found: Analysis) -> list[tuple[Branch, ...]]:
    """Chains of equal residual branches, outermost ones, in the order in which they run."""
    nodes = {node.name: node for node in graph.nodes}
    total = sum(found.macs.values())
    branches = [
        branch
        for node in graph.nodes
        if (branch := _branch(node, graph, nodes, found)) is not None
        and 2 * sum(found.macs.get(name, 0) for name in branch.nodes) < total
    ]
    outer = [b for b in branches if not any(b.node in other.nodes for other in branches)]
    chains: list[list[Branch]] = []
    for branch in outer:
        kind = _kind(branch, nodes, found)
        if chains and chains[-1][-1].node == branch.skip:
            last = chains[-1][-1]
            if _kind(last, nodes, found) == kind:
                chains[-1].append(branch)
                continue
        chains.append([branch])
    return [tuple(chain) for chain in chains if len(chain) >= LEAST_CHAIN]


def residual_nodes(graph: OperatorGraph, found: Analysis) -> frozenset[str]:
    """The nodes inside of any residual branch."""
    nodes = {node.name: node for node in graph.nodes}
    branches = (_branch(node, graph, nodes, found) for node in graph.nodes)
    return frozenset().union(*(branch.nodes for branch in branches if branch is not None))


def _branch(
    node: Node, graph: OperatorGraph, nodes: Mapping[str, Node], found: Analysis
) -> Branch | None:
    if node.op != "add" or len(node.args) < 2 or node.kwargs:
        return None
    ends = [
        one.name for one in node.args[:2] if isinstance(one, Ref) and one.name not in graph.tensors
    ]
    if len(ends) != 2:
        return None
    values = [found.values.get(name) for name in ends]
    if not all(isinstance(v, Value) for v in values):
        return None
    if len({v.shape for v in values if isinstance(v, Value)}) != 1:
        return None  # One of them is broadcast.
    for skip, end in (ends, ends[::-1]):
        inside = _between(skip, end, graph, nodes)
        if inside:
            return Branch(node.name, skip, frozenset(inside))
    return None


def _between(skip: str, end: str, graph: OperatorGraph, nodes: Mapping[str, Node]) -> set[str]:
    """The nodes that `end` is made by from `skip` alone; none if it needs anything else."""
    inside: set[str] = set()
    todo = [end]
    while todo:
        name = todo.pop()
        if name == skip or name in inside or name in graph.tensors:
            continue
        if name not in nodes:
            return set()
        if nodes[name].is_scalar:
            continue  # Sizes may be those of any tensor.
        inside.add(name)
        todo += nodes[name].refs()
    reaches = any(skip in nodes[name].refs() for name in inside)
    return inside if reaches else set()


def _kind(branch: Branch, nodes: Mapping[str, Node], found: Analysis) -> tuple[object, ...]:
    shapes = Counter(
        (nodes[name].target, str(value.shape))
        for name in branch.nodes
        if isinstance(value := found.values.get(name), Value)
    )
    return tuple(sorted(shapes.items()))


def without(graph: OperatorGraph, skipped: Sequence[Branch]) -> OperatorGraph:
    """The graph in which each of these sums is what it was added to, without what nothing needs."""
    stands_for = {branch.node: branch.skip for branch in skipped}

    def to(name: str) -> str:
        while name in stands_for:
            name = stands_for[name]
        return name

    kept: list[Node] = []
    needed = {to(graph.output)}
    for node in reversed(graph.nodes):
        if node.name in needed and node.name not in stands_for:
            kept.append(node.mapped(lambda ref: Ref(to(ref.name))))
            needed.update(kept[-1].refs())
    tensors = {name: trained for name, trained in graph.tensors.items() if name in needed}
    return OperatorGraph(graph.input, to(graph.output), tuple(reversed(kept)), tensors)
