"""Values that are chosen by a mask and put back by it, without shapes that depend on values.

`y[mask] = f(x[mask])` is `torch.where(mask, f(x), y)` where f works element by element.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gancompress.nets.traced.graph import Node, Ref

_ELEMENTWISE = {
    "add", "sub", "mul", "div", "neg", "abs", "exp", "log", "sqrt", "pow", "clamp", "remainder",
    "fmod", "floor", "round", "sin", "cos", "rsub", "reciprocal", "square", "sigmoid", "tanh",
    "relu",
}  # fmt: skip


def without_masks(nodes: Iterable[Node], seen: Mapping[str, Any]) -> list[Node]:
    """The operators, those that choose by a mask in terms of whole tensors; others stay.

    seen: what the tracer knew of values by name: of tensors their shape and type.
    """
    found: list[Node] = []
    # By the name of a chosen value, the names of the whole one and of the mask.
    whole: dict[str, tuple[str, str]] = {}
    alike = _Alike()
    for node in nodes:
        found.append(node)
        alike.add(node)
        mask = alike.first(_mask_of(node, seen))
        if node.op == "index" and mask:
            whole[node.name] = (node.first, mask)
        elif node.op == "index_put" and mask and len(node.args) == 3:
            value = node.args[2]
            source = whole.get(value.name) if isinstance(value, Ref) else None
            if source and source[1] == mask:
                taken = Ref(source[0])
            elif isinstance(value, Ref) and _is_single(seen.get(value.name)):
                taken = value
            else:
                continue
            args = (Ref(mask), taken, node.args[0])
            found[-1] = Node(node.name, "aten.where.self", args)
        elif node.op in _ELEMENTWISE:
            masks = {whole[name][1] for name in node.refs() if name in whole}
            rest = [seen.get(name) for name in node.refs() if name not in whole]
            if len(masks) == 1 and all(map(_is_single, rest)):
                made = f"{node.name}_whole"
                called = {name: whole[name][0] for name in node.refs() if name in whole}
                plain = node.mapped(lambda ref, to=called: Ref(to.get(ref.name, ref.name)))  # type: ignore[misc]
                found.append(Node(made, node.target, plain.args, plain.kwargs))
                whole[node.name] = (made, masks.pop())
    return found


class _Alike:
    """Values that are computed alike, as masks are again and again: the first stands for all."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def add(self, node: Node) -> None:
        told = repr(node.mapped(lambda ref: Ref(self.first(ref.name))).args)
        key = f"{node.target} {told} {sorted(node.kwargs.items(), key=str)}"
        self._first[node.name] = self._made.setdefault(key, node.name)

    def first(self, name: str) -> str:
        return self._first.get(name, name)


def _mask_of(node: Node, seen: Mapping[str, Any]) -> str:
    """The mask that an operator chooses by, of the whole of its tensor; "" for any other."""
    if len(node.args) < 2 or not isinstance(node.args[1], list) or len(node.args[1]) != 1:
        return ""
    one, mask = (seen.get(ref.name) if isinstance(ref, Ref) else None
                 for ref in (node.args[0], node.args[1][0]))  # fmt: skip
    if not (isinstance(one, Tensor) and isinstance(mask, Tensor)):
        return ""
    is_whole = mask.dtype == torch.bool and mask.dim() == one.dim()
    return str(node.args[1][0].name) if is_whole else ""


def _is_single(value: Any) -> bool:
    """Whether a value is one number for all places."""
    return not isinstance(value, Tensor) or value.dim() == 0
