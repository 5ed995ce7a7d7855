"""SRResNet: published counts to the integer, the separable form, and what belongs together."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gancompress.distill.initialise import fill_from_teacher, sort_channels
from gancompress.errors import ArchError
from gancompress.nets.families import family_of
from gancompress.nets.families.srresnet import PixelUp, SRResNetGenerator
from gancompress.nets.layers.blocks import OPERATORS, Conv
from gancompress.nets.layers.features import Bands
from gancompress.nets.layers.views import bundles_of
from gancompress.supernet.cost import network_cost
from gancompress.supernet.layouts import declared
from gancompress.supernet.supernet import Supernet, named_tensors


def stirred(net: SRResNetGenerator) -> SRResNetGenerator:
    """With norms that do something: the last one of each block begins at 0."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.running_mean)
    return net.eval()


def closed_form(side: int, width: int, *, separable: bool) -> int:
    """MACs of 16 blocks and two doublings of that width, from `side` to 4 side pixels."""
    per_pixel = 9 * width + width * width if separable else 9 * width * width
    per_up = 9 * width + 4 * width * width if separable else 9 * 4 * width * width
    ends = 81 * 3 * width
    pixels = side * side
    return pixels * (ends + 33 * per_pixel + per_up) + 4 * pixels * per_up + 16 * pixels * ends


@pytest.mark.parametrize(("op", "params"), [("dense", 1_549_462), ("separable", 226_134)])
def test_costs_are_the_published_ones_to_the_integer(op: str, params: int) -> None:
    family = family_of("srresnet")
    with torch.device("meta"):
        cost = network_cost(family.build(family.uniform(64, op)), torch.empty(1, 3, 64, 64))
    assert cost.params == params  # Ledig et al. 2017; Karwande et al. 2022
    assert cost.macs_true == closed_form(64, 64, separable=op == "separable")
    if op == "dense":
        assert round(cost.macs_true / 1e9, 3) == 9.086


def test_dense_generator_answers_as_one_written_out_by_hand() -> None:
    family = family_of("srresnet", blocks=2)
    net = stirred(family.build(family.uniform(8)))
    x = torch.randn(2, 3, 5, 7)

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        part = net.get_submodule(name)
        assert isinstance(part, nn.Conv2d)
        return F.conv2d(x, part.weight, part.bias, padding=part.kernel_size[0] // 2)

    def prelu(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, x * net.get_parameter(f"{name}.weight"))

    stem = y = prelu("stem.activation", conv("stem.conv", x))
    for i in range(2):
        block = net.get_submodule(f"body.{i}")
        hidden = prelu(f"body.{i}.activation", block.norm1(conv(f"body.{i}.conv1", y)))
        y = y + block.norm2(conv(f"body.{i}.conv2", hidden))
    y = stem + net.get_submodule("tail.norm")(conv("tail.conv", y))
    for i in range(2):
        wide = conv(f"up.{i}.conv", y)  # (N, 32, H, W)
        n, _, h, w = wide.shape
        y = wide.reshape(n, 8, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, 8, 2 * h, 2 * w)
        y = prelu(f"up.{i}.activation", y)
    with torch.no_grad():
        torch.testing.assert_close(net(x), torch.tanh(conv("head", y)))


@pytest.mark.parametrize("scale", [2, 4])
def test_outputs_are_as_many_times_larger_at_any_size(scale: int) -> None:
    family = family_of("srresnet", blocks=1, scale=scale)
    net = family.build(family.uniform(4)).eval()
    out = net(torch.randn(1, 3, 5, 9))
    assert out.shape == (1, 3, 5 * scale, 9 * scale) and out.abs().max() <= 1
    assert len(family.ups) == {2: 1, 4: 2}[scale]


@pytest.mark.parametrize("bands", [Bands(), Bands(0.5)])
def test_the_trunk_begins_as_the_identity(bands: Bands) -> None:
    net = family_of("srresnet", blocks=3).build(
        family_of("srresnet", blocks=3).uniform(16, bands=bands)
    )
    x = torch.randn(2, 3, 8, 8)
    seen: dict[str, torch.Tensor] = {}
    for name in ("stem", "tail"):
        net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output)
        )
    net(x)
    assert torch.equal(seen["tail"], seen["stem"])


