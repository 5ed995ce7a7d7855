"""The small generator of images of random vectors."""

import pytest
import torch

from gancompress.errors import ArchError
from gancompress.nets.families import family_of
from gancompress.supernet.cost import network_cost


@pytest.mark.parametrize("side", [28, 32])
def test_parameters_and_macs_are_those_of_the_formula(side: int) -> None:
    family = family_of("lsgan", in_channels=10, size=side)
    c0, c1, c2 = 4 * 5, 2 * 4, 3
    with torch.device("meta"):
        net = family.build(family.arch([5, 4, 3]))
        cost = network_cost(net, torch.empty(1, 10, 1, 1))
        assert net(torch.empty(2, 10, 1, 1)).shape == (2, 1, side, side)
    s = side // 4
    norms = 2 * (c0 + c1 + c2)
    assert cost.params == 10 * c0 * s * s + 16 * (c0 * c1 + c1 * c2) + 9 * c2 + 1 + norms
    # A transposed convolution works on its input's grid.
    ups = 16 * c0 * c1 * s**2 + 16 * c1 * c2 * (2 * s) ** 2
    assert cost.macs_true == 10 * c0 * s * s + ups + 9 * c2 * side**2


def test_images_are_in_range_and_differ() -> None:
    family = family_of("lsgan", in_channels=10)
    torch.manual_seed(0)
    net = family.build(family.uniform(2))
    images = net(torch.randn(4, 10, 1, 1))
    assert float(images.detach().abs().max()) <= 1
    assert float((images[0] - images[1]).detach().abs().max()) > 0


@pytest.mark.parametrize("side", [30, 4])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ArchError, match=f"{side} pixels; multiples of 4"):
        family_of("lsgan", size=side)
