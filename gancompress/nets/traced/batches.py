"""A number of images that a network's code made an integer of, as a size of its input again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gancompress.nets.traced.graph import Node, Ref

BATCHES = (2, 3)  # torch.export takes a batch of 1 for a constant.
_IMAGES = "images"


def with_free_batch(one: Sequence[Node], other: Sequence[Node], given: str) -> list[Node] | None:
    """The operators of a network that was traced on 2 images and on 3, free in their number.

    An integer that is 2 k in one and 3 k in the other is k times the number of images; one that
    is a size in either is that size. None where the two differ otherwise. given: the input.
    """
    both = _Both(other)
    try:
        nodes = both.merged(one)
    except _DifferError:
        return None
    size = Node(_IMAGES, "size", (Ref(given), 0))
    return [size, *(both.products[count] for count in sorted(both.products)), *nodes]


class _DifferError(Exception):
    """Two traces of one network that differ in more than the number of images."""


class _Both:
    """Goes along two traces at once, which may number their nodes, and keep sizes, differently.

    products: multiples of the number of images, by what they multiply it with.
    """

    def __init__(self, other: Sequence[Node]) -> None:
        self.products: dict[int, Node] = {}
        self._other = [node for node in other if not node.is_scalar]
        self._sizes = {node.name: node for node in other if node.is_scalar}
        # By the names of the other's nodes, what they are called in the first.
        self._called: dict[str, str] = {}
        self._nodes: list[Node] = []

    def merged(self, one: Sequence[Node]) -> list[Node]:
        rest = iter(self._other)
        for node in one:
            if node.is_scalar:
                self._nodes.append(node)
                continue
            other = next(rest, None)
            if other is None or other.target != node.target or node.name.startswith(_IMAGES):
                raise _DifferError
            self._called[other.name] = node.name
            if node.kwargs.keys() != other.kwargs.keys():
                raise _DifferError
            args = tuple(self._argument(node.args, other.args))
            kwargs = {k: self._argument(v, other.kwargs[k]) for k, v in node.kwargs.items()}
            self._nodes.append(Node(node.name, node.target, args, kwargs))
        if next(rest, None) is not None:
            raise _DifferError
        return self._nodes

    def _argument(self, one: Any, other: Any) -> Any:
        if isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                raise _DifferError
            return [self._argument(a, b) for a, b in zip(one, other, strict=True)]
        if isinstance(one, Ref):
            is_size = not isinstance(other, Ref) or other.name in self._sizes
            if is_size or one.name == self._called.get(other.name, other.name):
                return one
        elif isinstance(other, Ref) and other.name in self._sizes and type(one) is int:
            return Ref(self._size(other.name))
        elif type(one) is type(other) and one == other:
            return one
        elif type(one) is int and type(other) is int and one * BATCHES[1] == other * BATCHES[0]:
            count = one // BATCHES[0]
            product = Node(f"{_IMAGES}_{count}", "mul", (Ref(_IMAGES), count))
            return Ref(self.products.setdefault(count, product).name)
        raise _DifferError

    def _size(self, name: str) -> str:
        """The name of a size that the other trace has kept, taken over."""
        node = self._sizes[name]
        called = f"{_IMAGES}_{name}"
        if all(made.name != called for made in self._nodes):
            taken = {ref: self._size(ref) if ref in self._sizes else self._called.get(ref, ref)
                     for ref in node.refs()}  # fmt: skip
            args = node.mapped(lambda ref: Ref(taken[ref.name])).args
            self._nodes.append(Node(called, node.target, args))
        return called
