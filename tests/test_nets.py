"""Generators and discriminators against their published counts (FACTS sections 2 and 6)."""

import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.nets.families import FAMILIES, family_of
from gancompress.nets.families.resnet import ResNetGenerator, group_of
from gancompress.nets.layers.blocks import OPERATORS, Conv, dense, init_normal

RESNET = family_of("resnet")


def published(widths: str, op: str = "separable") -> Arch:
    """The arch that the literature writes as `c0_c1_…_c7`."""
    return RESNET.arch([int(width) for width in widths.split("_")], op)


# Counted by running the reference programs: FACTS section 2.
RESNET_PARAMS = {
    RESNET.uniform(64, "dense"): 11_378_179,
    RESNET.uniform(96, "separable"): 4_418_307,
    RESNET.uniform(64, "separable"): 1_987_075,
    RESNET.uniform(48, "separable"): 1_130_883,
    RESNET.uniform(32, "separable"): 514_307,
    RESNET.uniform(16, "separable"): 137_347,
    published("32_32_48_32_48_48_16_16"): 822_051,
    published("24_24_40_56_24_56_16_40"): 702_835,
    published("16_16_32_16_32_32_16_16"): 356_867,
    published("16_16_24_16_32_64_16_24"): 355_235,
    published("32_32_48_32_32_48_24_24"): 780_819,
}


def params(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("arch", "expected"), RESNET_PARAMS.items(), ids=lambda v: str(v)[-24:])
def test_resnet_parameters_are_the_published_ones(arch: Arch, expected: int) -> None:
    with torch.device("meta"):
        assert params(RESNET.build(arch)) == expected


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(6, 128, 11_040_641), (3, 64, 2_764_737)]
)
def test_patch_discriminator_parameters_and_output_are_the_published_ones(
    channels: int, width: int, expected: int
) -> None:
    with torch.device("meta"):
        discriminator = PatchDiscriminator(channels, width)  # FACTS section 6
        assert params(discriminator) == expected
        assert discriminator(torch.empty(2, channels, 256, 256)).shape == (2, 1, 30, 30)


def test_patch_discriminator_logit_sees_a_patch_of_70_pixels() -> None:
    # Without norms, which mix all positions, the gradient of one logit is its field of view.
    discriminator = PatchDiscriminator(1, 2)
    discriminator.norms = nn.ModuleList(nn.Identity() for _ in discriminator.norms)
    x = torch.randn(1, 1, 256, 256, requires_grad=True)
    discriminator(x)[0, 0, 15, 15].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].ne(0)
    assert (seen.any(0).sum(), seen.any(1).sum()) == (70, 70)


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_patch_discriminator_widths_double_up_to_eight_times(layers: int) -> None:
    widths = [conv.out_channels for conv in PatchDiscriminator(3, 4, layers).convs]
    assert widths == [min(4 * 2**i, 32) for i in range(layers + 1)]


@pytest.mark.parametrize(
    ("blocks", "groups"),
    [
        (1, [0]),
        (2, [0, 1]),
        (3, [0, 1, 2]),
        (6, [0, 0, 1, 1, 2, 2]),
        (9, [0, 0, 0, 1, 1, 1, 2, 2, 2]),
    ],
)
def test_resnet_blocks_fall_into_three_groups(blocks: int, groups: list[int]) -> None:
    assert [group_of(i, blocks) for i in range(blocks)] == groups
    family = family_of("resnet", blocks=blocks)
    assert family.body == tuple(f"body.{g}" for g in sorted(set(groups)))
    assert len(family.width_slots) == 5 + len(family.body)


def test_resnet_taps_are_the_published_ones() -> None:
    assert RESNET.distilled_layers() == ("down.1", "body.2", "body.5", "body.8")  # FACTS section 2
    assert family_of("resnet", blocks=1).distilled_layers() == ("down.1", "body.0")


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_resnet_maps_any_channels_at_any_multiple_of_four(op: str, size: tuple[int, int]) -> None:
    net = family_of("resnet", in_channels=1, out_channels=5, blocks=2).build(
        family_of("resnet", blocks=2).uniform(2, op)
    )
    out = net(torch.randn(3, 1, *size))
    assert out.shape == (3, 5, *size) and out.abs().max() <= 1


