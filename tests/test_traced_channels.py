"""Groups of channels: found through every operator, proven, narrowed wherever a graph has sizes."""

import re

import pytest
import torch
import tracednets
from channelnets import MISSED, NETS
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.nets.families.traced import TracedGenerator
from gancompress.nets.traced import rules
from gancompress.nets.traced.takenapart import taken_apart
from gancompress.supernet.channels import Channels, block_sizes, leading
from gancompress.supernet.groupproof import known_channels, moved_groups
from gancompress.supernet.supernet import Supernet, named_tensors


class Imported(dict[str, tuple[TracedGenerator, nn.Module]]):
    """The networks by name, imported when they are asked for first: families and full networks."""

    def __missing__(self, name: str) -> tuple[TracedGenerator, nn.Module]:
        one = tracednets.imported(tracednets.seeded(NETS[name][0]))
        full = one.family.build(one.family.traced_arch).eval()
        full.load_state_dict(one.tensors)
        self[name] = one.family, full
        return self[name]


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[TracedGenerator, nn.Module]]:
    return Imported()


@pytest.mark.parametrize("name", NETS)
def test_groups_are_those_that_the_code_makes(
    name: str, made: dict[str, tuple[TracedGenerator, nn.Module]]
) -> None:
    family, _ = made[name]
    found = {group: one.channels for group, one in family.groups.items()}
    assert found == NETS[name][1]


@pytest.mark.parametrize("name", NETS)
def test_no_group_moves_the_answer(
    name: str, made: dict[str, tuple[TracedGenerator, nn.Module]]
) -> None:
    family, net = made[name]
    channels = known_channels(family.layouts())
    assert moved_groups(net.float(), channels, family.traced_arch, (3, 16, 16)) == {}
    net.float()


def narrowed(family: TracedGenerator) -> Arch:
    widths = [max(1, family.full_width(slot) // 2) for slot in family.width_slots]
    return family.arch(widths)


def zeroed(channels: Channels, net: nn.Module, wide: Arch, narrow: Arch, small: nn.Module) -> None:
    """Zeros wherever `narrow` lacks channels in `net`; the rest is copied into `small`."""
    shapes = {name: tensor.shape for name, tensor in named_tensors(small)}
    kept = dict(named_tensors(small))
    for name, tensor in named_tensors(net):
        view = tensor.detach()
        for axis in range(min(2, tensor.dim())):
            layout = channels.layouts.get((name, axis))
            if layout is None:
                continue
            have = block_sizes(layout, tensor.shape[axis], wide)
            want = block_sizes(layout, shapes[name][axis], narrow)
            mask = torch.cat([torch.arange(h) < w for h, w in zip(have, want, strict=True)])
            tensor.detach().mul_(mask.view([-1 if i == axis else 1 for i in range(tensor.dim())]))
            view = leading(view, axis, have, want)
        kept[name].detach().copy_(view)


@pytest.mark.parametrize("name", [name for name in NETS if name not in MISSED])
def test_a_narrow_network_is_the_wide_one_without_the_channels_that_it_lacks(
    name: str, made: dict[str, tuple[TracedGenerator, nn.Module]]
) -> None:
    family, _ = made[name]
    one = tracednets.imported(tracednets.seeded(NETS[name][0]))
    wide = family.build(family.traced_arch).eval()
    wide.load_state_dict(one.tensors)
    small = family.build(narrowed(family)).eval()
    channels = known_channels(family.layouts())
    zeroed(channels, wide, family.traced_arch, narrowed(family), small)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(small(x), wide(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_a_subnet_is_what_is_cut_out_of_the_supernet(
    name: str, made: dict[str, tuple[TracedGenerator, nn.Module]]
) -> None:
    family, net = made[name]
    if not family.width_slots:
        return
    widths = {s: sorted({family.full_width(s), max(1, family.full_width(s) // 2)}, reverse=True)
              for s in family.width_slots}  # fmt: skip
    supernet = Supernet(
        family.build, family.space(widths, ["dense"]), known_channels(family.layouts())
    ).eval()
    supernet.fill(dict(named_tensors(net)), family.traced_arch)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(supernet(family.traced_arch, x), net(x))
        for arch in (narrowed(family), supernet.space.largest):
            assert torch.equal(supernet(arch, x), supernet.extract(arch)(x))


FROZEN = {
    "mirrored": "lie interleaved",
    "unknown": "sort .sort.: they are put in order",
    "no rule": "logcumsumexp .logcumsumexp. mixes channels in a way that is not known",
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_mixes_channels_otherwise_is_frozen_and_named(
    name: str, made: dict[str, tuple[TracedGenerator, nn.Module]]
) -> None:
    reasons = " ".join(made[name][0].taken.groups.frozen.values())
    assert re.search(FROZEN[name], reasons), reasons


def test_a_wrong_rule_is_caught_by_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if a mirrored row of channels were the row itself: the answer then depends on their order.
    monkeypatch.setitem(rules.RULES, "flip", rules.RULES["relu"])
    taken_apart.cache_clear()  # which the same graph was taken apart for before
    found = tracednets.imported(tracednets.seeded(NETS["mirrored"][0]))
    assert found.family.groups == {}
    taken_apart.cache_clear()
    (why,) = found.program.refused.values()
    assert "the order of its channels matters: the answer changes by" in why
