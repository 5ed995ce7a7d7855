"""Operators with weights as the modules that torch has for them.

What the rest of the project knows of networks, it knows of modules: what a convolution costs, how
it is fitted, made separable, exported. So each convolution, linear layer and norm of a graph is
one, at the place that its weight's name says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gancompress.nets.traced.graph import Node, OperatorGraph, Ref

Shapes = Mapping[str, Sequence[int]]

# The arguments of each operator with weights: their names in its module, by position.
_TENSORS: dict[str, dict[int, str]] = {
    "conv2d": {1: "weight", 2: "bias"},
    "conv_transpose2d": {1: "weight", 2: "bias"},
    "linear": {1: "weight", 2: "bias"},
    "prelu": {1: "weight"},
    "batch_norm": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "instance_norm": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "group_norm": {2: "weight", 3: "bias"},
    "layer_norm": {2: "weight", 3: "bias"},
}
OPERATORS = "operators"  # Where modules of operators without weights lie.


@dataclass(frozen=True)
class Layer:
    """A node that is a module of its own: where it lies, and its tensors by their names in it."""

    path: str
    tensors: Mapping[str, str]


def layers_of(graph: OperatorGraph) -> dict[str, Layer]:
    """The layers of a graph by the names of their nodes; several nodes may run one layer."""
    found = {}
    for node in graph.nodes:
        tensors = _tensors_of(node, graph)
        if tensors is not None:
            weight = tensors.get("weight", next(iter(tensors.values()), ""))
            path = weight.rpartition(".")[0] if tensors else f"{OPERATORS}.{node.name}"
            found[node.name] = Layer(path, tensors)
    return found


def _tensors_of(node: Node, graph: OperatorGraph) -> dict[str, str] | None:
    """The names of a layer's tensors; None for a node that is no layer."""
    places = _TENSORS.get(node.op)
    if places is None:
        return None
    found = {}
    for at, name in places.items():
        given = node.args[at] if at < len(node.args) else None
        if given is None:
            continue
        if not (isinstance(given, Ref) and given.name in graph.tensors):
            return None  # Its weight depends on the input.
        found[name] = given.name
    if node.op == "layer_norm" and any(isinstance(size, Ref) for size in node.args[1]):
        return None  # It normalises over places, whose number the input decides.
    if any(name != attribute_of(full) for name, full in found.items()):
        return None
    stems = {full.rpartition(".")[0] for full in found.values()}
    is_one = len(stems) <= 1 and "" not in stems
    has_weight = "weight" in found or node.op in (
        "batch_norm",
        "instance_norm",
        "group_norm",
        "layer_norm",
    )
    return found if is_one and has_weight else None


def tensors_in_places(graph: OperatorGraph) -> set[str]:
    """The tensors of a graph that any operator with weights takes as such."""
    found: set[str] = set()
    for node in graph.nodes:
        own = [node.args[at] for at in _TENSORS.get(node.op, {}) if at < len(node.args)]
        found.update(one.name for one in own if isinstance(one, Ref))
    return found & graph.tensors.keys()


def attribute_of(name: str) -> str:
    return name.rpartition(".")[2]


def renamed(
    graph: OperatorGraph, tensors: Mapping[str, Tensor]
) -> tuple[OperatorGraph, dict[str, Tensor]]:
    """The same graph, its tensors named as the modules of its layers have them.

    A layer lies where its weight's name says: the bias of `conv.weight` is `conv.bias`, whatever it
    was called. Tensors of which several layers make different use keep their names.
    """
    uses: dict[str, set[str]] = {}
    for node in graph.nodes:
        places = _TENSORS.get(node.op, {})
        own = [node.args[at] for at in places if at < len(node.args)]
        weight = next((one.name for one in own if isinstance(one, Ref)), "")
        for at, argument in enumerate(node.args):
            for name in _names_in(argument):
                if name in graph.tensors:
                    use = (
                        f"{node.op} {places[at]} {weight}" if at in places else f"{node.name} {at}"
                    )
                    uses.setdefault(name, set()).add(use)
    new: dict[str, str] = {}
    for node in graph.nodes:
        places = _TENSORS.get(node.op, {})
        named = {places[at]: node.args[at].name for at in places
                 if at < len(node.args) and isinstance(node.args[at], Ref)
                 and node.args[at].name in graph.tensors}  # fmt: skip
        if not named or any(len(uses[name]) > 1 for name in named.values()):
            continue
        first = next(iter(named.values()))
        stem, leaf = first.rpartition(".")[::2]
        path = stem if leaf == next(iter(named)) else first
        path = path or "layer"
        wanted = {full: f"{path}.{attribute}" for attribute, full in named.items()}
        taken = {*new.values(), *(n for n in graph.tensors if n not in wanted and n not in new)}
        if not taken & {w for full, w in wanted.items() if new.get(full) != w}:
            new |= wanted

    def to(ref: Ref) -> Ref:
        return Ref(new.get(ref.name, ref.name))

    nodes = [node.mapped(to) for node in graph.nodes]
    trained = {new.get(name, name): is_trained for name, is_trained in graph.tensors.items()}
    found = OperatorGraph(graph.input, graph.output, tuple(nodes), trained)
    return found, {new.get(name, name): tensor for name, tensor in tensors.items()}