def test_resnet_separable_convolution_is_depthwise_norm_pointwise() -> None:
    conv = OPERATORS["separable"](Conv(4, 6))
    names = {name: tuple(p.shape) for name, p in conv.named_parameters()}
    assert names == {
        "depthwise.weight": (4, 1, 3, 3),
        "depthwise.bias": (4,),
        "pointwise.weight": (6, 4, 1, 1),
        "pointwise.bias": (6,),
    }
    x = torch.randn(2, 4, 8, 8)
    depthwise, pointwise = conv.get_submodule("depthwise"), conv.get_submodule("pointwise")
    expected = pointwise(torch.nn.functional.instance_norm(depthwise(x)))
    torch.testing.assert_close(conv(x), expected)


def test_dense_convolution_reflects_at_the_border() -> None:
    conv = dense(Conv(1, 1, padding_mode="reflect"))
    x = torch.randn(1, 1, 5, 5)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias)
    torch.testing.assert_close(conv(x), expected)


def test_dropout_drops_in_training_alone() -> None:
    family = family_of("resnet", blocks=1, dropout=0.5)
    net = family.build(family.uniform(4))
    x = torch.randn(1, 3, 8, 8)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_init_normal_draws_weights_of_that_spread_and_repeats_with_its_seed() -> None:
    def made(seed: int) -> ResNetGenerator:
        net = RESNET.build(RESNET.uniform(8))
        init_normal(net, torch.Generator().manual_seed(seed))
        return net

    one, same, other = made(1), made(1), made(2)
    weights = torch.cat([p.flatten() for p in one.parameters() if p.dim() > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(weights.mean().item()) < 3 * 0.02 / weights.numel() ** 0.5
    assert all(p.eq(0).all() for p in one.parameters() if p.dim() == 1)
    assert all(map(torch.equal, one.parameters(), same.parameters()))
    assert not torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize(
    ("arch", "text"),
    [
        (Arch.of("unet", {}), "arch: family is 'unet'; expected 'resnet'"),
        (RESNET.uniform(0), "arch: stem.width=0; a width is at least 1"),
        (RESNET.uniform(8, "octave"), "arch: body.0.op='octave'; one of dense, separable"),
        (Arch.of("resnet", {"x": 1}), "arch: no slot 'stem.width'; the slots of this arch are x"),
    ],
)
def test_resnet_refuses_an_arch_that_is_not_its_own(arch: Arch, text: str) -> None:
    with pytest.raises(ArchError) as caught:
        RESNET.build(arch)
    assert str(caught.value) == text


def test_resnet_space_takes_one_list_a_list_per_slot_or_a_map() -> None:
    by_slot = dict.fromkeys(RESNET.width_slots, (2, 3))
    spaces = [RESNET.space(w, ["dense"]) for w in ((2, 3), [(2, 3)] * 8, by_slot)]
    assert spaces[0] == spaces[1] == spaces[2] and spaces[0].size == 2**8


@pytest.mark.parametrize(
    ("widths", "text"),
    [
        ({"stem": (2,)}, r"space.widths: unknown slots \['stem'\]; resnet has \['stem.width', "),
        ({"stem.width": (2,)}, r"space.widths: missing slots \['down.0.width', "),
        ([(2,), (3,)], "space: 2 lists of widths; this resnet has 8 slots"),
    ],
)
def test_resnet_space_refuses_other_slots(widths: object, text: str) -> None:
    with pytest.raises(ArchError, match=text):
        RESNET.space(widths, ["dense"])  # type: ignore[arg-type]


def test_resnet_arch_refuses_another_number_of_widths() -> None:
    with pytest.raises(ArchError, match="arch: 2 widths; this resnet takes 8: stem.width"):
        RESNET.arch([1, 2], "dense")


def test_every_family_is_rebuilt_from_its_options() -> None:
    residual = {"blocks": 2, "dropout": 0.1}
    others = {"resnet": residual, "stargan": residual, "spade": {"upsamplings": 6},
              "unet": {"levels": 4}, "munit": {"style": 2}, "srresnet": {"scale": 2},
              "progan": {"size": 32}, "lsgan": {"norm": "instance"}}  # fmt: skip
    # The last two are a user's, with tests of their own.
    assert set(FAMILIES) == {*others, "own", "traced"}
    for name, options in others.items():
        made = family_of(name, **options)
        assert made.name == name and made != family_of(name)
        assert family_of(name, **made.options) == made


def test_resnet_space_refuses_an_unknown_operator() -> None:
    with pytest.raises(ArchError, match="'octave'; one of dense, separable"):
        RESNET.space((2, 3), ["dense", "octave"])
