"""What every generator family owes, with every operator: checks that test modules call.

A new entry of `FAMILIES` or `OPERATORS` appears in `cases` by itself. `Case` also fits a `build`
written by a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gancompress.arch import Arch, SearchSpace
from gancompress.cost import CostModel, network_cost
from gancompress.nets import FAMILIES
from gancompress.nets.blocks import OPERATORS
from gancompress.supernet import (
    Build,
    Supernet,
    named_tensors,
    permute,
    skeleton_of,
    slot_axes,
    window,
)

WIDTHS = (7, 4, 3)  # odd ones too, so that no window happens to be aligned


@dataclass(frozen=True)
class Case:
    """One space to check, and the shape (N, C, H, W) of its inputs."""

    name: str
    build: Build
    space: SearchSpace
    shape: tuple[int, int, int, int]

    def archs(self, count: int, seed: int = 0) -> list[Arch]:
        """Both ends of the space, and random archs up to `count` in all."""
        rng = np.random.default_rng(seed)
        drawn = [self.space.sample(rng) for _ in range(count - 2)]
        return [self.space.largest, self.space.smallest, *drawn]

    def supernet(self, seed: int = 0) -> Supernet:
        """A supernet with random weights and plausible statistics in every buffer."""
        generator = torch.Generator().manual_seed(seed)
        supernet = Supernet(self.build, self.space)
        with torch.no_grad():
            for name, tensor in supernet.bank.items():
                if tensor.is_floating_point():
                    tensor.normal_(0, 0.3, generator=generator)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
        return supernet

    def images(self, seed: int = 0) -> Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))


def cases(blocks: int = 4) -> list[Case]:
    """Every family with every operator alone, and with all of them to choose from per group.

    blocks: repeated blocks; four make groups of unequal size.
    """
    choices = {**{op: (op,) for op in OPERATORS}, "mixed": tuple(OPERATORS)}
    made = []
    for name, family_class in FAMILIES.items():
        family = family_class(in_channels=2, out_channels=3, blocks=blocks)
        side = 4 * family.size_multiple
        for label, ops in choices.items():
            space = family.space(WIDTHS, ops)
            made.append(Case(f"{name}-{label}", family.build, space, (2, 2, side, side)))
    return made


@contextmanager
def conditions(*, bf16: bool, grad: bool) -> Iterator[None]:
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        yield


def check_output_equals_extracted(
    case: Case, *, training: bool, bf16: bool, channels_last: bool, grad: bool
) -> None:
    """A supernet answers as the network extracted from it, to the last bit."""
    supernet = case.supernet().train(training)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = case.images().to(memory_format=layout)
    seed = 8 * training + 4 * bf16 + 2 * channels_last + grad  # other archs in every condition
    for arch in case.archs(4, seed):
        net = supernet.extract(arch)  # before running: statistics move in training
        assert net.training is training
        with conditions(bf16=bf16, grad=grad):
            ours, theirs = supernet(arch, x), net(x)
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), arch.key
        for name, tensor in net.named_buffers():
            assert torch.equal(window(supernet.bank[name], tensor.shape), tensor), name


def check_gradients_equal_extracted(case: Case) -> None:
    """Gradients land in the bank: the extracted network's in its window, zero elsewhere."""
    supernet = case.supernet()
    x = case.images()
    for arch in case.archs(4, seed=1):
        supernet.zero_grad(set_to_none=True)
        net = supernet.extract(arch)
        weight = torch.randn(net(x).shape, generator=torch.Generator().manual_seed(2))
        (supernet(arch, x) * weight).sum().backward()
        (net(x) * weight).sum().backward()
        own = dict(net.named_parameters())
        for name, tensor in supernet.bank.items():
            if name not in own:
                assert tensor.grad is None, name
                continue
            expected = torch.zeros_like(tensor)
            grad = own[name].grad
            assert grad is not None and tensor.grad is not None, name
            window(expected, grad.shape).copy_(grad)
            torch.testing.assert_close(tensor.grad, expected, rtol=1e-5, atol=1e-6)


def check_bank_holds_the_largest_shapes(case: Case) -> None:
    """The bank is the element-wise largest of every name over all archs, not the corners alone."""
    largest: dict[str, tuple[int, ...]] = {}
    rng = np.random.default_rng(3)
    drawn = [case.space.sample(rng) for _ in range(20)]
    for arch in [*case.space.corners(), *drawn, case.space.smallest]:
        for name, tensor in named_tensors(skeleton_of(case.build, arch)):
            before = largest.get(name, (0,) * tensor.dim())
            largest[name] = tuple(map(max, before, tensor.shape))
    bank = Supernet(case.build, case.space).bank
    assert {name: tuple(tensor.shape) for name, tensor in bank.items()} == largest


def check_skeletons_hold_no_memory(case: Case) -> None:
    supernet = case.supernet()
    for arch in case.archs(4):
        skeleton = supernet.skeleton(arch)
        assert {tensor.device.type for _, tensor in named_tensors(skeleton)} == {"meta"}
        supernet(arch, case.images())
        assert {tensor.device.type for _, tensor in named_tensors(skeleton)} == {"meta"}
        assert supernet.skeleton(arch) is skeleton


def check_permuted_slots_compute_the_same(case: Case) -> None:
    """Permuting the axes of any one width slot together leaves the function unchanged."""
    supernet = case.supernet().eval()
    x = case.images()
    generator = torch.Generator().manual_seed(4)
    for arch in case.space.corners():
        net = supernet.extract(arch)
        before = net(x)
        moved = 0
        for slot, value in arch.slots:
            if isinstance(value, int):
                moved += _permute(case.build, net, arch, slot, generator)
                torch.testing.assert_close(net(x), before, rtol=1e-4, atol=2e-5)
        assert moved > 0


def _permute(
    build: Build, net: nn.Module, arch: Arch, slot: str, generator: torch.Generator
) -> int:
    """Permutes one slot's axes in place; how many tensors changed."""
    tensors = {name: tensor.detach() for name, tensor in named_tensors(net)}
    axes = slot_axes(build, arch, slot)
    (size,) = {tensors[name].shape[axis] for name, moved in axes.items() for axis in moved}
    order = torch.randperm(size, generator=generator)
    changed = permute(tensors, axes, order)
    count = sum(not torch.equal(changed[name], tensors[name]) for name in tensors)
    for name, tensor in tensors.items():
        tensor.copy_(changed[name])
    return count


def check_cost_model_equals_measurement(case: Case, count: int = 8) -> None:
    """Cached costs equal those of the whole network, and torch's own count; in any order."""
    shape = case.shape[1:]
    model = CostModel(case.build, case.space, shape)
    archs = case.archs(count, seed=5)
    for arch in [*archs, *reversed(archs)]:
        with torch.device("meta"):
            net = case.build(arch)
            cost = model(arch)
            assert cost == network_cost(net, torch.empty(1, *shape)), arch.key
    for arch in archs[:4]:
        with torch.device("meta"):
            net = case.build(arch)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                net(torch.empty(1, *shape))
        assert 2 * model(arch).macs_true == counter.get_total_flops(), arch.key
        assert model(arch).params == sum(p.numel() for p in net.parameters()), arch.key
