"""The supernet: a bank of named tensors, and windows into it that make any subnet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.arch import Arch, SearchSpace
from gancompress.errors import ArchError
from gancompress.nets.windows import Window, windows_of

Build = Callable[[Arch], nn.Module]

SKELETONS_KEPT = 256  # a skeleton holds no tensors; about 100 kB of Python objects each


def window(tensor: Tensor, shape: torch.Size, starts: Sequence[int] = ()) -> Tensor:
    """The view of `tensor` that a subnet with a tensor of `shape` uses.

    On the channel axes 0 and 1 the slice from `starts` on (0 where not given), on kernel axes the
    centred one.
    """
    for axis, (have, want) in enumerate(zip(tensor.shape, shape, strict=True)):
        if have != want:
            start = starts[axis] if axis < len(starts) else 0
            tensor = tensor.narrow(axis, start if axis < 2 else (have - want) // 2, want)
    return tensor


def named_tensors(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter and buffer of `net`, named as in its state dict."""
    yield from net.named_parameters()
    yield from net.named_buffers()


def skeleton_of(build: Build, arch: Arch) -> nn.Module:
    """The plain network of `arch` on the meta device: names and shapes, no memory."""
    with torch.device("meta"):
        return build(arch)


class _Skeleton:
    """A network on the meta device, with the shape and the place in the bank of each tensor."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        windows = windows_of(net)
        self.tensors = {
            name: (tensor.shape, windows.get(name, Window(name)))
            for name, tensor in named_tensors(net)
        }


class Subnet(nn.Module):
    """One arch of a supernet, callable like the plain network; holds no weights of its own.

    statistics: buffers by name that it has in place of the bank's, see `gancompress.statistics`.
    """

    def __init__(
        self, supernet: Supernet, arch: Arch, statistics: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self._supernet = (supernet,)  # a tuple, so that its parameters are not registered twice
        self.arch = arch
        self._statistics = dict(statistics or {})

    @property
    def skeleton(self) -> nn.Module:
        return self._supernet[0].skeleton(self.arch)

    def forward(self, *inputs: Tensor) -> Tensor:
        borrowed = self._supernet[0].borrow(self.arch) | self._statistics
        out: Tensor = torch.func.functional_call(self.skeleton, borrowed, inputs)
        return out


class Supernet(nn.Module):
    """Every subnet of a search space, sharing one bank of weights.

    The bank holds the element-wise largest shape of every name over the corners of the space.
    A subnet is the plain narrow network, built on the meta device and run with windows into the
    bank, so gradients land in the bank and nothing is ever copied. Networks whose features are
    split into bands use blocks of the same dense kernels (`gancompress.nets.windows`).

    build: arch -> network. The bank starts at zero; fill it with `fill`.
    """

    def __init__(self, build: Build, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self._build = build
        self._skeletons: OrderedDict[Arch, _Skeleton] = OrderedDict()
        self._bank = nn.Module()
        self._names: list[str] = []
        for name, (shape, dtype, trained) in _largest(build, space).items():
            tensor = torch.zeros(shape, dtype=dtype)
            if trained:
                self._bank.register_parameter(_mangled(name), nn.Parameter(tensor))
            else:
                self._bank.register_buffer(_mangled(name), tensor)
            self._names.append(name)

    @property
    def bank(self) -> dict[str, Tensor]:
        """The shared tensors by name; in-place changes are changes of the supernet."""
        return {name: getattr(self._bank, _mangled(name)) for name in self._names}

    def skeleton(self, arch: Arch) -> nn.Module:
        """The weightless network of `arch`, the same object while it is cached; hooks work on it.

        Raises: ArchError if the space does not hold `arch`.
        """
        return self._kept(arch).net.train(self.training)

    def _kept(self, arch: Arch) -> _Skeleton:
        kept = self._skeletons.get(arch)
        if kept is None:
            kept = _Skeleton(skeleton_of(self._build, self.space.check(arch)))
            self._skeletons[arch] = kept
            if len(self._skeletons) > SKELETONS_KEPT:
                self._skeletons.popitem(last=False)
        return kept

    def borrow(self, arch: Arch) -> dict[str, Tensor]:
        """Views into the bank for every parameter and buffer of `arch`."""
        bank = self.bank
        return {
            name: window(bank[at.name], shape, at.starts)
            for name, (shape, at) in self._kept(arch).tensors.items()
        }

    def forward(self, arch: Arch, *inputs: Tensor) -> Tensor:
        """What the subnet `arch` answers to `inputs`."""
        skeleton = self.skeleton(arch)
        out: Tensor = torch.func.functional_call(skeleton, self.borrow(arch), inputs)
        return out

    def subnet(self, arch: Arch, statistics: Mapping[str, Tensor] | None = None) -> Subnet:
        """`arch` of this supernet as a module, still sharing the bank; see `Subnet`."""
        return Subnet(self, arch, statistics).train(self.training)

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """The plain network of `arch` with its own copy of the weights; equal to the last bit."""
        net = self._build(self.space.check(arch))
        borrowed = self.borrow(arch)
        for name, tensor in named_tensors(net):
            tensor.copy_(borrowed[name])
        return net.to(next(iter(borrowed.values())).device).train(self.training)

    @torch.no_grad()
    def absorb(self, net: nn.Module, arch: Arch) -> None:
        """Copies the weights of `net`, a plain network of `arch`, to where `arch` has its own."""
        borrowed = self.borrow(arch)
        for name, tensor in named_tensors(net):
            borrowed[name].copy_(tensor)

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies tensors into the bank by name; where sizes differ, the window both share."""
        bank = self.bank
        for name, tensor in tensors.items():
            if name in bank:
                shared = torch.Size(map(min, tensor.shape, bank[name].shape))
                window(bank[name], shared).copy_(window(tensor, shared))


