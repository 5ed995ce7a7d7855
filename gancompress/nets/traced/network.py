"""A graph as a network that torch can train."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.nets.traced.graph import (
    GETITEM,
    INPUT_DEVICE,
    Node,
    OperatorGraph,
    Ref,
    map_refs,
    operator_of,
)
from gancompress.nets.traced.layers import (
    OPERATORS,
    Layer,
    Shapes,
    attribute_of,
    layers_of,
    module_of,
)
from gancompress.nets.traced.macs import macs_of


@dataclass(frozen=True)
class _Step:
    """One node as it runs.

    parent, attribute: where its module lies, which others may take the place of; None where it is
    arithmetic with sizes.
    """

    node: Node
    parent: nn.Module | None
    attribute: str
    inputs: tuple[str, ...]
    done: tuple[str, ...]  # values that nothing takes after it


class Operator(nn.Module):
    """An operator without weights of its own: called with its Refs' values, in their order.

    One that makes a tensor where the input lies is given the input too, as the last.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._run = operator_of(node.target)

    def extra_repr(self) -> str:
        return self._node.target

    def macs(self, values: Sequence[Any], result: Any) -> tuple[int, int]:
        """What it does, and what is published for it: see `macs_of`; 0 for what is no tensor."""
        if not isinstance(result, Tensor):
            return 0, 0
        given = iter(values)
        return macs_of(self._node.op, map_refs(self._node.args, lambda ref: next(given)), result)

    def forward(self, *values: Any) -> Any:
        given = iter(values)
        args = map_refs(self._node.args, lambda ref: next(given))
        kwargs = {k: map_refs(v, lambda ref: next(given)) for k, v in self._node.kwargs.items()}
        if kwargs.get("device") == INPUT_DEVICE:
            kwargs["device"] = values[-1].device
        return self._run(*args, **kwargs)


class TracedNet(nn.Module):
    """(N, C, H, W) -> (N, C', H', W') by the operators of a graph, in their order.

    Layers lie where their weights' names say, other operators under `operators`.

    shapes: of every tensor of the graph. blocks: modules in the place of layers, by node.
    value_range: of the images that the graph takes and makes; the network's are in [-1, 1].
    """

    def __init__(
        self,
        graph: OperatorGraph,
        shapes: Shapes,
        blocks: Mapping[str, nn.Module] | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        low, high = value_range
        self._middle, self._scale = (low + high) / 2, (high - low) / 2
        self._is_scaled = value_range != (-1.0, 1.0)
        self._input, self._output = graph.input, graph.output
        layers, last, types = layers_of(graph), _last_uses(graph), _types(graph)
        made: set[str] = set()
        held = {name for layer in layers.values() for name in layer.tensors.values()}
        for name, is_trained in graph.tensors.items():
            if name not in held:
                _hold(self, name, shapes[name], is_trained, types.get(name))
        steps = []
        for node in graph.nodes:
            layer = layers.get(node.name)
            path = path_of(node, layer)
            if path and path not in made:
                place(self, path, _made(node, layer, shapes, blocks or {}))
                made.add(path)
            stem, _, attribute = path.rpartition(".")
            parent = self.get_submodule(stem) if path else None
            steps.append(
                _Step(node, parent, attribute, _inputs(node, layer, graph), last.get(node.name, ()))
            )
        self._steps = steps
        self._holders = {n: (self.get_submodule(n.rpartition(".")[0]), attribute_of(n))
                         for n in graph.tensors if n not in held}  # fmt: skip

    def bare(self) -> TracedNet:
        """The same network, weights shared, of images in the graph's own range."""
        other = copy.copy(self)
        other._is_scaled = False
        return other

    def forward(self, x: Tensor) -> Tensor:
        if self._is_scaled:
            x = x * self._scale + self._middle
        values: dict[str, Any] = {self._input: x}
        for name, (module, attribute) in self._holders.items():
            values[name] = getattr(module, attribute)
        for step in self._steps:
            values[step.node.name] = _run(step, values)
            for name in step.done:
                del values[name]
        out: Tensor = values[self._output]
        return (out - self._middle) / self._scale if self._is_scaled else out


def _run(step: _Step, values: Mapping[str, Any]) -> Any:
    if step.parent is not None:
        module = step.parent._modules[step.attribute]
        assert module is not None
        return module(*[values[name] for name in step.inputs])
    return operator_of(step.node.target)(*map_refs(step.node.args, lambda ref: values[ref.name]))


def path_of(node: Node, layer: Layer | None) -> str:
    """Where a node's module lies; "" for arithmetic with sizes."""
    if node.is_scalar or node.target == GETITEM:
        return ""
    return layer.path if layer else f"{OPERATORS}.{node.name}"


def _made(
    node: Node, layer: Layer | None, shapes: Shapes, blocks: Mapping[str, nn.Module]
) -> nn.Module:
    if node.name in blocks:
        return blocks[node.name]
    return Operator(node) if layer is None else module_of(node, shapes, layer)


def _inputs(node: Node, layer: Layer | None, graph: OperatorGraph) -> tuple[str, ...]:
    """The values that a node's module is given."""
    if layer is None:
        is_placed = node.kwargs.get("device") == INPUT_DEVICE
        return (*node.refs(), graph.input) if is_placed else tuple(node.refs())
    first = node.args[0]
    assert isinstance(first, Ref), "a layer's first argument is what it works on"
    return (first.name,)


def _last_uses(graph: OperatorGraph) -> dict[str, tuple[str, ...]]:
    """The values that are not needed any more behind a node, by its name."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        last |= dict.fromkeys((*node.refs(), node.name), node.name)
    found: dict[str, tuple[str, ...]] = {}
    for value, node_name in last.items():
        if value not in graph.tensors and value not in (graph.input, graph.output):
            found[node_name] = (*found.get(node_name, ()), value)
    return found


def place(net: nn.Module, path: str, module: nn.Module) -> None:
    """Registers `module` under a dotted path of `net`, making what lies between."""
    *parents, name = path.split(".")
    at = net
    for parent in parents:
        inner = at._modules.get(parent)
        if inner is None:
            inner = at._modules[parent] = nn.Module()
        at = inner
    before = at._modules.get(name)
    if before is not None:  # What was made to hold its children stays theirs.
        for child, held in before.named_children():
            module.add_module(child, held)
    at._modules[name] = module  # `add_module` looks through all attributes first.


def _types(graph: OperatorGraph) -> dict[str, torch.dtype]:
    """The types of tensors that are no floating-point numbers, which nodes tell."""
    return {
        node.first: node.args[1]
        for node in graph.nodes
        if node.target == "aten.to.dtype"
        and graph.tensors.get(node.first) is False
        and not (node.args[1].is_floating_point or node.args[1].is_complex)
    }


def _hold(
    net: nn.Module,
    name: str,
    shape: Sequence[int],
    is_trained: bool,
    dtype: torch.dtype | None = None,
) -> None:
    """Makes a tensor of `shape`, zeros yet, under a dotted name of `net`."""
    stem, attribute = name.rpartition(".")[::2]
    if stem:
        try:
            at = net.get_submodule(stem)
        except AttributeError:
            at = nn.Module()
            place(net, stem, at)
    else:
        at = net
    tensor = torch.zeros(tuple(shape), dtype=dtype)
    if is_trained:
        at.register_parameter(attribute, nn.Parameter(tensor))
    else:
        at.register_buffer(attribute, tensor)
