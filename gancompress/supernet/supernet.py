"""The supernet: named tensors that all subnets share, and the views into them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.layers.views import TensorView, views_of
from gancompress.supernet.channels import Channels, Sizes, leading, shared_blocks

Build = Callable[[Arch], nn.Module]

SKELETONS_KEPT = 64  # A skeleton holds no tensors, but some 300 kB of Python objects.


def view_of(tensor: Tensor, shape: torch.Size, starts: Sequence[int] = ()) -> Tensor:
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
    """A network on the meta device, with each tensor's shape and place in the shared weights.

    blocks: of the axes that consist of several, their sizes, by tensor and axis.
    """

    def __init__(self, net: nn.Module, arch: Arch, channels: Channels) -> None:
        self.net = net
        views = views_of(net)
        self.tensors = {
            name: (tensor.shape, views.get(name, TensorView(name)))
            for name, tensor in named_tensors(net)
        }
        found = {n: channels.segments(n, shape, arch) for n, (shape, _) in self.tensors.items()}
        self.blocks = {name: sizes for name, sizes in found.items() if sizes}


class Subnet(nn.Module):
    """One arch of a supernet, callable like the plain network; holds no weights of its own.

    statistics: buffers by name that it has in place of the shared ones, see
    `supernet.reestimation`.
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
        return self._supernet[0].answer(self.arch, inputs, self._statistics)