def slot_axes(build: Build, arch: Arch, slot: str) -> dict[str, tuple[int, ...]]:
    """Which axes of which tensors belong to a width slot, by the tensor's name.

    Discovered: two skeletons that differ in that slot are built; the axes whose size moved are
    the slot's.
    Raises: ArchError if the slot is not a width above 1.
    """
    width = arch.width(slot)
    if width < 2:
        raise ArchError(f"arch: {slot}={width}; a width above 1 is needed to discover its axes")
    narrow = dict(named_tensors(skeleton_of(build, arch.replace({slot: width - 1}))))
    axes: dict[str, tuple[int, ...]] = {}
    for name, tensor in named_tensors(skeleton_of(build, arch)):
        before = narrow[name].shape if name in narrow else tensor.shape
        moved = [i for i in range(min(2, tensor.dim())) if before[i] != tensor.shape[i]]
        if moved:
            axes[name] = tuple(moved)
    return axes


def channel_sets(
    axes: Mapping[str, tuple[int, ...]],
    tensors: Mapping[str, Tensor],
    bundles: Mapping[str, int] | None = None,
) -> list[dict[str, tuple[int, ...]]]:
    """The axes of one slot, see `slot_axes`, in sets of equal size.

    A slot may stand for several sets of channels, such as a block's and those of the layers that
    make its norms' weights: each set has an order of its own. bundles: see `windows.bundles_of`; an
    axis of bundles is as large as there are of them.
    """

    def size_of(name: str, axis: int) -> int:
        members = (bundles or {}).get(name, 1) if axis == 0 else 1
        return tensors[name].shape[axis] // members

    sizes = dict.fromkeys(size_of(name, axis) for name in axes for axis in axes[name])
    found = []
    for size in sizes:
        of_size = {
            name: tuple(axis for axis in moved if size_of(name, axis) == size)
            for name, moved in axes.items()
        }
        found.append({name: moved for name, moved in of_size.items() if moved})
    return found


def permute(
    tensors: Mapping[str, Tensor], axes: Mapping[str, tuple[int, ...]], order: Tensor
) -> dict[str, Tensor]:
    """`tensors` with every axis of one set put in `order`; the function they compute is the same.

    axes: one of `channel_sets`. order (C,) int64: new channel i is old channel order[i]; an axis of
    a multiple of C moves in bundles.
    """
    permuted = dict(tensors)
    for name, moved in axes.items():
        for axis in moved:
            members = permuted[name].shape[axis] // len(order)
            whole = order[:, None] * members + torch.arange(members, device=order.device)
            permuted[name] = permuted[name].index_select(axis, whole.flatten())
    return permuted


def _mangled(name: str) -> str:
    return name.replace(".", "/")  # a module's own tensors may not have dots in their names


def _largest(build: Build, space: SearchSpace) -> dict[str, tuple[torch.Size, torch.dtype, bool]]:
    """Name in the bank -> (largest shape over the corners, dtype, whether it is trained)."""
    found: dict[str, tuple[torch.Size, torch.dtype, bool]] = {}
    for corner in space.corners():
        skeleton = _Skeleton(skeleton_of(build, corner))
        for name, tensor in named_tensors(skeleton.net):
            at = skeleton.tensors[name][1]
            starts = (*at.starts, *[0] * (tensor.dim() - len(at.starts)))
            shape = torch.Size(map(sum, zip(tensor.shape, starts, strict=True)))
            if at.name in found:
                shape = torch.Size(map(max, shape, found[at.name][0]))
            found[at.name] = (shape, tensor.dtype, isinstance(tensor, nn.Parameter))
    return found
