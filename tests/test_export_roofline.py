"""The roofline: work against hand formulas, shares against their definition."""

import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.benchmark import roofline as module
from gancompress.benchmark.roofline import (
    Rates,
    Work,
    card_work,
    measure_rates,
    roofline,
    work_of,
)
from gancompress.export.card import Card
from gancompress.nets.families import family_of
from gancompress.nets.layers.spectral import spectral

FAMILY = family_of("resnet", in_channels=3, out_channels=3, blocks=1)
ARCH = FAMILY.arch([8, 4, 8, 4, 4, 8], "separable")
CARD = Card(FAMILY.options, 3, 3, (32, 32), 4)


def test_work_of_two_convolutions_is_the_hand_formula():
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1, stride=2))
    n, h, w = 2, 8, 6
    macs = n * (h * w * 5 * 3 * 9 + h // 2 * (w // 2) * 2 * 5)
    first = n * h * w * 3 + n * h * w * 5 + 5 * 3 * 9 + 5
    second = 2 * n * h * w * 5
    third = n * h * w * 5 + n * h // 2 * w // 2 * 2 + 2 * 5 + 2
    assert work_of(net, torch.zeros(n, 3, h, w)) == Work(macs, 4 * (first + second + third))


def test_a_layer_under_spectral_norm_counts_as_the_layer_without():
    plain, normed = nn.Conv2d(4, 4, 3), spectral(nn.Conv2d(4, 4, 3))
    x = torch.zeros(1, 4, 8, 8)
    assert work_of(normed, x) == work_of(plain, x)


def test_work_of_a_card_is_that_of_the_network_on_images():
    net = FAMILY.build(ARCH).eval()
    for batch, size in ((1, (32, 32)), (3, (16, 24))):
        assert card_work(ARCH, CARD, size, batch) == work_of(net, torch.zeros(batch, 3, *size))


def test_nothing_is_told_of_what_cannot_be_rebuilt():
    own = Card({"file": "mine.py"}, 3, 3, (32, 32), 4)
    assert card_work(Arch("own", ()), own, (32, 32)) is None
    assert card_work(Arch("lost", ()), CARD, (32, 32)) is None
    assert card_work(ARCH, Card({"blocks": "many"}, 3, 3, (32, 32), 4), (32, 32)) is None


def test_roofline_takes_the_longer_of_both_bounds():
    rates = Rates(1, 100e9, "torch.mm 512", 10e9, 2**28)
    got = roofline(Work(macs=50_000_000, bytes=20_000_000), rates, ms=4.0)
    assert (got.macs_per_s, got.bytes_per_s) == pytest.approx((12.5e9, 5e9))
    assert (got.macs_share, got.bytes_share) == pytest.approx((0.125, 0.5))
    assert (got.macs_ms, got.bytes_ms) == pytest.approx((0.5, 2.0))
    assert got.bound_ms == got.bytes_ms == pytest.approx(got.bytes_share * 4.0)


def test_rates_are_of_the_threads_that_torch_has_and_of_a_buffer_above_the_cache(monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SIDES", (64,))
    monkeypatch.setattr(module, "_LEAST_BUFFER", 2**20)
    got = measure_rates()
    assert got.threads == torch.get_num_threads()
    assert got.macs_per_s > 0 and got.bytes_per_s > 0
    kinds = ("torch.mm 64", "1x1 convolution of 256", "3x3 convolution of 256")
    assert got.product in kinds
    assert got.buffer_bytes == max(2**20, 8 * module.last_level_cache())