class Supernet(nn.Module):
    """Every subnet of a search space, sharing one set of weights.

    The shared weights have the element-wise largest shape of every name over the corners of the
    space. A subnet is the plain narrow network, built on the meta device and run with views into
    the shared weights, so gradients land in them and nothing is ever copied. Networks whose
    features are split into bands use blocks of the same dense kernels
    (`gancompress.nets.layers.views`).

    build: arch -> network. channels: how their axes lie, see `supernet.proof`; without it every
    axis is one block, and there is none that may be sorted. They start at zero; fill them with
    `fill`.
    """

    def __init__(self, build: Build, space: SearchSpace, channels: Channels | None = None) -> None:
        super().__init__()
        self.space = space
        self.channels = Channels() if channels is None else channels
        self._build = build
        self._skeletons: OrderedDict[Arch, _Skeleton] = OrderedDict()
        self._shared = nn.Module()
        self._names: list[str] = []
        self._blocks: dict[str, dict[int, Sizes]] = {}
        for name, (shape, dtype, trained) in _largest(build, space).items():
            tensor = torch.zeros(shape, dtype=dtype)
            self._blocks[name] = self.channels.segments(name, shape, space.largest)
            if trained:
                self._shared.register_parameter(_mangled(name), nn.Parameter(tensor))
            else:
                self._shared.register_buffer(_mangled(name), tensor)
            self._names.append(name)

    @property
    def shared(self) -> dict[str, Tensor]:
        """The shared tensors by name; in-place changes are changes of the supernet."""
        return {name: getattr(self._shared, _mangled(name)) for name in self._names}

    def skeleton(self, arch: Arch) -> nn.Module:
        """The weightless network of `arch`, the same object while it is cached; hooks work on it.

        Raises: ArchError if the space does not hold `arch`.
        """
        return self._kept(arch).net.train(self.training)

    def _kept(self, arch: Arch) -> _Skeleton:
        kept = self._skeletons.get(arch)
        if kept is None:
            net = skeleton_of(self._build, self.space.check(arch))
            kept = _Skeleton(net, arch, self.channels)
            self._skeletons[arch] = kept
            if len(self._skeletons) > SKELETONS_KEPT:
                self._skeletons.popitem(last=False)
        return kept

    def borrow(self, arch: Arch) -> dict[str, Tensor]:
        """Every parameter and buffer of `arch`: views into the shared weights, through which
        gradients and changes in place reach it.

        Where an axis is cut in several blocks they are copies, which gradients alone reach.
        """
        shared, kept = self.shared, self._kept(arch)
        borrowed = {}
        for name, (shape, at) in kept.tensors.items():
            tensor = shared[at.name]
            for axis, sizes in kept.blocks.get(name, {}).items():
                if tensor.shape[axis] != shape[axis]:
                    tensor = leading(tensor, axis, self._blocks[name][axis], sizes)
            borrowed[name] = view_of(tensor, shape, at.starts)
        return borrowed

    def positions(self, arch: Arch, name: str, axis: int) -> Tensor:
        """Where the channels lie, on an axis of a shared tensor, that `arch` uses: (n,) int64.

        For tensors that `arch` has under their own names.
        """
        kept = self._kept(arch)
        sizes = kept.blocks.get(name, {}).get(axis)
        every = torch.arange(self.shared[name].shape[axis])
        if sizes is None:
            return every[: kept.tensors[name][0][axis]]
        return leading(every, 0, self._blocks[name][axis], sizes)

    def forward(self, arch: Arch, *inputs: Tensor) -> Tensor:
        """What the subnet `arch` answers to `inputs`."""
        return self.answer(arch, inputs, {})

    def answer(
        self, arch: Arch, inputs: tuple[Tensor, ...], statistics: Mapping[str, Tensor]
    ) -> Tensor:
        """What `arch` answers to `inputs`, with buffers by name in place of the shared ones."""
        skeleton, borrowed = self.skeleton(arch), self.borrow(arch)
        out: Tensor = torch.func.functional_call(skeleton, {**borrowed, **statistics}, inputs)
        if self.training:
            self._keep_buffers(arch, borrowed)
        return out

    @torch.no_grad()
    def _keep_buffers(self, arch: Arch, borrowed: Mapping[str, Tensor]) -> None:
        """Copies back what a call changed in place of the buffers that were borrowed as copies."""
        for name in self._kept(arch).blocks:
            if not isinstance(self.shared[name], nn.Parameter):
                self._put(arch, name, borrowed[name])

    def _put(self, arch: Arch, name: str, tensor: Tensor) -> None:
        """Copies a tensor of `arch` to its place in the shared weights."""
        kept = self._kept(arch)
        at = kept.tensors[name][1]
        own, mine = kept.blocks.get(name, {}), self._blocks.get(name, {})
        axes = {axis: (mine[axis], sizes) for axis, sizes in own.items()}
        for place, part in shared_blocks(self.shared[at.name], tensor, axes):
            view_of(place, part.shape, at.starts).copy_(part)

    def subnet(self, arch: Arch, statistics: Mapping[str, Tensor] | None = None) -> Subnet:
        """`arch` of this supernet as a module, still sharing the weights; see `Subnet`."""
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
        for name, tensor in named_tensors(net):
            self._put(arch, name, tensor)

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, Tensor], arch: Arch | None = None) -> None:
        """Copies tensors into the shared weights by name; where sizes differ, the part both have.

        arch: whose the tensors are, which says how large their blocks are.
        """
        shared = self.shared
        for name, tensor in tensors.items():
            if name not in shared:
                continue
            axes = {}
            if arch is not None:
                own = self.channels.segments(name, tensor.shape, arch)
                axes = {axis: (self._blocks[name][axis], sizes) for axis, sizes in own.items()}
            for place, part in shared_blocks(shared[name], tensor, axes):
                both = torch.Size(map(min, part.shape, place.shape))
                view_of(place, both).copy_(view_of(part, both))


def _mangled(name: str) -> str:
    return name.replace(".", "/")  # a module's own tensors may not have dots in their names


def _largest(build: Build, space: SearchSpace) -> dict[str, tuple[torch.Size, torch.dtype, bool]]:
    """Name -> (largest shape over the corners, dtype, whether it is trained)."""
    found: dict[str, tuple[torch.Size, torch.dtype, bool]] = {}
    for corner in space.corners():
        skeleton = _Skeleton(skeleton_of(build, corner), corner, Channels())
        for name, tensor in named_tensors(skeleton.net):
            at = skeleton.tensors[name][1]
            starts = (*at.starts, *[0] * (tensor.dim() - len(at.starts)))
            shape = torch.Size(map(sum, zip(tensor.shape, starts, strict=True)))
            if at.name in found:
                shape = torch.Size(map(max, shape, found[at.name][0]))
            found[at.name] = (shape, tensor.dtype, isinstance(tensor, nn.Parameter))
    return found
