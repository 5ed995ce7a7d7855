"""Identities of positions on channel axes, and a node as rules see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gancompress.nets.traced.graph import Node, Ref

Ids = npt.NDArray[np.int64]
# Of each axis the identities of its channels, or None where it has no channels.
Axes = tuple[Ids | None, ...]


class Identities:
    """Positions on channel axes, united by union-find; some frozen, with the reason."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: dict[int, str] = {}

    def fresh(self, count: int) -> Ids:
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, one: int) -> int:
        parent = self._parent
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    def roots(self, ids: Ids) -> Ids:
        return np.fromiter((self.root(int(one)) for one in ids), np.int64, len(ids))

    def unite(self, one: Ids, other: Ids) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            first, second = sorted((self.root(a), self.root(b)))
            if first != second:
                self._parent[second] = first
                if second in self._frozen:
                    self._frozen.setdefault(first, self._frozen.pop(second))

    def freeze(self, ids: Ids, why: str) -> None:
        for one in ids.tolist():
            self._frozen.setdefault(self.root(one), why)

    def reason(self, root: int) -> str | None:
        """Why the channels of a root are frozen; None if they are not."""
        return self._frozen.get(root)


@dataclass
class Value:
    """A tensor that a graph computes: its shape on the example, and its axes' identities."""

    shape: torch.Size
    axes: Axes


@dataclass(frozen=True)
class NodeView:
    """A node that is looked at: its arguments as values, its result's shape."""

    node: Node
    args: Sequence[Any]  # Value in place of each tensor
    kwargs: Mapping[str, Any]
    shape: torch.Size
    ids: Identities
    # What sizes are on the example, by name.
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def argument(self, at: int, name: str, otherwise: Any = None) -> Any:
        return self.args[at] if at < len(self.args) else self.kwargs.get(name, otherwise)

    def number(self, at: int, name: str, otherwise: int) -> int:
        """An argument that is a number, worked out on the example where it is a size."""
        given = self.argument(at, name, otherwise)
        return int(self.numbers[given.name] if isinstance(given, Ref) else given)

    def axis(self, at: int, name: str, rank: int, otherwise: int = 0) -> int:
        """An argument that names an axis of a tensor of `rank`, counted from the front."""
        return int(self.argument(at, name, otherwise)) % rank

    def meet(self, one: Ids | None, other: Ids | None) -> Ids | None:
        """Unites two axes; where one has no channels those of the other are frozen, and there are
        none from here on. Raises: ValueError for other sizes."""
        if one is not None and other is not None:
            self.ids.unite(one, other)
            return one
        for own in (one, other):
            if own is not None:
                self.keep(own, "meet what has no channels")
        return None

    def keep(self, own: Ids | None, why: str) -> None:
        """Freezes channels that `why` says of this operator: `(they) meet …`."""
        if own is not None and len(own) > 1:
            self.ids.freeze(own, f"{self.label}: they {why}")

    def one_order(self, rows: Ids) -> None:
        """Unites the channels of each row (rows, members): they are dropped together."""
        first = np.repeat(rows[:, :1], rows.shape[1], 1)
        for row, own in zip(rows, first, strict=True):
            if (row != own).any():
                self.ids.unite(row, own)

    @property
    def label(self) -> str:
        return f"{self.node.op} ({self.node.name})"

    def values(self) -> list[Value]:
        found = []
        for one in (*self.args, *self.kwargs.values()):
            found += [v for v in (one if isinstance(one, list) else [one]) if isinstance(v, Value)]
        return found

    def freeze(self, values: Sequence[Value], why: str) -> None:
        for value in values:
            for axis in value.axes:
                if axis is not None:
                    self.ids.freeze(axis, why)


class UnknownUse(Exception):
    """What a rule raises for arguments that it does not know."""


def replaced(axes: Axes, axis: int, new: Ids | None) -> Axes:
    return (*axes[:axis], new, *axes[axis + 1 :])
