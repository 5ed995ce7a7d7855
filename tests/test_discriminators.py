"""Discriminators by name: published counts, hand-counted memory, shapes, norms, names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.discriminators.blocks import FORMS, InceptionBlock, Norms, SeparableInception
from gancompress.nets.discriminators.named import (
    Discriminator,
    LabelDiscriminator,
    ScaleDiscriminators,
    ScaleOutputs,
)
from gancompress.nets.discriminators.names import NAMES, DiscriminatorName
from gancompress.nets.layers.blocks import init_kaiming, init_normal
from gancompress.supernet.cost import Cost, network_cost
from gancompress.tasks.losses import gradient_penalty

# FACTS.md, section 15: trained parameters at 28x28x1, of the published program. The last is ours.
PUBLISHED = {
    "plain": 388_865,
    "separable-inception": 202_193,
    "inception-32": 216_705,
    "dense": 21_033,
    "inception-16": 54_593,
    "inception-8": 13_857,
}
OURS = {"separable": sum(9 * a + a * b + b for a, b in ((1, 32), (32, 64), (64, 128), (128, 256)))}
OURS["separable"] += 256 * 4 + 1
COUNTS = PUBLISHED | OURS


def cost(name: str, size: tuple[int, int] = (28, 28), norm: str = "published") -> Cost:
    with torch.device("meta"):
        return network_cost(Discriminator(name, 1, size, norm), torch.empty(1, 1, *size))


def drawn(name: str, channels: int, side: int, norm: str = "published") -> Discriminator:
    net = Discriminator(name, channels, (side, side), norm)
    init_kaiming(net, torch.Generator().manual_seed(0))
    return net


def images(count: int, channels: int, side: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=random) * 2 - 1


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("norm", ["published", "none", "batch"])
def test_discriminator_has_the_published_parameters_with_any_norms(name: str, norm: str) -> None:
    assert cost(name, norm=norm).params == COUNTS[name]


def test_six_are_published_and_every_form_is_counted() -> None:
    assert len(PUBLISHED) == 6
    assert {DiscriminatorName.parse(name).form for name in COUNTS} == set(FORMS)
    assert len(NAMES) == len(FORMS) + 1


def test_memory_of_plain_equals_the_hand_count() -> None:
    sides, widths = (28, 14, 7, 4, 2), (1, 32, 64, 128, 256)
    saved = 0
    for i in range(4):
        saved += widths[i] * sides[i] ** 2 * 4  # what the convolution took
        saved += widths[i + 1] * sides[i] ** 2 * 4  # what ReLU made
        saved += widths[i + 1] * sides[i + 1] ** 2 * 8  # where its maxima were, int64
    saved += 256 * 4 * 4  # what the dense layer took
    found = cost("plain")
    assert found.saved_bytes == saved == 344_896
    # The first block: its image, what the convolution made of it, and what ReLU did.
    assert found.activation_bytes == 28**2 * 4 * (1 + 32 + 32)


def test_live_norms_save_more_and_work_no_less() -> None:
    for name in COUNTS:
        none, batch = cost(name, norm="none"), cost(name, norm="batch")
        assert batch.saved_bytes > none.saved_bytes, name
        assert (batch.params, batch.macs_true) == (none.params, none.macs_true), name
        assert batch.macs_published_norm > none.macs_published_norm == none.macs_published


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "last", "dense_last"),
    [
        ((28, 28), (2, 2), (3, 3)),
        ((32, 32), (2, 2), (2, 2)),
        ((64, 64), (2, 2), (2, 2)),
        ((48, 80), (2, 3), (3, 5)),
        ((4, 4), (2, 2), (2, 2)),
    ],
)
def test_blocks_halve_until_the_shorter_side_is_two(
    channels: int, size: tuple[int, int], last: tuple[int, int], dense_last: tuple[int, int]
) -> None:
    for name in COUNTS:
        with torch.device("meta"):
            net = Discriminator(name, channels, size)
            *features, logits = net.features(torch.empty(3, channels, *size))
        assert logits.shape == (3, 1)
        assert features[-1].shape[2:] == (dense_last if name == "dense" else last), name


@pytest.mark.parametrize("side", [128, 256])
def test_large_images_have_more_blocks_and_no_more_than_eight_times_the_channels(side: int) -> None:
    with torch.device("meta"):
        features = Discriminator("plain", 3, (side, side)).features(torch.empty(1, 3, side, side))
    widths = [32 * min(2**i, 8) for i in range(len(features) - 1)]
    assert [f.shape[1] for f in features[:-1]] == widths and len(widths) == side.bit_length() - 2
    assert features[-2].shape[2:] == (2, 2)


def test_inception_is_its_two_convolutions_side_by_side() -> None:
    block, x = InceptionBlock(3, 8, Norms(False, False)), images(2, 3, 6)
    one, three = (branch[0] for branch in block.branches)  # type: ignore[index]
    assert (one.kernel_size, three.kernel_size) == ((1, 1), (3, 3))
    wanted = torch.cat((F.conv2d(x, one.weight, one.bias),
                        F.conv2d(x, three.weight, three.bias, padding=1)), 1)  # fmt: skip
    torch.testing.assert_close(block(x), wanted.relu())


def test_separable_inception_is_two_and_a_half_times_as_wide() -> None:
    block = SeparableInception(3, 8, 4, Norms(False, True))
    assert block(images(2, 3, 6)).shape == (2, 4 + 16, 6, 6)
    depthwise = block.spatial[2]
    assert isinstance(depthwise, nn.Conv2d) and depthwise.groups == 4
    assert depthwise.bias is not None
    fixed = [name for name, _ in block.named_parameters() if "norm" in name]
    assert not fixed  # the norms' scale is no parameter


def test_separable_is_plain_with_every_convolution_factorised() -> None:
    dense, thin = (drawn(name, 2, 8, "batch") for name in ("plain", "separable"))
    for whole, block in zip(dense.trunk.blocks, thin.trunk.blocks, strict=True):
        depthwise, pointwise = block[0][0], block[0][1]  # type: ignore[index]
        with torch.no_grad():
            whole[0][0].weight.copy_(pointwise.weight * depthwise.weight.transpose(0, 1))  # type: ignore[index]
            whole[0][0].bias.copy_(pointwise.bias)  # type: ignore[index]
    dense.head.load_state_dict(thin.head.state_dict())
    x = images(5, 2, 8)
    torch.testing.assert_close(dense(x), thin(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("norm", ["published", "none", "batch"])
def test_an_answer_depends_on_the_other_images_just_where_norms_are_live(
    name: str, norm: str
) -> None:
    net, x = drawn(name, 1, 16, norm).train(), images(4, 1, 16)
    other = torch.cat((x[:1], 3 * x[1:]))
    same = torch.allclose(net(x)[0], net(other)[0], rtol=1e-4, atol=1e-5)
    assert same is not DiscriminatorName.parse(name).ties_images(norm)
    net.eval()
    torch.testing.assert_close(net(x)[0], net(other)[0])  # by running statistics


def test_norms_are_live_in_the_published_depthwise_ones_alone() -> None:
    live = {n for n in COUNTS if DiscriminatorName.parse(n).ties_images("published")}
    assert live == {"separable-inception", "dense"}


def test_live_norm_normalises_and_a_dead_one_leaves_its_shift() -> None:
    for norm, tied in (("published", True), ("none", False)):
        net = drawn("separable-inception", 1, 16, norm)
        shift = net.trunk.blocks[0][0].spatial[3]  # type: ignore[index]
        with torch.no_grad():
            shift.shift.fill_(2.0)
        x = images(4, 16, 6)
        wanted = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), False, keepdim=True)
        torch.testing.assert_close(shift(x), (wanted if tied else x) + 2, rtol=1e-3, atol=1e-4)


def test_labels_come_beside_the_same_logits() -> None:
    net = LabelDiscriminator("inception-8", 3, (16, 16), 5)
    twin = Discriminator("inception-8", 3, (16, 16))
    twin.load_state_dict({n: t for n, t in net.state_dict().items() if "classes" not in n})
    logits, labels = net(images(2, 3, 16))
    torch.testing.assert_close(logits, twin(images(2, 3, 16)))
    assert labels.shape == (2, 5, 1, 1)


def test_scales_judge_halvings_by_networks_of_their_own() -> None:
    net, x = ScaleDiscriminators("inception-8", 3, (15, 22), 2), torch.rand(2, 3, 15, 22)
    fine, coarse = net(x)
    second = net.scales[1]
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    assert half.shape == (2, 3, 8, 11)
    torch.testing.assert_close(coarse[-1], second(half))
    assert [f.shape[0] for f in (*fine, *coarse)] == [2] * (len(fine) + len(coarse))
    outputs = ScaleOutputs(ScaleDiscriminators("inception-8", 3, (15, 22), 2))
    outputs.discriminators.load_state_dict(net.state_dict())
    torch.testing.assert_close(outputs(x), (fine[-1], coarse[-1]))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("plane", "discriminator plane: unknown; one of default, plain, separable, inception-N"),
        ("default", "discriminator default: unknown"),
        ("Plain", "unknown"),
        ("plain-2", "discriminator plain-2: unknown"),
        ("dense-16", "discriminator dense-16: unknown"),
        ("inception-", "unknown"),
        ("inception-7", "inception-7: found 7; multiples of 2 up to 1024 are allowed there"),
        ("inception-0", "found 0; multiples of 2"),
        ("inception-4096", "found 4096"),
        ("dense-12-3", "found 12; multiples of 8"),
        ("dense-16-0", "found 0; multiples of 1"),
    ],
)
def test_names_that_are_none_are_refused(name: str, told: str) -> None:
    with pytest.raises(ArchError, match=told):
        DiscriminatorName.parse(name)
    with pytest.raises(ArchError, match=told):
        Discriminator(name, 1, (28, 28))


def test_names_without_numbers_have_the_published_ones() -> None:
    for short, long in (
        ("separable-inception", "separable-inception-4"),
        ("dense", "dense-16-3"),
        ("inception", "inception-32"),
    ):
        assert DiscriminatorName.parse(short) == DiscriminatorName.parse(long)
    assert cost("separable-inception-2").params < PUBLISHED["separable-inception"]
    assert cost("dense-8-2").params < PUBLISHED["dense"]


def test_images_too_small_for_a_block_are_refused() -> None:
    with pytest.raises(ArchError, match=r"plain: image size \[3, 28\]; sides of 4 and more"):
        Discriminator("plain", 1, (3, 28))
    with pytest.raises(ArchError, match=r"image size \[2, 2\]"):
        ScaleDiscriminators("plain", 1, (8, 8), 3)


def test_a_gradient_penalty_reaches_the_weights_of_every_form() -> None:
    for name in COUNTS:
        net = drawn(name, 1, 8, "none")
        gradient_penalty(net, images(2, 1, 8), images(2, 1, 8, seed=1)).backward()
        grads = [p.grad for n, p in net.named_parameters() if n.endswith("0.weight")]
        assert grads and all(g is not None and g.isfinite().all() for g in grads), name


def test_usual_first_weights_die_out_where_those_of_named_ones_do_not() -> None:
    x = images(8, 1, 32)
    spreads = []
    for init in (init_normal, init_kaiming):
        net = Discriminator("separable", 1, (32, 32))
        init(net, torch.Generator().manual_seed(0))
        spreads.append(net.features(x)[-2].std().item())
    assert spreads[0] < 1e-6 and spreads[1] > 1e-2
