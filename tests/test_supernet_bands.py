"""Shared weights of all operators and splits: size, blocks, and that they hold every arch."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import conformance
from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.layers.bands import band_conv
from gancompress.nets.layers.features import ONE, Bands, converted, merged
from gancompress.nets.layers.views import TensorView, views_of
from gancompress.supernet.supernet import Supernet, view_of

OPS = ("dense", "separable")
MIXED = {case.name: case for case in conformance.cases() if case.name.endswith("mixed")}


def test_window_starts_where_it_is_told_on_channels_alone() -> None:
    tensor = torch.arange(4 * 5 * 3 * 3).reshape(4, 5, 3, 3)
    shape = torch.Size((2, 2, 1, 3))
    assert torch.equal(view_of(tensor, shape, (1, 3)), tensor[1:3, 3:5, 1:2, :])
    assert torch.equal(view_of(tensor, shape, (2,)), tensor[2:4, :2, 1:2, :])
    assert torch.equal(view_of(tensor, torch.Size((4, 2, 3, 3)), (0, 3)), tensor[:, 3:])


@pytest.mark.parametrize("name", conformance.THOROUGH)
@pytest.mark.parametrize("op", OPS)
def test_bank_is_as_large_whatever_bands_the_space_has(name: str, op: str) -> None:
    family = family_of(name, blocks=1)
    every = dict.fromkeys(family.stages, (op,))
    splits = ((ONE,), (ONE, Bands(0.5)), (Bands(0.5), Bands(0.25, 0.25)), (Bands(0.25, 0.25),))
    shapes = []
    for listed in splits:
        bands = dict.fromkeys(family.stages[:-1], listed)
        shared = Supernet(family.build, family.space((32, 16), every, bands)).shared
        shapes.append({name: tensor.shape for name, tensor in shared.items()})
    assert all(found == shapes[0] for found in shapes[1:])
    assert shapes[0]["stem.conv.weight" if op == "dense" else "stem.conv.pointwise.weight"][0] == 32


def test_operators_of_a_stage_have_tensors_of_their_own() -> None:
    family = family_of("resnet", blocks=1)
    both = dict.fromkeys(family.stages, OPS)
    banks = [
        set(Supernet(family.build, family.space((8,), dict.fromkeys(family.stages, (op,)))).shared)
        for op in OPS
    ]
    together = set(Supernet(family.build, family.space((8,), both)).shared)
    assert together == banks[0] | banks[1]
    assert {n for n in banks[0] & banks[1] if n.endswith("weight")} == set()


@pytest.mark.parametrize("name", MIXED)
def test_every_tensor_of_a_split_arch_is_a_block_of_the_dense_one(name: str) -> None:
    """Equal widths and operators read the same numbers, block by block."""
    case = MIXED[name]
    supernet = case.supernet()
    for arch in case.archs(6, seed=9):
        net = supernet.extract(arch)
        plain = dict(supernet.extract(conformance.undivided(arch)).named_parameters())
        for part, tensor in net.named_parameters():
            at = views_of(net).get(part, TensorView(part))
            assert torch.equal(view_of(plain[at.name], tensor.shape, at.starts), tensor), part


def thirds() -> tuple[ResNet, SearchSpace]:
    """A trunk that is only widest where no group of blocks is split into thirds."""
    family = family_of("resnet", blocks=3)
    widths = dict.fromkeys(family.width_slots, (8,)) | {"down.1.width": (8, 6)}
    widths |= {f"{stage}.width": (12, 6) for stage in family.body}
    return family, family.space(widths, OPS, (Bands(1 / 3), ONE))


def test_bank_holds_every_arch_where_splits_bind_widths() -> None:
    family, space = thirds()
    assert space.rules and space.largest.width("down.1.width") == 6
    supernet, rng = Supernet(family.build, space), np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(20)]
    for op in OPS:  # the widest trunk, with each operator
        values = {f"{stage}.bands": "0" for stage in family.body}
        values |= {f"{stage}.op": op for stage in family.body}
        drawn.append(space.largest.replace({**values, "down.1.width": 8}))
    for arch in drawn:
        for name, tensor in supernet.extract(arch).named_parameters():
            assert supernet.borrow(arch)[name].shape == tensor.shape, (name, arch.key)


class OneConv(nn.Module):
    """A convolution between two splits, undivided at both ends."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.bands = Bands.parse(arch.op("in"))
        out = Bands.parse(arch.op("out"))
        self.conv = band_conv(16, 32, 3, padding=1, bands_in=self.bands, bands_out=out)

    def forward(self, x: Tensor) -> Tensor:
        return merged(self.conv(converted(x, self.bands)))


@torch.no_grad()
def test_split_kernels_of_a_dense_bank_answer_as_it_does_on_constants() -> None:
    """At the centre; three bands as the kernel without the paths between high and low band."""
    splits = ("0", "0.5", "0.25", "0.25+0.25")
    space = SearchSpace.of("conv", {"in": splits, "out": splits[:3]})
    supernet = conformance.Case("conv", OneConv, space, (1, 16, 32, 32)).supernet()
    x = torch.randn(2, 16, 1, 1).expand(2, 16, 32, 32)
    dense = Arch.of("conv", {"in": "0", "out": "0"})
    expected = supernet(dense, x)[..., 16, 16]
    weight, bias = supernet.shared["conv.weight"], supernet.shared["conv.bias"]
    kernel = weight.sum((2, 3))  # what a constant is multiplied with
    torch.testing.assert_close(expected, x[..., 0, 0] @ kernel.T + bias, atol=1e-4, rtol=0)
    for arch in space.all():
        found = supernet(arch, x)[..., 16, 16]
        if arch["in"] == "0.25+0.25":
            kept = kernel.clone()
            high = Bands.parse(arch.op("out")).channels(32)[0]
            kept[:high, 12:] = 0
            wanted = x[..., 0, 0] @ kept.T + bias
            assert (found - expected).abs().max() > 0.1
        else:
            wanted = expected
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