def _names_in(argument: Any) -> list[str]:
    return list(Node("", "", (argument,)).refs())


def _argument(node: Node, at: int, name: str, otherwise: Any) -> Any:
    if at < len(node.args):
        return node.args[at]
    return node.kwargs.get(name, otherwise)


def _pair(given: Any) -> Any:
    if isinstance(given, str | int):
        return given
    return tuple(given) if len(given) == 2 else (given[0], given[0])


def _conv(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    out, per_group, *kernel = shapes[layer.tensors["weight"]]
    groups = _argument(node, 6, "groups", 1)
    return nn.Conv2d(
        per_group * groups,
        out,
        (kernel[0], kernel[1]),
        stride=_pair(_argument(node, 3, "stride", 1)),
        padding=_pair(_argument(node, 4, "padding", 0)),
        dilation=_pair(_argument(node, 5, "dilation", 1)),
        groups=groups,
        bias="bias" in layer.tensors,
    )


def _conv_transpose(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    taken, per_group, *kernel = shapes[layer.tensors["weight"]]
    groups = _argument(node, 6, "groups", 1)
    return nn.ConvTranspose2d(
        taken,
        per_group * groups,
        (kernel[0], kernel[1]),
        stride=_pair(_argument(node, 3, "stride", 1)),
        padding=_pair(_argument(node, 4, "padding", 0)),
        output_padding=_pair(_argument(node, 5, "output_padding", 0)),
        groups=groups,
        bias="bias" in layer.tensors,
        dilation=_pair(_argument(node, 7, "dilation", 1)),
    )


def _linear(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    out, taken = shapes[layer.tensors["weight"]]
    return nn.Linear(taken, out, bias="bias" in layer.tensors)


def _prelu(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    return nn.PReLU(shapes[layer.tensors["weight"]][0])


def _batch_norm(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    features = shapes[layer.tensors["running_mean"]][0]
    return nn.BatchNorm2d(features, eps=node.args[7], affine="weight" in layer.tensors)


def _instance_norm(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    """Of the image's own statistics; the number of channels is checked where it has weights."""
    features = next((shapes[name][0] for name in layer.tensors.values()), 1)
    return _InstanceNorm(features, eps=node.args[7], affine="weight" in layer.tensors)


def _group_norm(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    weight = layer.tensors.get("weight")
    eps = _argument(node, 4, "eps", 1e-5)
    groups = node.args[1]
    return nn.GroupNorm(groups, shapes[weight][0] if weight else groups, eps, affine=bool(weight))


def _layer_norm(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    affine, bias = "weight" in layer.tensors, "bias" in layer.tensors
    eps = _argument(node, 4, "eps", 1e-5)
    return nn.LayerNorm(list(node.args[1]), eps, elementwise_affine=affine, bias=bias)


class _InstanceNorm(nn.InstanceNorm2d):
    """Takes any number of channels where it has no weights, which torch warns of."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


_MODULES: dict[str, Callable[[Node, Shapes, Layer], nn.Module]] = {
    "conv2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "linear": _linear,
    "prelu": _prelu,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
}


def module_of(node: Node, shapes: Shapes, layer: Layer) -> nn.Module:
    """The module of a layer, its weights as torch initialises them. shapes: of its tensors."""
    by_statistics = "running_mean" in layer.tensors
    op = "batch_norm" if node.op == "instance_norm" and by_statistics else node.op
    return _MODULES[op](node, shapes, layer)
