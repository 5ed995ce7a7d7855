"""Which channels of a network's tensors belong to a width slot, and how they lie on their axes.

An axis is a row of blocks. `torch.cat([y, kept], 1)` makes an axis of two blocks for the layer
behind it, GLU one of two for the layer before it, and the heads of attention one of a block each. A
narrower network has the leading channels of every block.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError

Axis = tuple[str, int]  # a tensor's name, and 0 or 1
Sizes = list[int]


@dataclass(frozen=True)
class Block:
    """Neighbouring channels of one axis.

    slot: what they grow with, "" if with nothing. units: how many there are per unit of the slot's
    width. bundle: how many neighbours move together when the slot's channels are put in order.
    group: which of several sets of channels of that slot, each with an order of its own.
    """

    slot: str
    units: Fraction
    bundle: int = 1
    group: str = ""


Layout = tuple[Block, ...]
Moves = dict[Axis, Tensor]  # One set of channels: positions (items, members) on each axis.


@dataclass(frozen=True)
class Channels:
    """How the axes lie that the slots of a network move.

    layouts: of every such axis. unsorted: why the channels of a slot must keep their order, by
    slot; their layouts are one block for each axis.
    """

    layouts: Mapping[Axis, Layout] = field(default_factory=dict)
    unsorted: Mapping[str, str] = field(default_factory=dict)

    def segments(self, name: str, shape: Sequence[int], arch: Arch) -> dict[int, Sizes]:
        """The sizes of the blocks of each axis of a tensor of `arch` that has several."""
        return {
            axis: block_sizes(self.layouts[name, axis], shape[axis], arch)
            for axis in range(min(2, len(shape)))
            if len(self.layouts.get((name, axis), ())) > 1
        }


def block_sizes(layout: Layout, total: int, arch: Arch) -> Sizes:
    """The size of each block of an axis of `total` channels of `arch`.

    Raises: ArchError if they do not add up.
    """
    if len({(block.slot, block.units) for block in layout}) == 1:
        found = [Fraction(total, len(layout))] * len(layout)
    else:
        found = [b.units * (arch.width(b.slot) if b.slot else 1) for b in layout]
    if sum(found) != total or any(size.denominator > 1 for size in found):
        slots = ", ".join(f"{b.slot}={arch[b.slot]}" for b in layout if b.slot)
        raise ArchError(f"arch: {total} channels with {slots}; they do not split into whole blocks")
    return [int(size) for size in found]


def sets_of(
    layouts: Mapping[Axis, Layout], shapes: Mapping[str, Sequence[int]], arch: Arch, slot: str
) -> list[Moves]:
    """The channels of a slot in sets of equal size, each with an order of its own.

    A slot may stand for several sets, such as a block's channels and those of the layers that make
    its norms' weights. In every block of a set's axes the order is the same.
    """
    found: dict[tuple[int, str], dict[Axis, list[Tensor]]] = {}
    for (name, axis), layout in layouts.items():
        if name not in shapes:
            continue
        start = 0
        for block, size in zip(layout, block_sizes(layout, shapes[name][axis], arch), strict=True):
            if block.slot == slot:
                rows = torch.arange(start, start + size).view(-1, block.bundle)
                of = found.setdefault((len(rows), block.group), {})
                of.setdefault((name, axis), []).append(rows)
            start += size
    return [
        {axis: torch.cat(rows, 1) for axis, rows in of_set.items()} for of_set in found.values()
    ]


def permute(tensors: Mapping[str, Tensor], moves: Moves, order: Tensor) -> dict[str, Tensor]:
    """`tensors` with one set of channels put in `order`.

    moves: one of `sets_of`. order (C,) int64: new channel i is old channel order[i].
    """
    permuted = dict(tensors)
    for (name, axis), rows in moves.items():
        tensor = permuted[name]
        index = torch.arange(tensor.shape[axis])
        index[rows.flatten()] = rows[order.cpu()].flatten()
        permuted[name] = tensor.index_select(axis, index.to(tensor.device))
    return permuted


def leading(tensor: Tensor, axis: int, have: Sizes, want: Sizes) -> Tensor:
    """The leading channels of every block of an axis: blocks of sizes `have` cut to `want`."""
    starts = itertools.accumulate([0, *have[:-1]])
    parts = [tensor.narrow(axis, at, size) for at, size in zip(starts, want, strict=True)]
    return torch.cat(parts, axis)


def shared_blocks(
    one: Tensor, other: Tensor, axes: Mapping[int, tuple[Sizes, Sizes]]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of both tensors, block by block, as much of each as both have.

    axes: the sizes of the blocks of both on the axes that have several.
    """
    if not axes:
        yield one, other
        return
    axis, (mine, theirs) = next(iter(axes.items()))
    rest = {number: sizes for number, sizes in axes.items() if number != axis}
    here = itertools.accumulate([0, *mine[:-1]])
    there = itertools.accumulate([0, *theirs[:-1]])
    for start, size, at, count in zip(here, mine, there, theirs, strict=True):
        both = min(size, count)
        views = one.narrow(axis, start, both), other.narrow(axis, at, both)
        yield from shared_blocks(*views, rest)
