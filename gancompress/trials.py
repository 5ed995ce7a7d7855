"""A network with random weights, to try what its answer does not depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.arch import Arch
from gancompress.channels import Axis, Layout, block_sizes, permute, sets_of
from gancompress.errors import ArchError
from gancompress.layouts import Choice, axis_sizes
from gancompress.supernet import Build, named_tensors, skeleton_of

# Attributes that name how many groups or heads a module divides its channels into.
DIVIDING = ("num_groups", "groups", "num_heads", "n_heads", "heads", "nhead")
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # of the answer's spread


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

    def _is_same(self, answer: Tensor) -> bool:
        spread = (self._before - self._before.mean()).abs().max()
        return bool((answer - self._before).abs().max() <= TOLERANCE[self._dtype] * spread)

    def dividing(self) -> list[int]:
        """The numbers of groups and heads that the network's modules name, and a few more."""
        named = [
            getattr(module, name) for module in self._net.modules() for name in DIVIDING
            if isinstance(getattr(module, name, None), int)
        ]  # fmt: skip
        return [n for n in dict.fromkeys([*named, 2, 4, 8, 16]) if 1 < n <= 32]

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

    def is_narrowed(self, slot: str, widths: Sequence[int]) -> bool:
        """Whether the narrowest network of the slot answers as this one without the channels that
        it lacks, all of whose weights are 0 then."""
        arch = self._arch.replace({slot: min(widths)})
        net = self._build(arch).eval().requires_grad_(False)
        wide, narrow = self._tensors(), dict(named_tensors(net.to(self._dtype)))
        for name, tensor in wide.items():
            shape = narrow[name].shape if name in narrow else tensor.shape
            for axis in range(min(2, tensor.dim())):
                if shape[axis] != tensor.shape[axis]:
                    kept = torch.arange(tensor.shape[axis]) < shape[axis]
                    tensor = tensor * kept.view(
                        [-1 if i == axis else 1 for i in range(tensor.dim())]
                    )
            wide[name] = tensor
            if name in narrow:
                narrow[name].copy_(tensor[tuple(slice(n) for n in shape)])
        before, self._before = self._before, self._answer(wide)
        try:
            return self._is_same(self._answer({}, net))
        finally:
            self._before = before
