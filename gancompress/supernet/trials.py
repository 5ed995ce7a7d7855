"""A network with random weights, to try what its answer does not depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.supernet.channels import (
    Axis,
    Layout,
    Sizes,
    block_sizes,
    leading,
    permute,
    sets_of,
)
from gancompress.supernet.layouts import Choice, axis_sizes
from gancompress.supernet.supernet import Build, named_tensors, skeleton_of

# Attributes that name how many groups or heads a module divides its channels into.
DIVIDING = ("num_groups", "groups", "num_heads", "n_heads", "heads", "nhead")
# The attributes of modules that a number of groups divides.
SIZES = ("num_channels", "out_channels", "embed_dim", "out_features")
MOST_PARTS = 64
# The largest difference that counts as equal, relative to the output's spread.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}


class Trial:
    """A network of one arch with random weights, and what it answers to a random input."""

    def __init__(
        self,
        build: Build,
        arch: Arch,
        widths: Mapping[str, Sequence[int]],
        shape: Sequence[int],
    ) -> None:
        self._build, self._arch, self._widths = build, arch, widths
        self._random = torch.Generator().manual_seed(0)
        self.sizes = axis_sizes(build, arch, widths)
        self._net = build(arch).eval().requires_grad_(False)
        self._fill()
        self._x = torch.randn(1, *shape, generator=self._random)
        self._dtype = torch.float64
        try:
            self._before = self._answer({})
        except RuntimeError:  # tensors that it makes as it runs may be of float32
            self._dtype = torch.float32
            self._before = self._answer({})
        if not torch.equal(self._answer({}), self._before):
            raise ArchError(
                f"arch {arch.compact}: the network answers the same input differently each time; "
                "random numbers in forward() cannot be distilled, take them off outside of training"
            )

    def _fill(self) -> None:
        """Random weights: those of a norm, alike at first, would hide another order."""
        for name, tensor in named_tensors(self._net):
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=self._random)
            elif isinstance(tensor, nn.Parameter) or name.endswith("running_mean"):
                spread = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.3
                tensor.normal_(0, min(0.3, spread), generator=self._random)

    def _answer(self, changed: Mapping[str, Tensor], net: nn.Module | None = None) -> Tensor:
        net = (self._net if net is None else net).to(self._dtype)
        with torch.no_grad():
            out: Tensor = torch.func.functional_call(net, dict(changed), (self._x.to(self._dtype),))
        return out

    def _is_same(self, answer: Tensor, before: Tensor | None = None) -> bool:
        wanted = self._before if before is None else before
        spread = (wanted - wanted.mean()).abs().max()
        return bool((answer - wanted).abs().max() <= TOLERANCE[self._dtype] * spread)

    def divisions(self) -> tuple[list[int], list[int]]:
        """The numbers of groups and heads that modules name, where they do not change with widths;
        and the channels of one group, where those do not."""
        widths = {slot: min(allowed) for slot, allowed in self._widths.items()}
        narrow = dict(skeleton_of(self._build, self._arch.replace(widths)).named_modules())
        counts, members = dict[int, None](), dict[int, None]()
        for name, module in self._net.named_modules():
            for count, size in _divided(module):
                same = [n for n, _ in _divided(narrow[name])] if name in narrow else []
                counts |= {count: None} if count in same else {}
                members |= {size: None} if count not in same else {}
        return [n for n in counts if 1 < n <= MOST_PARTS], [n for n in members if n > 1]

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor.to(self._dtype) if tensor.is_floating_point() else tensor
                for name, tensor in named_tensors(self._net)}  # fmt: skip

    def holds(self, choice: Choice, slots: Sequence[str]) -> bool:
        """Whether the network answers the same with the channels of `slots` in another order."""
        layouts = {axis: choice[size] for axis, size in self.sizes.items() if size in choice}
        changed = self._tensors()
        shapes = {name: tensor.shape for name, tensor in changed.items()}
        try:
            self._must_split(layouts, slots)
            sets = [one for s in slots for one in sets_of(layouts, shapes, self._arch, s)]
            for moves in sets:
                items = len(next(iter(moves.values())))
                order = torch.randperm(items, generator=self._random)
                if items > 1 and torch.equal(order, torch.arange(items)):
                    order = order.flip(0)
                changed = permute(changed, moves, order)
        except (ArchError, RuntimeError):  # the blocks are not whole
            return False
        return self._is_same(self._answer(changed))

    def moves(self, choice: Choice, slot: str) -> bool:
        """Whether there is another order of every set of the slot's channels."""
        layouts = {axis: choice[size] for axis, size in self.sizes.items() if size in choice}
        shapes = {name: tensor.shape for name, tensor in named_tensors(self._net)}
        sets = sets_of(layouts, shapes, self._arch, slot)
        return bool(sets) and all(len(rows) > 1 for one in sets for rows in one.values())

    def _must_split(self, layouts: Mapping[Axis, Layout], slots: Sequence[str]) -> None:
        """Raises: ArchError if some width of the slots leaves blocks that are not whole."""
        cut = {axis: layout for axis, layout in layouts.items() if len(layout) > 1}
        for slot in slots if cut else ():
            for width in self._widths[slot]:
                arch = self._arch.replace({slot: width})
                tensors = dict(named_tensors(skeleton_of(self._build, arch)))
                for (name, axis), layout in cut.items():
                    if name in tensors:
                        block_sizes(layout, tensors[name].shape[axis], arch)

    def must_tell(self) -> None:
        """Raises: ArchError if the answer is the same with channels out of order on every axis."""
        changed = self._tensors()
        for name, axis in self.sizes:
            order = torch.randperm(changed[name].shape[axis], generator=self._random)
            changed[name] = changed[name].index_select(axis, order)
        if self.sizes and self._is_same(self._answer(changed)):
            raise ArchError(
                f"arch {self._arch.compact}: with random weights the network's answer does not "
                "depend on them; give it larger images or weaker norms"
            )

    def is_narrowed(self, slot: str, choice: Choice) -> bool:
        """Whether the narrowest network of the slot answers as this one without the channels that
        it lacks, all of whose weights are 0 then."""
        arch = self._arch.replace({slot: min(self._widths[slot])})
        net = self._build(arch).eval().requires_grad_(False).to(self._dtype)
        wide, narrow = self._tensors(), dict(named_tensors(net))
        try:
            for name, tensor in narrow.items():
                kept = wide[name]
                for axis in range(min(2, tensor.dim())):
                    if tensor.shape[axis] != kept.shape[axis]:
                        layout = choice[self.sizes[name, axis]]
                        want = block_sizes(layout, tensor.shape[axis], arch)
                        have = block_sizes(layout, kept.shape[axis], self._arch)
                        wide[name] = _without(wide[name], axis, have, want)
                        kept = leading(kept, axis, have, want)
                tensor.copy_(kept)
        except (ArchError, KeyError, RuntimeError):  # the tensors are others, or not so divided
            return False
        answer = self._answer(wide)
        return self._is_same(self._answer({}, net), answer)


def _without(tensor: Tensor, axis: int, have: Sizes, want: Sizes) -> Tensor:
    """`tensor` with zeros in place of the channels that a narrower one lacks."""
    kept = torch.cat([torch.arange(size) < most for size, most in zip(have, want, strict=True)])
    return tensor * kept.view([-1 if i == axis else 1 for i in range(tensor.dim())])


def _divided(module: nn.Module) -> list[tuple[int, int]]:
    """The groups or heads that a module names, and the channels of each."""
    named = [value for name in DIVIDING if isinstance(value := getattr(module, name, None), int)]
    channels = next((v for n in SIZES if isinstance(v := getattr(module, n, None), int)), 0)
    return [(n, channels // n if channels else 1) for n in named if n > 1]
