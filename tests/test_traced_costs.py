"""Costs of traced generators: products of computed weights by shapes, the same in every way."""

from __future__ import annotations

from dataclasses import replace

import channelnets
import numpy as np
import pytest
import torch
import tracednets
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.families.traced import TracedGenerator
from gancompress.stages.understood import elastic_fraction
from gancompress.supernet.cost import Cost, CostModel, network_cost

PLACES = 16 * 16
STEM = HEAD = 3 * 8 * 9 * PLACES


def family_of(net: nn.Module) -> TracedGenerator:
    return tracednets.imported(tracednets.seeded(net)).family


def cost_of(family: TracedGenerator, width: int = 0) -> Cost:
    """Of the full network, or of one with so many channels in every slot."""
    arch = family.arch([width] * len(family.width_slots)) if width else family.traced_arch
    return network_cost(family.build(arch), torch.zeros(1, 3, 16, 16))


def test_a_modulated_convolution_costs_what_a_usual_one_does() -> None:
    family = family_of(channelnets.NETS["modulated"][0])
    by_hand = STEM + 8 * 8 + 8 * 8 * 9 * PLACES + HEAD
    assert cost_of(family).macs_true == cost_of(family).macs_published == by_hand
    assert sum(family.taken.found.macs.values()) == by_hand
    assert cost_of(family, 4).macs_true == STEM // 2 + 4 * 4 + 4 * 4 * 9 * PLACES + HEAD // 2
    assert elastic_fraction(family) == 1


def test_one_of_several_images_costs_as_many() -> None:
    net = family_of(channelnets.NETS["modulated"][0])
    many = network_cost(net.build(net.traced_arch), torch.zeros(3, 3, 16, 16))
    assert many.macs_true == 3 * cost_of(net).macs_true


def test_attention_costs_two_products_over_all_places() -> None:
    family = family_of(channelnets.NETS["attended"][0])
    layers = STEM + (4 + 4 + 8) * 8 * PLACES + HEAD
    assert cost_of(family).macs_true == layers + (4 + 8) * PLACES**2
    assert sum(family.taken.found.macs.values()) == cost_of(family).macs_true


class Scaled(nn.Module):
    """A kernel that the image scales, transposed, of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 3, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(8, 8, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return self.head(F.conv_transpose2d(y, self.kernel * y.mean(), stride=2, padding=1))


def test_a_transposed_one_is_published_on_its_output_grid() -> None:
    family = family_of(Scaled())
    layers = STEM // 4 + HEAD
    assert cost_of(family).macs_true == layers + 8 * 8 * 16 * PLACES // 4
    assert cost_of(family).macs_published == layers + 8 * 8 * 16 * PLACES


def test_a_layer_of_windows_costs_what_all_of_them_do() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)
            self.mix = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x)
            n, c, h, w = y.shape
            rows = self.mix(y.permute(0, 2, 3, 1).reshape(n * h, w, c))
            return self.head(rows.view(n, h, w, c).permute(0, 3, 1, 2))

    family = family_of(Windows())
    by_hand = STEM + 8 * 8 * PLACES + HEAD
    assert sum(family.taken.found.macs.values()) == cost_of(family).macs_true == by_hand


NAMES = ("modulated", "attended", "letters", "in a row", "windowed", "copied", "coded", "filled")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0, 4, 3])
def test_costs_by_parts_are_those_of_the_whole(name: str, width: int) -> None:
    family = family_of(channelnets.NETS[name][0])
    model = CostModel(family.build, family.parts(), (3, 16, 16), family.sketch)
    model(family.traced_arch)
    arch = family.arch([min(width or 8, family.full_width(slot)) for slot in family.width_slots])
    whole = network_cost(family.build(arch), torch.zeros(1, 3, 16, 16))
    # Parameters that lie in no part are those of the first arch: a model is told of work by parts.
    assert replace(model(arch), params=0) == replace(whole, params=0)


def test_modules_of_equal_sizes_are_counted_once_where_branches_are_left_out() -> None:
    """Else each arch of a space of narrow, shallow generators is counted anew."""
    family = family_of(tracednets.Enlarging(blocks=6))
    (chain,) = family.depths
    shallow = family.traced_arch.replace({f"{chain}.depth": "3"})
    model = CostModel(family.build, family.parts(), (3, 16, 16), family.sketch)
    first, counted = model(shallow), len(model._outcomes)
    image = torch.zeros(1, 3, 16, 16)
    assert first == network_cost(family.build(shallow), image)
    assert counted < len(family.parts()) - 9  # Else each of the three blocks was counted.
    rng = np.random.default_rng(0)
    widths = [(slot, (1, 2, family.full_width(slot))) for slot in family.width_slots]
    for _ in range(4):
        drawn = {slot: int(rng.choice(choices)) for slot, choices in widths}
        depth = {f"{chain}.depth": str(rng.choice(family.depths[chain]))}
        arch = shallow.replace({**drawn, **depth})
        assert model(arch) == network_cost(family.build(arch), image)
