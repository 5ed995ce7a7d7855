"""Proofs of which channels are alike: for every family, and for generators of one's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ownnets
import pytest
import torch
from torch import Tensor, nn

import conformance
from gancompress.archs.arch import Arch, SearchSpace
from gancompress.distill.initialise import fill_from_teacher, sort_channels
from gancompress.errors import ArchError
from gancompress.nets.families.own import OwnGenerator
from gancompress.supernet.channels import Channels, leading
from gancompress.supernet.layouts import declared, widths_of
from gancompress.supernet.proof import prove
from gancompress.supernet.supernet import Supernet, named_tensors

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
# Of each the blocks on the axes that have several, at widths a=6, b=5.
BLOCKS = {
    ownnets.Cat: {("last.weight", 1): [6, 5, 3, 6]},
    ownnets.Chunk: {("both.weight", 0): [6, 6], ("both.bias", 0): [6, 6]},
    ownnets.GLU: {
        **{(f"norm.{name}", 0): [6, 6]
           for name in ("weight", "bias", "running_mean", "running_var")},
        **{(f"{name}.{kind}", 0): [6, 6]
           for name in ("first", "second") for kind in ("weight", "bias")},
    },
    ownnets.Heads: {
        **dict.fromkeys([("first.weight", 0), ("first.bias", 0), ("last.weight", 0)], [6] * 4),
        **dict.fromkeys([("own.in_proj_weight", 0), ("own.in_proj_bias", 0)], [6] * 12),
        **dict.fromkeys([("qkv.weight", 0), ("qkv.bias", 0)], [6] * 12),
        **dict.fromkeys([("own.in_proj_weight", 1), ("qkv.weight", 1)], [6] * 4),
        **{(f"{name}.{kind}", axis): [6] * 4 for name in ("own.out_proj", "out")
           for kind, axis in (("weight", 0), ("weight", 1), ("bias", 0))},
    },
    ownnets.Shuffle: {},
    ownnets.Fours: {},
    ownnets.Rounded: {},
    ownnets.Groups: {
        **{(f"{name}.{kind}", 0): [6, 6] for name in ("first", "middle", "norm")
           for kind in ("weight", "bias")},
        ("last.weight", 1): [6, 6],
    },
}  # fmt: skip


def space_of(
    build: Callable[[Arch], nn.Module], widths: tuple[int, ...] = (6, 5, 3)
) -> SearchSpace:
    slots = ("a", "b") if build is ownnets.Cat else ("a",)
    return SearchSpace.of("own", dict.fromkeys(slots, widths))


def teacher_of(build: Callable[[Arch], nn.Module], arch: Arch) -> nn.Module:
    """A network of `arch` with random weights and statistics."""
    net, random = build(arch).eval(), torch.Generator().manual_seed(1)
    for name, tensor in named_tensors(net):
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=random)
        elif tensor.is_floating_point():
            tensor.data.normal_(0, 0.3, generator=random)
    return net


def sorted_by(channels: Channels, net: nn.Module, build: type[nn.Module], arch: Arch) -> nn.Module:
    other = build(arch).eval().to(next(net.parameters()).dtype)
    named = {name: tensor.detach() for name, tensor in named_tensors(net)}
    other.load_state_dict(sort_channels(named, channels, arch))
    return other


@pytest.mark.parametrize("build", BLOCKS)
@torch.no_grad()
def test_blocks_are_found_and_sorting_by_them_changes_no_answer(build: type[nn.Module]) -> None:
    space = space_of(build)
    arch = Arch.of("own", {"a": 6, "b": 5} if build is ownnets.Cat else {"a": 6})
    channels = prove(build, space, arch, X.shape[1:])
    net = teacher_of(build, arch).double()
    named = {name: tensor.detach() for name, tensor in named_tensors(net)}
    found = {
        (name, axis): sizes
        for name, tensor in named.items()
        for axis, sizes in channels.segments(name, tensor.shape, arch).items()
    }
    assert found == BLOCKS[build] and not channels.unsorted
    ordered = sorted_by(channels, net, build, arch)
    assert any(not torch.equal(named[name], tensor) for name, tensor in named_tensors(ordered))
    torch.testing.assert_close(ordered(X.double()), net(X.double()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("build", [build for build, blocks in BLOCKS.items() if blocks])
@torch.no_grad()
def test_axes_as_one_block_would_give_another_answer(build: type[nn.Module]) -> None:
    """What the blocks are for: sorted as if there were none, the network is another."""
    space, arch = space_of(build), space_of(build).largest
    net = teacher_of(build, arch)
    whole = declared(build, [arch], widths_of(space, arch))
    wrong = sorted_by(whole, net, build, arch)
    assert (wrong(X) - net(X)).abs().max() > 0.05 * net(X).std()


@pytest.mark.parametrize("build", BLOCKS)
@torch.no_grad()
def test_narrow_views_have_the_leading_channels_of_every_block(build: type[nn.Module]) -> None:
    """Cut by hand from the teacher's tensors; so are gradients, and what `absorb` puts back."""
    space, wide = space_of(build), space_of(build).largest
    channels = prove(build, space, wide, X.shape[1:])
    net = teacher_of(build, wide)
    supernet = Supernet(build, space, channels).eval()
    fill_from_teacher(supernet, net, wide)
    assert torch.equal(supernet(wide, X), net(X))
    expected = build(space.smallest).eval()
    for (name, tensor), (_, full) in zip(named_tensors(expected), named_tensors(net), strict=True):
        cut = full
        for axis in range(min(2, tensor.dim())):
            have = blocks_of(build, wide, name, axis, full)
            want = blocks_of(build, space.smallest, name, axis, tensor)
            cut = leading(cut, axis, have, want)
        tensor.copy_(cut)
    assert torch.equal(supernet(space.smallest, X), expected(X))
    assert torch.equal(supernet.extract(space.smallest)(X), expected(X))
    other = teacher_of(build, space.smallest)
    supernet.absorb(other, space.smallest)
    assert torch.equal(supernet(space.smallest, X), other(X))


