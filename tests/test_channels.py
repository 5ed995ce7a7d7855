"""Blocks of channels: how they are found, cut and put in order."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families import family_of
from gancompress.supernet.channels import (
    Block,
    Channels,
    block_sizes,
    leading,
    permute,
    sets_of,
    shared_blocks,
)
from gancompress.supernet.layouts import declared
from gancompress.supernet.supernet import named_tensors

FAMILY = family_of("resnet", blocks=1)
ARCH = Arch.of("toy", {"a": 4, "b": 6})
A, B = Block("a", Fraction(1)), Block("b", Fraction(1, 2))


class Toy(nn.Module):
    """Kernel size and width as slots, batch norm, no family behind it."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        width, kernel = arch.width("width"), arch.width("kernel")
        self.first = nn.Conv2d(2, width, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(width)
        self.up = nn.ConvTranspose2d(width, width, kernel, 2, kernel // 2, 1)
        self.last = nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.up(torch.relu(self.norm(self.first(x)))))
        return out


def test_axes_of_a_width_are_found_and_those_of_a_kernel_size_are_none() -> None:
    arch = Arch.of("toy", {"width": 5, "kernel": 5})
    found = declared(Toy, [arch], {"width": (5, 3), "kernel": (5, 3)})
    assert set(found.layouts) == {
        ("first.weight", 0), ("first.bias", 0), ("norm.weight", 0), ("norm.bias", 0),
        ("norm.running_mean", 0), ("norm.running_var", 0), ("up.weight", 0), ("up.weight", 1),
        ("up.bias", 0), ("last.weight", 1),
    }  # fmt: skip
    assert set(found.layouts.values()) == {(Block("width", Fraction(1)),)}


def test_toy_width_can_be_permuted() -> None:
    arch = Arch.of("toy", {"width": 5, "kernel": 3})
    torch.manual_seed(0)
    net, x = Toy(arch).eval(), torch.randn(2, 2, 6, 6)
    tensors = {name: tensor.detach() for name, tensor in named_tensors(net)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    (moves,) = sets_of(declared(Toy, [arch], {"width": (5, 3)}).layouts, shapes, arch, "width")
    order = torch.tensor([4, 2, 0, 3, 1])
    changed = permute(tensors, moves, order)
    assert torch.equal(changed["up.weight"], tensors["up.weight"][order][:, order])
    out = torch.func.functional_call(net, changed, (x,))
    torch.testing.assert_close(out, net(x), rtol=1e-4, atol=2e-5)


def test_axes_of_a_resnet_inner_width_are_the_block_s_two_convolutions() -> None:
    found = declared(FAMILY.build, [FAMILY.uniform(4)], {"body.0.width": (4, 2)})
    assert set(found.layouts) == {
        ("body.0.conv1.weight", 0), ("body.0.conv1.bias", 0), ("body.0.conv2.weight", 1),
    }  # fmt: skip


def test_block_sizes_are_those_of_the_slots() -> None:
    assert block_sizes((A, B, Block("", Fraction(3))), 10, ARCH) == [4, 3, 3]
    assert block_sizes((A, A), 8, ARCH) == [4, 4]
    with pytest.raises(ArchError, match="9 channels with a=4, b=6; they do not split"):
        block_sizes((A, B), 9, ARCH)
    with pytest.raises(ArchError, match="do not split into whole blocks"):
        block_sizes((A, A), 7, ARCH)


def test_leading_takes_the_leading_channels_of_every_block() -> None:
    x = torch.arange(10)
    assert leading(x, 0, [4, 3, 3], [2, 1, 3]).tolist() == [0, 1, 4, 7, 8, 9]


def test_shared_blocks_are_views_of_what_both_have() -> None:
    one, other = torch.zeros(7, 4), torch.ones(5, 6)
    axes = {0: ([4, 3], [3, 2]), 1: ([2, 2], [3, 3])}
    for mine, theirs in shared_blocks(one, other, axes):
        mine.copy_(theirs)
    rows = torch.tensor([1.0, 1, 1, 0, 1, 1, 0])
    assert torch.equal(one, rows[:, None].expand(7, 4))


def test_permute_moves_blocks_alike_and_bundles_together() -> None:
    layouts = {
        ("w", 0): (A, A),
        ("v", 0): (Block("a", Fraction(2), bundle=2), Block("", Fraction(1))),
    }
    tensors = {"w": torch.arange(8), "v": torch.arange(9)}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    (moves,) = sets_of(layouts, shapes, ARCH, "a")
    changed = permute(tensors, moves, torch.tensor([3, 0, 2, 1]))
    assert changed["w"].tolist() == [3, 0, 2, 1, 7, 4, 6, 5]
    assert changed["v"].tolist() == [6, 7, 0, 1, 4, 5, 2, 3, 8]


def test_segments_are_told_of_axes_of_several_blocks_alone() -> None:
    channels = Channels({("w", 0): (A,), ("w", 1): (A, B)})
    assert channels.segments("w", (4, 7), ARCH) == {1: [4, 3]}
