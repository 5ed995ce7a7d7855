"""Reading and changing the graph of a traced network: ATen calls as torch.export leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

aten = torch.ops.aten
Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """What a call of a convolution says; weights as torch lays them out for that kind."""

    node: Node
    x: Node
    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    groups: int
    dilation: Pair
    output_padding: Pair
    transposed: bool

    @property
    def kernel(self) -> Pair:
        return self.weight.shape[2], self.weight.shape[3]

    @property
    def out_channels(self) -> int:
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]


_ORDINARY = ("weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")


def convolutions(module: GraphModule) -> list[Convolution]:
    """The convolutions whose weights are the network's own, in the order in which they run."""
    found = (_convolution(module, node) for node in module.graph.nodes)
    return [one for one in found if one is not None]


def _convolution(module: GraphModule, node: Node) -> Convolution | None:
    if node.target not in (aten.conv2d.default, aten.conv_transpose2d.input):
        return None
    transposed = node.target is aten.conv_transpose2d.input
    names = _TRANSPOSED if transposed else _ORDINARY
    given: dict[str, Any] = dict(zip(names, node.args[1:], strict=False))
    weight, bias = tensor_of(module, given["weight"]), given.get("bias")
    known = None if bias is None else tensor_of(module, bias)
    padding = given.get("padding", (0, 0))
    if weight is None or (bias is not None and known is None) or isinstance(padding, str):
        return None
    x = node.args[0]
    assert isinstance(x, Node)
    return Convolution(
        node,
        x,
        weight,
        known,
        stride=_pair(given.get("stride", 1)),
        padding=_pair(padding),
        groups=int(given.get("groups", 1)),
        dilation=_pair(given.get("dilation", 1)),
        output_padding=_pair(given.get("output_padding", 0)),
        transposed=transposed,
    )


def _pair(value: Any) -> Pair:
    """torch takes one number for both axes, also as a list of one."""
    values = [value, value] if isinstance(value, int) else [*value] * (3 - len(value))
    return int(values[0]), int(values[1])


def replace(
    module: GraphModule,
    conv: Convolution,
    *,
    weight: Tensor,
    bias: Tensor | None,
    x: Node | None = None,
    padding: Pair | None = None,
) -> None:
    """Puts a convolution with other weights, another input or padding in the place of `conv`."""
    node, new_padding = conv.node, list(conv.padding if padding is None else padding)
    with module.graph.inserting_before(node):
        arguments = {
            "weight": held(module, node, weight),
            "bias": None if bias is None else held(module, node, bias),
            "stride": list(conv.stride),
            "padding": new_padding,
            "dilation": list(conv.dilation),
            "groups": conv.groups,
            "output_padding": list(conv.output_padding),
        }
        order = _TRANSPOSED if conv.transposed else _ORDINARY
        called = (conv.x if x is None else x, *(arguments[name] for name in order))
        assert callable(node.target)
        new = module.graph.call_function(node.target, called)
    new.meta = dict(node.meta)
    put(module, new, node)


def held(module: GraphModule, node: Node, value: Tensor) -> Node:
    """A node for a tensor, which the module holds from now on; for use ahead of `node`."""
    name = f"{node.name}_held"
    while name in module._parameters:
        name += "_"
    module.register_parameter(name, nn.Parameter(value.detach().contiguous(), requires_grad=False))
    with module.graph.inserting_before(node):
        return module.graph.get_attr(name)


def put(module: GraphModule, new: Node, old: Node) -> None:
    old.replace_all_uses_with(new)
    module.graph.erase_node(old)


def tensor_of(module: GraphModule, node: Any) -> Tensor | None:
    """The parameter or buffer that a node stands for; None for anything else."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    owner, _, name = str(node.target).rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    return found.detach() if isinstance(found, Tensor) else None


def only_user(node: Node) -> Node | None:
    """The one node that reads `node`; None if there are more."""
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def divides(divisor: int, node: Node, axis: int) -> bool:
    """Whether an axis of what `node` answers is known to be a multiple of `divisor`."""
    # Here, because importing it takes a third of a second, and few commands export.
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    value = node.meta.get("val")
    return isinstance(value, Tensor) and statically_known_true(value.shape[axis] % divisor == 0)