def blocks_of(
    build: type[nn.Module], arch: Arch, name: str, axis: int, tensor: Tensor
) -> list[int]:
    """The sizes of the blocks by hand: those of the table, for other widths."""
    known = BLOCKS[build].get((name, axis))
    if known is None:
        return [tensor.shape[axis]]
    widths = {6: arch.width("a"), 5: arch.values.get("b", 0), 3: 3}
    return [int(widths[size]) for size in known]


def test_a_teacher_wider_than_the_space_gives_the_leading_channels_of_its_blocks() -> None:
    space = space_of(ownnets.Cat, (5, 3))
    arch = Arch.of("own", {"a": 7, "b": 6})
    channels = prove(ownnets.Cat, space, arch, X.shape[1:])
    net = teacher_of(ownnets.Cat, arch)
    supernet = Supernet(ownnets.Cat, space, channels)
    fill_from_teacher(supernet, net, arch)
    weight = dict(named_tensors(net))["last.weight"]
    places = [*range(5), *range(7, 12), *range(13, 16), *range(16, 21)]
    assert torch.equal(supernet.shared["last.weight"], weight[:, places])


def test_statistics_of_a_subnet_cut_in_blocks_come_back_to_the_bank() -> None:
    space = space_of(ownnets.GLU)
    channels = prove(ownnets.GLU, space, space.largest, X.shape[1:])
    supernet = Supernet(ownnets.GLU, space, channels).train()
    fill_from_teacher(supernet, teacher_of(ownnets.GLU, space.largest), space.largest)
    before = supernet.shared["norm.running_mean"].clone()
    net = supernet.extract(space.smallest)
    supernet(space.smallest, X)
    net(X)
    after = supernet.shared["norm.running_mean"]
    kept = [0, 1, 2, 6, 7, 8]
    assert torch.equal(after[kept], dict(named_tensors(net))["norm.running_mean"])
    assert not torch.equal(after[kept], before[kept])
    assert torch.equal(after[[3, 4, 5, 9, 10, 11]], before[[3, 4, 5, 9, 10, 11]])


