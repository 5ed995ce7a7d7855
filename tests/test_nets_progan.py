"""Progressive growing: counts of the published networks, and how levels fade in."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.discriminators.progressive import ProgressiveDiscriminator, with_spread
from gancompress.nets.families import family_of
from gancompress.nets.families.progan import ProGANGenerator, unit_of
from gancompress.nets.layers.blocks import INITS
from gancompress.nets.layers.features import Bands
from gancompress.supernet.cost import network_cost

# FACTS, section 14, counted by running the published networks: side, operator, parameters of the
# generator and of the discriminator, all heads included.
COUNTS = [
    (64, "dense", 22_490_383, 22_498_049),
    (64, "separable", 6_276_623, 6_277_898),
    (1024, "dense", 23_079_115, 23_087_249),
]
FAMILY = family_of("progan", in_channels=6, size=32)


def generator(op: str = "dense") -> ProGANGenerator:
    net = FAMILY.build(FAMILY.uniform(1, op))
    INITS["equalised"](net, torch.Generator().manual_seed(0))
    return net


def vectors(n: int = 2) -> Tensor:
    return torch.randn(n, 6, 1, 1, generator=torch.Generator().manual_seed(1))


def enlarged(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("side", "op", "params", "discriminator_params"), COUNTS)
def test_parameters_are_the_published_ones(
    side: int, op: str, params: int, discriminator_params: int
) -> None:
    family = family_of("progan", size=side)
    with torch.device("meta"):
        net, discriminator = (
            family.build(family.uniform(16, op)),
            ProgressiveDiscriminator(3, side, op=op),
        )
    assert sum(p.numel() for p in net.parameters()) == params
    assert sum(p.numel() for p in discriminator.parameters()) == discriminator_params


def test_separable_form_has_8_73_times_fewer_macs_at_64_pixels() -> None:
    family = family_of("progan")
    macs = []
    for op in ("dense", "separable"):
        with torch.device("meta"):
            net = family.build(family.uniform(16, op))
        macs.append(network_cost(net, torch.empty(1, 512, 1, 1, device="meta")).macs_true)
    assert macs[0] / macs[1] == pytest.approx(8.73, abs=0.005)
    # By hand: the vector, 3x3 convolutions of every level, and the last head.
    widths = [16 * unit_of(i) for i in range(5)]
    by_hand = 512 * widths[0] * 16 + 9 * widths[0] ** 2 * 16 + 3 * widths[-1] * 64**2
    for i in range(1, 5):
        a, b = widths[i - 1], widths[i]
        by_hand += 9 * (a * b + b * b) * (4 * 2**i) ** 2
    assert macs[0] == by_hand


def test_widths_are_the_published_ones() -> None:
    # min(8192 / 2^s, 512) from 4x4 to 1024x1024 (Karras et al. 2018, table 2).
    assert [16 * unit_of(i) for i in range(9)] == [512, 512, 512, 512, 256, 128, 64, 32, 16]


def test_a_level_fades_in_over_the_one_below() -> None:
    net, z = generator(), vectors()
    below, own = net.grown(z, 1, 1.0), net.grown(z, 2, 1.0)
    assert below.shape == (2, 3, 8, 8) and own.shape == (2, 3, 16, 16)
    torch.testing.assert_close(net.grown(z, 2, 0.25), 0.75 * enlarged(below) + 0.25 * own)
    assert net.grown(z, 0, 1.0).shape == (2, 3, 4, 4)


def test_whole_network_is_the_last_level_and_cut_in_evaluation() -> None:
    net, z = generator(), vectors()
    torch.testing.assert_close(net(z), net.grown(z, 3, 1.0))
    net.head[3].conv.weight.data.mul_(9)
    assert float(net(z).detach().abs().max()) > 1
    torch.testing.assert_close(net.eval()(z), net.grown(z, 3, 1.0).clamp(-1, 1))


def test_only_the_direction_of_a_vector_counts() -> None:
    net, z = generator(), vectors()
    torch.testing.assert_close(net(3 * z), net(z), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["dense", "separable"])
def test_discriminator_fades_as_the_generator_does(op: str) -> None:
    discriminator = ProgressiveDiscriminator(3, 32, width=1, op=op)
    INITS["equalised"](discriminator, torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    scores = discriminator.grown(x, 2, 1.0)
    assert scores.shape == (4, 1)
    # At share 0 the level's own layers have no say: the level below sees the image halved.
    nearly = discriminator.grown(x, 2, 1e-9)
    torch.testing.assert_close(nearly, discriminator.grown(F.avg_pool2d(x, 2), 1, 1.0))
    full = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(discriminator(full), discriminator.grown(full, 3, 1.0))


def test_spread_is_the_groups_standard_deviation() -> None:
    x = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    seen = with_spread(x)
    assert seen.shape == (8, 3, 3, 3) and torch.equal(seen[:, :2], x)
    for first in range(2):  # images i, i + 2, i + 4, i + 6 are a group
        group = x[first::2]
        wanted = (group.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(seen[first::2, 2], wanted.expand(4, 3, 3))
    alone = with_spread(x[:1])[:, 2]  # of one image there is none
    torch.testing.assert_close(alone, torch.full((1, 3, 3), 1e-4))


def test_equalised_layers_begin_with_a_mean_square_of_one() -> None:
    net = generator("separable")
    net.equalise()
    INITS["equalised"](net, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for level in net.level:
            seen: list[Tensor] = []
            hook = level.convs[-1].register_forward_hook(lambda _m, _i, y, s=seen: s.append(y))
            net(vectors(16))
            hook.remove()
            # The convolution of a pixel norm's answer; √2 is its gain. Depthwise layers counted
            # as dense ones would be a root of the channels too small.
            assert 0.7 < float(seen[0].square().mean()) < 4.0


@pytest.mark.parametrize("side", [4, 12, 48, 100])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ArchError, match=rf"{side} pixels; sides of 4 \* 2\^k from 8 on"):
        family_of("progan", size=side)
    with pytest.raises(ArchError, match=r"sides of 4 \* 2\^k"):
        ProgressiveDiscriminator(3, side)


def test_unknown_operator_of_the_discriminator_is_refused() -> None:
    with pytest.raises(ArchError, match="'octave'; dense or separable"):
        ProgressiveDiscriminator(3, 16, op="octave")


def test_bands_begin_where_the_coarsest_holds_a_kernel() -> None:
    family = family_of("progan", size=32)
    assert family.layout(Bands(0.25, 0.25))["level.1"] == Bands(0.25)
    assert set(family.layout(Bands(0.5)).values()) == {Bands(0.5)}
    assert family.kernels("level.1") * 2 <= 32 < family.kernels("level.1") * 4
    assert family.kernels("level.2") * 4 <= 32
