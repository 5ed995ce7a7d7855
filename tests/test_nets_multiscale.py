"""GauGAN's discriminator against its published count, layer by layer."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized

from gancompress.nets.discriminators.multiscale import MultiscaleDiscriminator, ScaleDiscriminator
from gancompress.supernet.cost import network_cost


def test_multiscale_discriminator_has_the_published_parameters_and_shapes() -> None:
    with torch.device("meta"):
        discriminator = MultiscaleDiscriminator(39)
        scales = discriminator(torch.empty(2, 39, 256, 512))
        cost = network_cost(discriminator, torch.empty(1, 39, 256, 512))
    assert sum(p.numel() for p in discriminator.parameters()) == 5_601_410  # FACTS section 6
    assert cost.params == 5_601_410
    found = [[tuple(feature.shape[1:]) for feature in scale] for scale in scales]
    assert found == [
        [(64, 129, 257), (128, 65, 129), (256, 33, 65), (512, 34, 66), (1, 35, 67)],
        [(64, 65, 129), (128, 33, 65), (256, 17, 33), (512, 18, 34), (1, 19, 35)],
    ]


def test_discriminator_at_half_the_size_sees_averages_without_the_border() -> None:
    discriminator = MultiscaleDiscriminator(2, width=2, layers=2).eval()
    x = torch.randn(1, 2, 16, 16)
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    ones = F.avg_pool2d(torch.ones_like(x), 3, 2, 1, count_include_pad=False)
    assert ones.eq(1).all()
    first, second = discriminator.scales
    wanted = [*first(x), *second(half)]
    found = [feature for scale in discriminator(x) for feature in scale]
    assert len(found) == 6 and all(map(torch.equal, found, wanted))


def test_scale_discriminator_is_its_layers_one_after_the_other() -> None:
    discriminator = ScaleDiscriminator(3, 4, 3, is_spectral=True).eval()
    x = torch.randn(2, 3, 20, 12)
    convs = [conv for conv in discriminator.convs if isinstance(conv, nn.Conv2d)]
    a = F.leaky_relu(F.conv2d(x, convs[0].weight, convs[0].bias, stride=2, padding=2), 0.2)
    wanted = [a]
    for conv, stride in zip(convs[1:], (2, 1), strict=True):
        a = F.leaky_relu(F.instance_norm(F.conv2d(a, conv.weight, None, stride, 2)), 0.2)
        wanted.append(a)
    wanted.append(F.conv2d(a, discriminator.head.weight, discriminator.head.bias, padding=2))
    for ours, theirs in zip(discriminator(x), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spectral", [False, True])
def test_spectral_norm_is_on_the_layers_with_a_norm_alone(spectral: bool) -> None:
    discriminator = MultiscaleDiscriminator(3, width=2, layers=3, scales=1, spectral=spectral)
    normed = {name for name, module in discriminator.named_modules() if is_parametrized(module)}
    assert normed == ({"scales.0.convs.1", "scales.0.convs.2"} if spectral else set())


@pytest.mark.parametrize("layers", [1, 2, 6])
def test_widths_double_up_to_eight_times_and_the_last_stride_is_one(layers: int) -> None:
    (scale,) = MultiscaleDiscriminator(3, width=2, layers=layers, scales=1).scales
    convs = list(scale.get_submodule("convs").children())
    assert [conv.out_channels for conv in convs] == [2 * min(2**i, 8) for i in range(layers)]
    strides = [2] * layers if layers == 1 else [2] * (layers - 1) + [1]
    assert [conv.stride[0] for conv in convs] == strides
