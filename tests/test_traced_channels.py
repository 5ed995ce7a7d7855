"""Groups of channels: found through every operator, proven, narrowed wherever a graph has sizes."""

import re
from collections.abc import Callable

import pytest
import torch
import tracednets
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.nets.families.traced import TracedGenerator
from gancompress.nets.traced import rules
from gancompress.nets.traced.takenapart import taken_apart
from gancompress.supernet.channels import Channels, block_sizes, leading
from gancompress.supernet.groupproof import known_channels, moved_groups
from gancompress.supernet.supernet import Supernet, named_tensors


def conv(taken: int = 8, made: int = 8, kernel: int = 3, **options: int) -> nn.Module:
    return nn.Conv2d(taken, made, kernel, padding=kernel // 2, **options)


class Modulated(nn.Module):
    """Kernels that depend on the input, one group for each image, as in StyleGAN2."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.weight = nn.Linear(8, 8), nn.Parameter(torch.randn(8, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        style = self.scale(x.mean((2, 3)))[:, None, :, None, None]
        weight = (self.weight[None] * style).reshape(n * c, c, 3, 3)
        return F.conv2d(x.reshape(1, n * c, h, w), weight, padding=1, groups=n).view(n, c, h, w)


class Net(nn.Module):
    """A stem, something between, and a head; `middle` is given the modules and the features."""

    def __init__(
        self, middle: Callable[[nn.ModuleList, Tensor], Tensor], *modules: nn.Module, made: int = 8
    ) -> None:
        super().__init__()
        self.stem, self.head = conv(3, 8), conv(made, 3)
        self.middle, self.parts = middle, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.parts, self.stem(x)))


def gated(parts: nn.ModuleList, x: Tensor) -> Tensor:
    one, other = parts[0](x).chunk(2, 1)
    return one * torch.sigmoid(other)


def sliced(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return parts[0](x[:, :4]) + parts[1](x)


def joined(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.cat([x, parts[0](x).relu(), x.abs()], 1)


def squeezed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    scale = parts[1](parts[0](x.mean((2, 3), keepdim=True)).relu())
    return x * scale.sigmoid()


def pooled_linear(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x * parts[0](F.adaptive_avg_pool2d(x, 1).flatten(1))[:, :, None, None]


def layer_normed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    y = parts[0](x.permute(0, 2, 3, 1))
    return x + parts[2](F.gelu(parts[1](y))).permute(0, 3, 1, 2)


def attended(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """Attention over places by one head: channels are summed over, so their order is free."""
    q, k, v = (part(x).flatten(2) for part in parts)  # (N, C, HW)
    return x + (v @ (q.transpose(1, 2) @ k).softmax(-1)).view(x.shape)


def heads(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """Two heads of four channels, which are dropped alike in both."""
    n, _, h, w = x.shape
    y = parts[0](x).view(n, 2, 4, h, w).softmax(2).view(n, 8, h, w)
    return x * y


def shuffled(parts: nn.ModuleList, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return parts[0](x).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def mirrored(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x + x.flip(1)


def split_sizes(parts: nn.ModuleList, x: Tensor) -> Tensor:
    one, other = torch.split(parts[0](x), [6, 2], 1)
    return torch.cat([parts[1](one), other], 1)


def written_into(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """The first channels are changed in their place, as PLKSR's partial convolutions do."""
    x[:, :3] = parts[0](x[:, :3])
    return x


def unshuffled(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return F.pixel_shuffle(parts[0](F.pixel_unshuffle(x, 2)), 2)


def normed_by_hand(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) * torch.rsqrt(x.var((2, 3), keepdim=True) + 1e-5)


# What is between, and the groups that there are: names with their channels.
NETS: dict[str, tuple[nn.Module, dict[str, int]]] = {
    "plain": (Net(lambda m, x: m[0](x).relu(), conv()), {"stem": 8, "parts.0": 8}),
    "residual": (Net(lambda m, x: x + m[0](x), conv()), {"stem": 8}),
    "gated": (Net(gated, conv(8, 16)), {"stem": 8, "parts.0": 8}),
    "sliced": (Net(sliced, conv(4, 8), conv()), {"stem": 4, "stem'": 4, "parts.0": 8}),
    "joined": (Net(joined, conv(), made=24), {"stem": 8, "parts.0": 8}),
    "split": (Net(split_sizes, conv(), conv(6, 6)), {"stem": 8, "parts.0": 6, "parts.0'": 2,
                                                      "parts.1": 6}),
    "depthwise": (Net(lambda m, x: m[0](x), conv(groups=8)), {"stem": 8}),
    "multiplied": (Net(lambda m, x: m[0](x), conv(8, 16, groups=8), made=16), {"stem": 8}),
    "grouped": (Net(lambda m, x: m[0](x), conv(groups=2)), {"stem": 2}),
    "group norm": (Net(lambda m, x: m[0](x), nn.GroupNorm(4, 8)), {"stem": 4}),
    "one group": (Net(lambda m, x: m[0](x), nn.GroupNorm(1, 8)), {"stem": 8}),
    "batch norm": (Net(lambda m, x: m[0](x), nn.BatchNorm2d(8)), {"stem": 8}),
    "by hand": (Net(normed_by_hand), {"stem": 8}),
    "prelu": (Net(lambda m, x: m[0](x), nn.PReLU(8)), {"stem": 8}),
    "squeezed": (Net(squeezed, conv(8, 4, 1), conv(4, 8, 1)), {"stem": 8, "parts.0": 4}),
    "linear": (Net(pooled_linear, nn.Linear(8, 8)), {"stem": 8}),
    "layer norm": (Net(layer_normed, nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)),
                   {"stem": 8, "parts.1": 16}),
    "attended": (Net(attended, conv(8, 4, 1), conv(8, 4, 1), conv(8, 8, 1)),
                 {"stem": 8, "parts.0": 4}),
    "transposed": (Net(lambda m, x: m[0](m[1](x)), nn.ConvTranspose2d(8, 8, 4, 2, 1),
                       nn.MaxPool2d(2)), {"stem": 8, "parts.0": 8}),
    "transposed depthwise": (Net(lambda m, x: m[0](m[1](x)),
                                 nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8), nn.AvgPool2d(2)),
                             {"stem": 8}),
    "unshuffled": (Net(unshuffled, conv(32, 32)), {"stem": 8, "parts.0": 8}),
    "heads": (Net(heads, conv()), {"stem": 4}),
    "shuffled": (Net(shuffled, conv()), {"stem": 8, "parts.0": 4}),
    "mirrored": (Net(mirrored), {}),
    "written into": (Net(written_into, conv(3, 3)), {"stem": 3, "stem'": 5}),
    "modulated": (Net(lambda m, x: m[0](x), Modulated()), {"stem": 8, "parts.0": 8}),
}  # fmt: skip
# Where all channels of a place are taken together, those that are gone are missed.
MISSED = {"one group", "layer norm", "attended", "heads"}


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[TracedGenerator, nn.Module]]:
    found = {}
    for name, (net, _) in NETS.items():
        one = tracednets.imported(tracednets.seeded(net))
        full = one.family.build(one.family.traced_arch).eval()
        full.load_state_dict(one.tensors)
        found[name] = one.family, full
    return found


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