def test_gradients_of_a_subnet_cut_in_blocks_land_in_its_blocks() -> None:
    space = space_of(ownnets.Chunk)
    channels = prove(ownnets.Chunk, space, space.largest, X.shape[1:])
    supernet = Supernet(ownnets.Chunk, space, channels)
    fill_from_teacher(supernet, teacher_of(ownnets.Chunk, space.largest), space.largest)
    supernet(space.smallest, X).square().sum().backward()
    moved = supernet.shared["both.bias"].grad
    assert moved is not None
    assert moved[:3].any() and moved[6:9].any()
    assert not moved[3:6].any() and not moved[9:].any()


def test_channels_told_apart_by_their_number_keep_their_order() -> None:
    space = space_of(ownnets.Places)
    channels = prove(ownnets.Places, space, space.largest, X.shape[1:])
    assert list(channels.unsorted) == ["a"]
    net = teacher_of(ownnets.Places, space.largest)
    same = sorted_by(channels, net, ownnets.Places, space.largest)
    assert torch.equal(same(X), net(X))


def test_channels_of_which_nothing_is_proven_are_refused_by_name() -> None:
    space = space_of(ownnets.Mixed)
    with pytest.raises(ArchError) as caught:
        prove(ownnets.Mixed, space, space.largest, X.shape[1:])
    assert str(caught.value) == (
        "space.widths: a is refused: its channels are not alike, as neither another order nor the "
        "leading ones alone give what the network gave; give {a: [6]}, the teacher's width, or "
        "supernet.init=random"
    )
    assert prove(ownnets.Mixed, space, space.largest, X.shape[1:], is_strict=False).unsorted
    fixed = space_of(ownnets.Mixed, (6,))
    assert prove(ownnets.Mixed, fixed, fixed.largest, X.shape[1:]) == Channels()


def test_networks_that_answer_at_random_are_refused() -> None:
    space = space_of(ownnets.Noisy)
    with pytest.raises(ArchError, match="arch 6: .* differently each time; random numbers in forw"):
        prove(ownnets.Noisy, space, space.largest, X.shape[1:])


@pytest.mark.parametrize("text", ["SKIP", "GROUPED", "LEAST"])
@torch.no_grad()
def test_files_of_ones_own_are_proven_at_widths_of_the_space(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(getattr(ownnets, text))
    family = OwnGenerator(file=str(path))
    space, arch = family.space([16, 12, 8], ["dense"]), family.uniform(16)
    channels = prove(family.build, space, arch, (3, 16, 16))
    assert not channels.unsorted
    net = teacher_of(family.build, arch)
    named = {name: tensor.detach() for name, tensor in named_tensors(net)}
    before = net(X)
    net.load_state_dict(sort_channels(named, channels, arch))
    torch.testing.assert_close(net(X), before, rtol=1e-4, atol=1e-4)


CASES = [case for case in conformance.cases(1) if case.name.endswith("mixed")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_family_is_proven_with_all_its_operators(case: conformance.Case) -> None:
    assert case.family is not None
    widest = max(v for _, values in case.space.choices for v in values if isinstance(v, int))
    channels = prove(case.build, case.space, case.family.uniform(widest), case.shape[1:])
    assert channels.layouts and not channels.unsorted
    # Of the traced network a convolution takes two joined features.
    joined = {1, 2} if case.family.name == "traced" else {1}
    assert {len(layout) for layout in channels.layouts.values()} == joined


def test_the_registry_is_proven_whole() -> None:
    assert {case.name.removesuffix("-mixed") for case in CASES} == {
        "resnet", "stargan", "spade", "unet", "munit", "progan", "lsgan", "srresnet", "own",
        "traced",
    }  # fmt: skip
