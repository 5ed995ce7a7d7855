"""A graph with all that no input decides worked out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from gancompress.nets.traced.graph import Node, OperatorGraph, Ref, computed


def simplified(
    nodes: Iterable[Node],
    given: str,
    output: str,
    tensors: Mapping[str, Tensor],
    trained: Mapping[str, bool],
) -> tuple[OperatorGraph, dict[str, Tensor]]:
    """The graph with what no input decides computed, and without what nothing needs."""
    values: dict[str, Any] = dict(tensors)  # tensors and numbers
    origins: dict[str, frozenset[str]] = {name: frozenset({name}) for name in tensors}
    kept: list[Node] = []
    for node in nodes:
        if all(name in values for name in node.refs()):
            values[node.name] = computed(node, values, "cpu")
            made_of = [origins[name] for name in node.refs() if name in origins]
            origins[node.name] = frozenset().union(*made_of)
        else:
            kept.append(node)
    needed, used = _needed(kept, output)
    constants = {n: v for n, v in values.items() if n in needed and isinstance(v, Tensor)}
    names = {name: name for name in constants if name in tensors}
    for name in constants:
        if name not in names:
            wanted = _name_of(origins[name])
            names[name] = wanted if wanted and wanted not in names.values() else name

    def settled(ref: Ref) -> Any:
        if ref.name in constants:
            return Ref(names[ref.name])
        return values.get(ref.name, ref)

    plain = [node.mapped(settled) for node in reversed(used)]
    is_trained = {
        names[name]: value.is_floating_point() and any(trained.get(o, False) for o in origins[name])
        for name, value in constants.items()
    }
    found = {names[n]: v.detach().contiguous().clone() for n, v in constants.items()}
    return OperatorGraph(given, output, tuple(plain), is_trained), found


def _needed(nodes: Sequence[Node], output: str) -> tuple[set[str], list[Node]]:
    """The values that an output needs, and the operators that make it, last ones first."""
    needed, used = {output}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.refs())
            used.append(node)
    return needed, used


def held_plainly(
    graph: OperatorGraph, tensors: Mapping[str, Tensor], kept: Collection[str]
) -> tuple[OperatorGraph, dict[str, Tensor]]:
    """The same graph, its tensors held without leading axes of one, which nodes put before them.

    Channels of a tensor lie on its first two axes. Nodes tell the types of those that are no
    floating-point numbers, as nothing else does. kept: tensors whose axes stay as they are.
    """
    found, before = dict(tensors), dict[str, list[Node]]()
    taken = {graph.input, *tensors, *(node.name for node in graph.nodes)}

    def put(name: str, about: object, target: str, *more: Any) -> None:
        new = f"{name.replace('.', '_')}_{about}"
        while new in taken:
            new += "_"
        taken.add(new)
        made = before.setdefault(name, [])
        made.append(Node(new, target, (Ref(made[-1].name if made else name), *more)))

    for name, tensor in tensors.items():
        shape = list(tensor.shape)
        if not tensor.is_floating_point() and not tensor.is_complex():
            put(name, "as", "aten.to.dtype", tensor.dtype)
        if name in kept or max(shape[2:], default=1) == 1:
            continue
        while shape[0] == 1:
            shape.pop(0)
            put(name, len(shape), "aten.unsqueeze.default", 0)
        found[name] = found[name].reshape(shape)
    stands_for = {name: made[-1].name for name, made in before.items()}
    nodes: list[Node] = []
    for node in graph.nodes:
        for name in node.refs():
            nodes += before.pop(name, [])  # Where it is first used, as groups are named in order.
        nodes.append(node.mapped(lambda ref: Ref(stands_for.get(ref.name, ref.name))))
    return OperatorGraph(graph.input, graph.output, tuple(nodes), graph.tensors), found


def _name_of(made_of: Iterable[str]) -> str:
    """A name for a computed tensor: of a norm of a weight, the weight's; "" if it has none.

    `conv.weight_v` and `conv.weight_g` make `conv.weight`, and so do the
    `conv.parametrizations.weight.original0` of torch's newer norms.
    """
    found = set()
    names = list(made_of)
    for name in names:
        parts = [part for part in name.split(".") if part != "parametrizations"]
        ends = [i for i, part in enumerate(parts) if part.split("_")[0] in ("weight", "bias")]
        if not ends:
            return name if len(names) == 1 else ""
        found.add(".".join([*parts[: ends[0]], parts[ends[0]].split("_")[0]]))
    return found.pop() if len(found) == 1 else ""
