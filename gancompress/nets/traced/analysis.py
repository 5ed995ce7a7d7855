"""Which channels of a graph's values and tensors belong together.

Each position on a channel axis has an identity. Operators unite identities that must be kept or
dropped together: what is added, what a norm's weight scales, what a convolution takes and what its
kernel has. Whatever an operator does with channels that is not known here freezes them. Nothing
rests on these rules being right: each group of channels is put in another order on import, and
frozen where the answer changes; see `gancompress.supernet.groupproof`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gancompress.nets.traced.cutrules import SEVERAL
from gancompress.nets.traced.graph import GETITEM, Node, OperatorGraph, Ref, computed, map_refs
from gancompress.nets.traced.identities import (
    Axes,
    Identities,
    Ids,
    NodeView,
    UnknownUse,
    Value,
)
from gancompress.nets.traced.macs import macs_of
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

    def all_axes(self, name: str) -> Iterator[Ids]:
        """The axes of channels of a value, or of several; none of a number."""
        value = self.values.get(name)
        for one in value if isinstance(value, list) else [value]:
            yield from (own for own in one.axes if own is not None) if one else ()


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
        tensors[name] = torch.empty(torch.Size(shapes[name]), device="meta")
        found.values[name] = _held(tensors[name].shape, ids)
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
            axes = _axes_of(_looked_at(node, result.shape, found, tensors))
            found.values[node.name] = Value(result.shape, axes)
            args = map_refs(node.args, lambda ref: tensors[ref.name])
            if macs := macs_of(node.op, args, result)[0]:
                found.macs[node.name] = macs
        elif isinstance(result, list | tuple) and all(isinstance(r, Tensor) for r in result):
            found.values[node.name] = _several(
                _looked_at(node, torch.Size(()), found, tensors), [r.shape for r in result]
            )
    for axis in found.axes(graph.output):
        if axis is not None:
            ids.freeze(axis, "the channels of the output")
    return found


def _held(shape: torch.Size, ids: Identities) -> Value:
    """A tensor of the graph: its first two axes are of channels, where they are long."""
    axes = (ids.fresh(n) if axis < 2 and n > 1 else None for axis, n in enumerate(shape))
    return Value(shape, tuple(axes))


def _looked_at(
    node: Node, shape: torch.Size, found: Analysis, numbers: Mapping[str, Any]
) -> NodeView:
    def read(ref: Ref) -> Any:
        return found.values.get(ref.name, ref)

    args = map_refs(node.args, read)
    kwargs = {k: map_refs(v, read) for k, v in node.kwargs.items()}
    return NodeView(node, args, kwargs, shape, found.identities, numbers)


# What rules raise for arguments that they do not know.
_UNKNOWN = (UnknownUse, IndexError, TypeError, ValueError, AttributeError)


def _axes_of(at: NodeView) -> Axes:
    rule = RULES.get(at.node.op)
    if rule is not None:
        with suppress(*_UNKNOWN):
            axes = rule(at)
            if _fit(axes, at.shape):
                return axes
    return _unknown(at, at.shape)


def _several(at: NodeView, shapes: Sequence[torch.Size]) -> list[Value]:
    rule = SEVERAL.get(at.node.op)
    if rule is not None:
        with suppress(*_UNKNOWN):
            found = rule(at, shapes)
            if all(_fit(axes, shape) for axes, shape in zip(found, shapes, strict=True)):
                return [Value(shape, axes) for axes, shape in zip(found, shapes, strict=True)]
    return [Value(shape, _unknown(at, shape)) for shape in shapes]


def _fit(axes: Axes, shape: torch.Size) -> bool:
    return len(axes) == len(shape) and all(
        own is None or len(own) == size for own, size in zip(axes, shape, strict=True)
    )


def _unknown(at: NodeView, shape: torch.Size) -> Axes:
    at.freeze(at.values(), f"{at.label} mixes channels in a way that is not known")
    return (None,) * len(shape)
