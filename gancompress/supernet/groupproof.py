"""Proof, by trying, of the groups of channels that a family says its networks have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.family import Family, Layouts
from gancompress.supernet.channels import Block, Channels, Moves, permute, sets_of
from gancompress.supernet.supernet import named_tensors

_LESS = (torch.float32, torch.float16, torch.bfloat16)
TOLERANCE = 1e-8  # The largest difference that counts as equal in float64, relative to the spread.


def known_channels(layouts: Layouts) -> Channels:
    """The layouts of a family that knows its own, as the supernet has them."""
    return Channels(
        {
            axis: tuple(
                Block(slot, Fraction(run.bundle), run.bundle, run.group)
                if slot
                else Block("", Fraction(run.count * run.bundle))
                for run, slot in runs
            )
            for axis, runs in layouts.items()
        }
    )


def groups_in(channels: Channels) -> dict[str, str]:
    """The slot of each group."""
    blocks = [block for layout in channels.layouts.values() for block in layout]
    return {block.group: block.slot for block in blocks if block.slot}


def moved_groups(
    net: nn.Module, channels: Channels, arch: Arch, shape: Sequence[int]
) -> dict[str, float]:
    """The groups whose order changes what a network answers, and by how much of its spread.

    net: of `arch`, in evaluation; it is computed in float64. shape (C, H, W): of the random input.

    All groups change places at once, and where that changes the answer each half of them, and so
    on: of many that are free all are proven by one run.
    """
    net = net.eval().double()
    random = torch.Generator().manual_seed(0)
    x = torch.rand(1, *shape, generator=random, dtype=torch.float64) * 2 - 1
    tensors = {name: tensor.detach() for name, tensor in named_tensors(net)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    of_group = _moves_of(channels, shapes, arch)
    with torch.no_grad(), _Exactly():
        before: Tensor = net(x)
        spread = float((before - before.mean()).abs().max())

        def difference(names: Sequence[str]) -> float:
            changed = tensors
            for name in names:
                items = len(next(iter(of_group[name].values())))
                order = torch.randperm(items, generator=random)
                if items > 1 and torch.equal(order, torch.arange(items)):
                    order = order.flip(0)
                changed = permute(changed, of_group[name], order)
            answer: Tensor = torch.func.functional_call(net, changed, (x,))
            return float((answer - before).abs().max()) / (spread or 1.0)

        found: dict[str, float] = {}
        todo = [list(of_group)]
        while todo:
            names = todo.pop()
            gap = difference(names) if names else 0.0
            if gap <= TOLERANCE:
                continue
            if len(names) == 1:
                found[names[0]] = gap
            else:
                half = len(names) // 2
                todo += [names[:half], names[half:]]
    return found


def _moves_of(
    channels: Channels, shapes: Mapping[str, Sequence[int]], arch: Arch
) -> dict[str, Moves]:
    """Where the channels of each group lie."""
    found: dict[str, Moves] = {}
    for slot in dict.fromkeys(groups_in(channels).values()):
        for moves in sets_of(channels.layouts, shapes, arch, slot):
            name, axis = next(iter(moves))
            group = next(b.group for b in channels.layouts[name, axis] if b.slot == slot
                         and b.group not in found)  # fmt: skip
            found[group] = moves
    return found


class _Exactly(TorchDispatchMode):
    """In float64 what a network makes in less: tensors that it makes itself, and conversions."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {k: _exact(v) for k, v in (kwargs or {}).items()}
        out = func(*map(_exact, args), **given)
        if isinstance(out, Tensor) and out.dtype == torch.float32:
            return out.double()
        return out


def _exact(given: Any) -> Any:
    is_less = isinstance(given, torch.dtype) and given in _LESS
    return torch.float64 if is_less else given


def must_not_move(family: Family, channels: Channels, arch: Arch, shape: Sequence[int]) -> None:
    """Raises: ArchError for a group whose order matters in a network of random weights."""
    net = family.build(arch)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in named_tensors(net):
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=random)
            elif tensor.is_floating_point():
                spread = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.3
                tensor.normal_(0, min(0.3, spread), generator=random)
    if moved := moved_groups(net, channels, arch, shape):
        name, gap = next(iter(moved.items()))
        raise ArchError(
            f"family: the order of the channels of {name} matters (it changes the answer by "
            f"{gap:.1g} of its range); import the generator again, which freezes them"
        )
