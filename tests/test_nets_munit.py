"""MUNIT's generator and what trains beside it: published counts, layers against torch's.

What only the slow tests prove: that its exports in all formats answer alike, not ONNX alone.
"""

from pathlib import Path

import pytest
import torch
from smallexports import check_alike_at_any_size, every_format, source_of
from torch import nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.export.card import ExportSource
from gancompress.nets.discriminators.munit import MunitDiscriminator, StyleEncoder
from gancompress.nets.families import family_of
from gancompress.nets.families.munit import MunitGenerator, group_of
from gancompress.nets.families.options import MunitFamilyOptions
from gancompress.nets.layers.adain import AdaIN, AdaptiveBlock, Enlarging, LayerNorm
from gancompress.nets.layers.blocks import Conv, dense
from gancompress.supernet.cost import CostModel, network_cost

MUNIT = family_of("munit")
SMALL = family_of(
    "munit", in_channels=4, out_channels=2, style=2, blocks=2, mlp=5
)  # two image channels, two of style
COMPRESSED = [16, 16, 24, 56, 16, 40, 40, 32, 24]  # behind the style encoder's 16


def params(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# FACTS section 5: run with the reference programs at n=64, 256x256; G in three digits.
@pytest.mark.parametrize(
    ("widths", "op", "expected", "whole", "alone"),
    [
        ([64] * 9, "dense", 15_026_187, 77_281_169_408, 71_027_460_096),
        (COMPRESSED, "separable", 1_100_347, 2_602_895_872, 2_096_433_152),
    ],
    ids=["dense", "separable"],
)
def test_munit_counts_are_the_published_ones(
    widths: list[int], op: str, expected: int, whole: int, alone: int
) -> None:
    arch = MUNIT.arch(widths, op)
    with torch.device("meta"):
        style = StyleEncoder(3, 8, widths[0])
        beside = network_cost(style, torch.empty(1, 3, 256, 256))
    cost = CostModel(MUNIT.build, MUNIT.parts(), (11, 256, 256))(arch)
    assert cost.params + params(style) == expected
    assert cost.macs_published == cost.macs_true == alone
    assert beside.macs_true + alone == whole


def test_munit_macs_are_those_counted_by_hand() -> None:
    c0, c1, c2, e0, e1, d0, d1, u0, u1 = 3, 2, 4, 5, 6, 3, 2, 7, 5
    t, s1, s2, s4 = 4 * c2, 64 * 96, 32 * 48, 16 * 24  # pixels at each scale
    hand = 49 * 3 * c0 * s1 + 16 * c0 * 2 * c1 * s2 + 16 * 2 * c1 * t * s4
    hand += sum(2 * 2 * 9 * t * 4 * inner * s4 for inner in (e0, e1, d0, d1))  # two blocks each
    hand += 25 * t * 2 * u0 * s2 + 25 * 2 * u0 * u1 * s1 + 49 * u1 * 3 * s1
    rows = sum(2 * 2 * (4 * inner + t) for inner in (d0, d1))
    hand += 8 * 256 + 256 * 256 + 256 * rows
    arch = MUNIT.arch([c0, c1, c2, e0, e1, d0, d1, u0, u1])
    assert CostModel(MUNIT.build, MUNIT.parts(), (11, 64, 96))(arch).macs_true == hand


def test_munit_forward_is_encoder_then_decoder_of_the_planes_style() -> None:
    net = SMALL.build(SMALL.uniform(3))
    image, style = torch.randn(2, 2, 16, 24), torch.randn(2, 2)
    x = torch.cat((image, style[:, :, None, None].expand(-1, -1, 16, 24)), 1)
    content = net.encode(image)
    assert content.shape == (2, 12, 4, 6) and torch.equal(net.encode(x), content)
    out = net(x)
    assert out.shape == (2, 2, 16, 24) and out.abs().max() <= 1
    assert torch.equal(net.decode(content, style), out)
    assert not torch.allclose(net.decode(content, -style), out)  # another style, another image


def test_an_image_s_style_is_its_own() -> None:
    net = SMALL.build(SMALL.uniform(3))
    x = torch.randn(3, 4, 8, 8)
    alone = torch.cat([net(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(x), alone, rtol=1e-4, atol=1e-5)


def test_adain_is_torch_s_batch_norm_of_every_channel_by_itself() -> None:
    adain = AdaIN(3, 4)
    x, code = torch.randn(2, 3, 5, 7), torch.randn(2, 4)
    flat = x.reshape(1, 6, 5, 7)
    shift, scale = adain.shift(code).flatten(), adain.scale(code).flatten()
    expected = F.batch_norm(flat, None, None, scale, shift, training=True)
    torch.testing.assert_close(adain(x, code), expected.reshape(x.shape))


def test_adain_block_is_the_residual_form_of_its_four_layers() -> None:
    block = AdaptiveBlock("dense", Conv(3, 5, padding_mode="reflect"), 4)
    x, code = torch.randn(2, 3, 6, 6), torch.randn(2, 4)
    hidden = F.relu(block.norm1(block.conv1(x), code))
    torch.testing.assert_close(block(x, code), x + block.norm2(block.conv2(hidden), code))
    assert block.conv2.out_channels == 3 and block.norm1.scale.out_features == 5


@pytest.mark.parametrize("batch", [1, 3])
def test_layer_norm_is_by_unbiased_std_of_each_image_then_by_channel(batch: int) -> None:
    norm = LayerNorm(4)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(4))
        norm.bias.copy_(torch.randn(4))
    x = torch.randn(batch, 4, 5, 6) * 3 + 1
    for i, image in enumerate(x):
        plain = (image - image.mean()) / (image.std() + 1e-5)
        expected = plain * norm.weight[:, None, None] + norm.bias[:, None, None]
        torch.testing.assert_close(norm(x)[i], expected)
    # torch's own divides by the biased std, eps within: for large variances a constant factor.
    theirs = F.group_norm(x, 1, norm.weight, norm.bias, eps=1e-12)
    biased = (120 / 119) ** 0.5
    ours = norm(x) - norm.bias[:, None, None]
    torch.testing.assert_close(
        ours * biased + norm.bias[:, None, None], theirs, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("training", [False, True])
def test_norms_work_in_float32_under_autocast(training: bool) -> None:
    net = SMALL.build(SMALL.uniform(4)).train(training)
    norm = net.up[0].norm
    large = (torch.randn(1, 8, 64, 64) * 50 + 300).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = norm(large)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, norm(large.float()).bfloat16())
    x = torch.randn(2, 4, 16, 16)
    expected = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert (net(x).float() - expected).abs().max() < 0.25


def test_enlarging_repeats_pixels_before_its_convolution() -> None:
    stage = Enlarging("dense", Conv(2, 3, 5, padding=2, padding_mode="reflect"))
    x = torch.randn(1, 2, 4, 4)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(stage(x), F.relu(stage.norm(stage.conv(large))))
    assert stage(x).shape == (1, 3, 8, 8)


def test_recipes_default_to_munit_s_own_options() -> None:
    family = MunitFamilyOptions()
    assert family_of("munit", **family.model_dump(exclude={"name"})) == MUNIT
    assert family.size_multiple == MUNIT.size_multiple


@pytest.mark.parametrize(
    ("blocks", "halves"), [(1, [0]), (2, [0, 1]), (3, [0, 0, 1]), (4, [0, 0, 1, 1])]
)
def test_munit_blocks_fall_into_two_halves(blocks: int, halves: list[int]) -> None:
    assert [group_of(i, blocks) for i in range(blocks)] == halves
    family = family_of("munit", blocks=blocks)
    assert len(family.width_slots) == 5 + 2 * len(set(halves))


def test_munit_slots_and_taps_are_the_literature_s() -> None:
    slots = ["stem", "down.0", "down.1", "encoder.0", "encoder.1", "decoder.0", "decoder.1",
             "up.0", "up.1"]  # fmt: skip
    assert MUNIT.width_slots == tuple(f"{slot}.width" for slot in slots)
    assert MUNIT.body == tuple(slots[3:])  # what is separable: FACTS section 5's second net
    assert MUNIT.distilled_layers() == (
        "down.1",
        "encoder.1",
        "encoder.3",
        "decoder.1",
        "decoder.3",
    )


def test_munit_is_rebuilt_from_its_options() -> None:
    made = family_of("munit", in_channels=9, out_channels=2, style=6, blocks=3, mlp=7)
    assert made.name == "munit" and family_of("munit", **made.options) == made
    assert isinstance(made.build(made.uniform(2)), MunitGenerator)


def test_munit_refuses_an_input_of_style_planes_alone() -> None:
    family = family_of("munit", in_channels=8)
    with pytest.raises(ArchError) as caught:
        family.build(family.uniform(2))
    expected = "munit: 8 channels in; an image and 8 channels of its style are needed"
    assert str(caught.value) == expected


def test_style_encoder_makes_one_code_of_an_image() -> None:
    net = StyleEncoder(2, 5, width=3)
    assert net(torch.randn(4, 2, 16, 32)).shape == (4, 5)
    assert [conv.out_channels for conv in net.convs] == [6, 12, 12, 12]


def test_munit_discriminator_has_the_published_parameters_and_scales() -> None:
    with torch.device("meta"):
        discriminator = MunitDiscriminator(3, (256, 256))
        logits = discriminator(torch.empty(2, 3, 256, 256))
    assert params(discriminator) == 8_271_171  # FACTS section 6
    assert [x.shape for x in logits] == [(2, 1, 16, 16), (2, 1, 8, 8), (2, 1, 4, 4)]


def test_munit_discriminator_s_averages_leave_the_border_out() -> None:
    discriminator = MunitDiscriminator(1, (16, 16), width=2, layers=1, scales=2)
    x = torch.randn(1, 1, 16, 16)
    padded = F.pad(x, (1, 1, 1, 1))
    weight = F.avg_pool2d(F.pad(torch.ones_like(x), (1, 1, 1, 1)), 3, stride=2)
    half = F.avg_pool2d(padded, 3, stride=2) / weight
    conv, head = discriminator.scales[1]
    reflected = F.pad(half, (1, 1, 1, 1), mode="reflect")
    y = F.leaky_relu(F.conv2d(reflected, conv.weight, conv.bias, stride=2), 0.2)
    torch.testing.assert_close(discriminator(x)[1], head(y))


@pytest.mark.parametrize(("layers", "scales", "least"), [(4, 3, 61), (1, 1, 2), (2, 3, 13)])
def test_munit_discriminator_takes_the_least_size_and_none_below(
    layers: int, scales: int, least: int
) -> None:
    form = {"width": 1, "layers": layers, "scales": scales}
    discriminator = MunitDiscriminator(1, (least, least), **form)
    assert all(x.numel() for x in discriminator(torch.randn(1, 1, least, least)))
    with pytest.raises(RuntimeError, match="[Pp]adding"):
        discriminator(torch.randn(1, 1, least - 1, least - 1))
    with pytest.raises(ArchError, match=rf"image size \[{least - 1}, {least}\]; .* of {least} and"):
        MunitDiscriminator(1, (least - 1, least), **form)


def test_convolutions_reflect_at_the_border() -> None:
    net = SMALL.build(SMALL.uniform(2))
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert {m.padding_mode for m in convs if m.kernel_size != (1, 1)} == {"reflect"}
    assert dense(Conv(1, 1)).padding_mode == "zeros"  # where it is not asked for


@pytest.fixture(scope="module")
def exported() -> ExportSource:
    return source_of(SMALL)


@every_format
def test_exported_munit_answers_alike_at_any_size(
    name: str, exported: ExportSource, tmp_path: Path
) -> None:
    check_alike_at_any_size(name, exported, tmp_path)


def test_published_choices_fit_the_slots() -> None:
    family = family_of("munit")
    space = family.space(MunitFamilyOptions.presets["channels-64-munit"], ("separable",))
    assert space.size == 7**9 and space.largest == family.uniform(64, "separable")
