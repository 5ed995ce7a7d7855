"""Equalised learning rates (Karras et al. 2018, section 4.1)."""

import pytest
import torch
from torch import nn

from gancompress.distill.teacher import fold
from gancompress.nets.layers.blocks import INITS
from gancompress.nets.layers.equalised import GAIN, Layer, equalise, fan_in


@pytest.mark.parametrize(
    ("layer", "products"),
    [
        (nn.Conv2d(12, 5, 3), 12 * 9),
        (nn.Conv2d(12, 12, 3, groups=12), 9),  # of a depthwise one, each value sums k^2 products
        (nn.Conv2d(12, 5, 1), 12),
        (nn.Linear(32, 7), 32),
        (nn.ConvTranspose2d(32, 7, 4), 32),  # of one pixel: every place sees it once
    ],
)
def test_layers_answer_with_the_gain_s_variance_at_the_start(layer: Layer, products: int) -> None:
    assert fan_in(layer) == products
    equalise(layer, 1.0)
    INITS["equalised"](layer, torch.Generator().manual_seed(0))
    shape = {nn.Linear: (9999, 32), nn.ConvTranspose2d: (999, 32, 1, 1)}
    x = torch.randn(
        shape.get(type(layer).__mro__[1], (99, 12, 16, 16)),
        generator=torch.Generator().manual_seed(1),
    )
    with torch.no_grad():
        answer = layer(x)
    if isinstance(layer, nn.Conv2d):
        answer = answer[..., 1:-1, 1:-1]
    # Few weights are drawn, so their own mean square is what the variance is of.
    (weight,) = (t for n, t in layer.named_parameters() if n.endswith("original"))
    drawn = float(weight.detach().square().mean())
    assert float(answer.square().mean()) == pytest.approx(drawn, rel=0.1)
    assert 0.7 < drawn < 1.35


def test_folding_leaves_a_plain_layer_of_the_same_answer() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    conv = net[0]
    assert isinstance(conv, nn.Conv2d)
    equalise(conv)
    INITS["equalised"](net, torch.Generator().manual_seed(0))
    x = torch.ones(1, 3, 5, 5)
    before = net(x)
    assert list(net.state_dict()) == ["0.bias", "0.parametrizations.weight.original"]
    fold(net)
    assert sorted(net.state_dict()) == ["0.bias", "0.weight"]
    torch.testing.assert_close(net(x), before)


def test_plain_layers_begin_as_equalised_ones() -> None:
    plain, equal = nn.Conv2d(8, 4, 3), nn.Conv2d(8, 4, 3)
    equalise(equal)
    for conv in (plain, equal):
        INITS["equalised"](conv, torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain.weight, equal.weight)
    assert float(plain.weight.detach().std()) == pytest.approx(GAIN * 72**-0.5, rel=0.15)
