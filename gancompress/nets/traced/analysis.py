"""Which channels of a graph's values and tensors belong together.

Each position on a channel axis has an identity. Operators unite identities that must be kept or
dropped together: what is added, what a norm's weight scales, what a convolution takes and what its
kernel has. Whatever an operator does with channels that is not known here freezes them. Nothing
rests on these rules being right: each group of channels is put in another order on import, and
frozen where the answer changes; see `gancompress.supernet.groupproof`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gancompress.nets.traced.graph import GETITEM, Node, OperatorGraph, Ref, computed, map_refs
from gancompress.nets.traced.identities import (
    Axes,
    Identities,
    NodeView,
    UnknownUse,
    Value,
    replaced,
)
from gancompress.nets.traced.rules import RULES


@dataclass
class Analysis:
    """What a graph's channels are: identities, and the axes of every value by its name.

    Values of several results have a list of them. macs: of each layer on the example.
    """

    identities: Identities = field(default_factory=Identities)
    values: dict[str, Value | list[Value]] = field(default_factory=dict)
    macs: dict[str, int] = field(default_factory=dict)

    def axes(self, name: str) -> Axes:
        value = self.values[name]
        assert isinstance(value, Value)
        return value.axes


def analyse(
    graph: OperatorGraph, shapes: Mapping[str, Sequence[int]], example: Sequence[int]
) -> Analysis:
    """The channels of a graph, by running it without values on an input of shape `example`.

    example: (N, C, H, W). shapes: of the graph's tensors.
    """
    found = Analysis()
    ids = found.identities
    tensors: dict[str, Any] = {}
    for name in graph.tensors:
        shape = torch.Size(shapes[name])
        # Conv kernels and dense weights: two axes of channels. Any other tensor: all that are long.
        axes = tuple(
            ids.fresh(size) if axis < 2 and size > 1 else None for axis, size in enumerate(shape)
        )
        tensors[name] = torch.empty(shape, device="meta")
        found.values[name] = Value(shape, axes)
    tensors[graph.input] = torch.empty(*example, device="meta")
    given = ids.fresh(example[1])
    ids.freeze(given, "the channels of the input")
    found.values[graph.input] = Value(torch.Size(example), (None, given, None, None))
    for node in graph.nodes:
        result = computed(node, tensors, "meta")
        tensors[node.name] = result
        if node.target == GETITEM and isinstance(found.values.get(node.first), list):
            several = found.values[node.first]
            assert isinstance(several, list)
            found.values[node.name] = several[node.args[1]]
        elif isinstance(result, Tensor):
            axes = _axes_of(node, result.shape, found)
            found.values[node.name] = Value(result.shape, axes)
            if macs := _macs(node, tensors, result):
                found.macs[node.name] = macs
        elif isinstance(result, list | tuple) and all(isinstance(r, Tensor) for r in result):
            found.values[node.name] = _several(node, [r.shape for r in result], found)
    for axis in found.axes(graph.output):
        if axis is not None:
            ids.freeze(axis, "the channels of the output")
    return found


def _looked_at(node: Node, shape: torch.Size, found: Analysis) -> NodeView:
    def read(ref: Ref) -> Any:
        return found.values.get(ref.name, ref)

    args = map_refs(node.args, read)
    kwargs = {k: map_refs(v, read) for k, v in node.kwargs.items()}
    return NodeView(node, args, kwargs, shape, found.identities)


def _axes_of(node: Node, shape: torch.Size, found: Analysis) -> Axes:
    at = _looked_at(node, shape, found)
    rule = RULES.get(node.op)
    if rule is not None:
        try:
            axes = rule(at)
            if len(axes) == len(shape) and all(
                a is None or len(a) == s for a, s in zip(axes, shape, strict=True)
            ):
                return axes
        except (UnknownUse, IndexError, TypeError, ValueError):
            pass
    at.freeze(at.values(), f"{at.label} mixes channels in a way that is not known")
    return (None,) * len(shape)


def _several(node: Node, shapes: Sequence[torch.Size], found: Analysis) -> list[Value]:
    """The results of split and chunk; those of anything else are frozen."""
    at = _looked_at(node, torch.Size(()), found)
    x = at.args[0] if at.args else None
    if node.op in ("split", "split_with_sizes", "chunk", "unbind") and isinstance(x, Value):
        axis = (
            int(at.argument(2, "dim", 0)) if node.op != "unbind" else int(at.argument(1, "dim", 0))
        )
        axis %= len(x.shape)
        if node.op != "unbind":
            results, start = [], 0
            for shape in shapes:
                own = x.axes[axis]
                part = None if own is None else own[start : start + shape[axis]]
                results.append(Value(shape, replaced(x.axes, axis, part)))
                start += shape[axis]
            return results
        if x.axes[axis] is None:
            return [Value(s, (*x.axes[:axis], *x.axes[axis + 1 :])) for s in shapes]
    at.freeze(at.values(), f"{at.label} mixes channels in a way that is not known")
    return [Value(shape, (None,) * len(shape)) for shape in shapes]


def _macs(node: Node, tensors: Mapping[str, Any], result: Tensor) -> int:
    """Multiply-accumulates of a layer for one image."""
    if node.op not in ("conv2d", "conv_transpose2d", "linear"):
        return 0
    weight = node.args[1]
    if not isinstance(weight, Ref):
        return 0
    shape = tensors[weight.name].shape
    if node.op == "conv_transpose2d":
        x = tensors[node.first]
        return math.prod(shape[1:]) * x[0].numel()
    return math.prod(shape[1:]) * result[0].numel()