def test_bare_separable_convolution_is_depthwise_then_pointwise_alone() -> None:
    conv = OPERATORS["separable"](Conv(4, 6, bare=True))
    assert {n: tuple(p.shape) for n, p in conv.named_parameters()} == {
        "depthwise.weight": (4, 1, 3, 3),
        "pointwise.weight": (6, 4, 1, 1),
        "pointwise.bias": (6,),
    }
    x = torch.randn(1, 4, 5, 5)
    # One dense kernel does the same: the outer product of the two.
    dense = conv.pointwise.weight * conv.depthwise.weight[:, 0][None]
    with torch.no_grad():
        wanted = F.conv2d(x, dense, conv.pointwise.bias, padding=1)
        torch.testing.assert_close(conv(x), wanted)
    ordinary = OPERATORS["separable"](Conv(4, 6))
    assert sum(p.numel() for p in ordinary.parameters()) == 4 * 9 + 4 + 4 * 6 + 6


@pytest.mark.parametrize("op", ["dense", "separable"])
def test_sorting_a_teacher_leaves_its_answers_and_keeps_pixels_together(op: str) -> None:
    """Channels of one output channel's four pixels move as one."""
    family = family_of("srresnet", blocks=2)
    arch = family.arch((6, 5, 4, 9, 8), op)
    torch.manual_seed(0)
    net = stirred(family.build(arch))
    channels = declared(family.build, [arch], dict.fromkeys(family.width_slots, (12, 3)))
    sorted_net = family.build(arch).eval()
    tensors = dict(named_tensors(net))
    sorted_net.load_state_dict(sort_channels(tensors, channels, arch))
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(sorted_net(x), net(x))
    moved = [n for n, t in named_tensors(sorted_net) if not torch.equal(t, tensors[n])]
    last = "conv" if op == "dense" else "conv.pointwise"
    assert f"up.0.{last}.weight" in moved and f"up.1.{last}.bias" in moved
    assert bundles_of(net) == {
        f"up.{i}.{last}.{kind}": 4 for i in (0, 1) for kind in ("weight", "bias")
    }


def test_separable_bank_begins_as_the_teacher_where_kernels_have_rank_one() -> None:
    family = family_of("srresnet", blocks=2)
    arch = family.uniform(6)
    teacher = stirred(family.build(arch))
    with torch.no_grad():
        for part in (m for m in teacher.modules() if isinstance(m, nn.Conv2d)):
            if part.kernel_size == (3, 3):
                rank_one = torch.randn(part.out_channels, part.in_channels, 1, 1) * torch.randn(
                    part.in_channels, 3, 3
                )
                part.weight.copy_(rank_one / 9)
    supernet = Supernet(family.build, family.space([6, 3], ["dense", "separable"])).eval()
    fill_from_teacher(supernet, teacher)
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        separable = supernet(family.uniform(6, "separable"), x)
        torch.testing.assert_close(separable, teacher(x), rtol=1e-4, atol=1e-5)


def test_bands_are_the_trunks_alone_and_fit_images_of_the_outputs_size() -> None:
    family = family_of("srresnet", blocks=3)
    arch = family.uniform(32, bands=Bands(0.25, 0.25))
    assert {slot for slot, _ in arch.slots if slot.endswith("bands")} == {
        f"body.{g}.bands" for g in range(3)
    }
    assert family.multiple(arch) == 4 and family.multiple(family.uniform(32)) == 1
    net = family.build(arch).eval()
    assert net(torch.randn(1, 3, 8, 12)).shape == (1, 3, 32, 48)
    space = family.space([32], ["dense", "separable"], [Bands(), Bands(0.5)])
    assert dict(space.choices)["body.1.bands"] == ("0", "0.5")
    with pytest.raises(ArchError, match="no stage 'tail'"):
        family.space([32], ["dense"], {"tail": [Bands(0.5)]})


def test_taps_are_the_trunks_ends() -> None:
    assert family_of("srresnet").distilled_layers() == ("body.5", "body.10", "body.15", "tail")
    assert isinstance(
        family_of("srresnet").build(family_of("srresnet").uniform(2)), SRResNetGenerator
    )
    assert PixelUp("dense", 3, 2)(torch.randn(1, 3, 4, 4)).shape == (1, 2, 8, 8)
