"""Features in bands: the split, the resolutions, and conversions between splits."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from bandreference import SPLITS, Bandwise, ceil_laws, doubled, halved, random_bands
from torch import Tensor

from gancompress.errors import ArchError
from gancompress.nets.layers.features import (
    ONE,
    Bands,
    added,
    bands_of,
    converted,
    features_of,
    merged,
    per_band,
    pooled,
)

TEXTS = ("0", "0.5", "0.25", "0.125", "1", "0.5+0.25", "0.125+0.5", "0.25+0.75", "0.001")
ALL = (ONE, *SPLITS, Bands(1.0), Bands(0.25, 0.5))
SIDES = [(8, 8), (1, 1), (5, 7), (6, 11), (13, 2), (9, 23)]


@pytest.mark.parametrize("text", TEXTS)
def test_text_of_bands_parses_back(text):
    bands = Bands.parse(text)
    assert str(bands) == text
    assert Bands.parse(str(bands)) == bands


def test_text_of_bands_keeps_every_digit():
    third = Bands(1 / 3, 1 / 3)
    assert Bands.parse(str(third)) == third
    assert Bands.parse(str(third)).channels(12) == (4, 4, 4)


@pytest.mark.parametrize("text", ["", "half", "0.5+", "+0.5", "0.5+0.25+0.1", "0.5,0.25", "0,5"])
def test_junk_text_is_refused(text):
    with pytest.raises(ArchError, match=r"ALPHA or ALPHA\+BETA is needed, such as 0.5\+0.25"):
        Bands.parse(text)


@pytest.mark.parametrize("text", ["-0.1", "0.5+-0.25", "1.01", "0.75+0.5", "nan", "inf", "0.5+nan"])
def test_shares_out_of_range_are_refused(text):
    with pytest.raises(ArchError, match="fractions from 0 on, together at most 1, are allowed"):
        Bands.parse(text)


def test_beta_without_alpha_is_refused():
    with pytest.raises(ArchError, match="beta 0.25 without alpha; .* give alpha above 0"):
        Bands(0.0, 0.25)


def test_channels_are_rounded_down_but_for_the_finest():
    assert ONE.channels(7) == (7,)
    assert Bands(0.5).channels(7) == (4, 3)
    assert Bands(0.5, 0.25).channels(15) == (5, 7, 3)
    assert Bands(1.0).channels(3) == (0, 3)
    assert [bands.count for bands in (ONE, *SPLITS)] == [1, 2, 2, 3]
    for total in range(1, 65):  # among them products that a float leaves just below a whole channel
        for tenths in range(1, 11):
            high, middle = Bands(tenths / 10).channels(total)
            assert middle == Fraction(tenths * total, 10).__floor__()
            assert high + middle == total


def test_whole_shares_are_told_from_rounded_ones():
    assert Bands(0.5, 0.25).is_whole(8)
    assert not Bands(0.5, 0.25).is_whole(6)
    assert not Bands(0.125).is_whole(12)
    assert ONE.is_whole(7)
    assert Bands(1 / 3, 1 / 3).is_whole(12)


@pytest.mark.parametrize("size", SIDES)
def test_pooled_averages_the_pixels_that_there_are(size):
    (x,) = random_bands((3,), *size)
    torch.testing.assert_close(pooled(x), halved(x))
    torch.testing.assert_close(pooled(x, 2), halved(halved(x)))
    assert pooled(x, 0) is x


def raised(x: Bandwise) -> Tensor:
    """All bands at full resolution, one doubling after the other."""
    laws = ceil_laws(*x[0].shape[-2:], len(x))
    whole = []
    for level, band in enumerate(x):
        for law in reversed(laws[:level]):
            band = doubled(band, *law)
        whole.append(band)
    return torch.cat(whole, 1)


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("bands", ALL, ids=str)
def test_merged_repeats_every_band_to_full_resolution(bands, size):
    x = random_bands(bands.channels(8), *size)
    assert torch.equal(merged(features_of(x)), raised(x))


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("have", ALL, ids=str)
@pytest.mark.parametrize("want", ALL, ids=str)
def test_converted_is_merged_and_split_anew(have, want, size):
    x = random_bands(have.channels(8), *size)
    expected, start = [], 0
    for level, count in enumerate(want.channels(8)):
        part = raised(x)[:, start : start + count]
        for _ in range(level):
            part = halved(part)
        expected.append(part)
        start += count
    found = bands_of(converted(features_of(x), want))
    torch.testing.assert_close(found, tuple(expected))


@pytest.mark.parametrize("there", ALL, ids=str)
@pytest.mark.parametrize("here", ALL, ids=str)
def test_conversion_of_constants_there_and_back_is_exact(here, there):
    levels = torch.arange(8.0).view(1, 8, 1, 1)
    x = features_of(
        [
            part.expand(-1, -1, *law)
            for part, law in zip(
                levels.split(here.channels(8), 1), ceil_laws(5, 6, here.count), strict=True
            )
        ]
    )
    back = bands_of(converted(converted(x, there), here))
    assert all(torch.equal(a, b) for a, b in zip(back, bands_of(x), strict=True))


@pytest.mark.parametrize("bands", ALL, ids=str)
def test_conversion_to_the_same_split_is_the_same_object(bands):
    x = features_of(random_bands(bands.channels(8), 6, 6))
    assert converted(x, bands) is x


def test_shares_too_small_for_a_channel_leave_the_band_empty():
    (x,) = random_bands((4,), 5, 5)
    split = converted(x, Bands(0.1))
    assert [tuple(band.shape) for band in bands_of(split)] == [(2, 4, 5, 5), (2, 0, 3, 3)]
    assert torch.equal(merged(split), x)


def test_undivided_features_are_passed_through():
    (x,) = random_bands((4,), 4, 4)
    assert merged(x) is x
    assert bands_of(x) == (x,)
    assert features_of([x]) is x
    assert torch.equal(per_band(torch.neg, x), -x)


def test_per_band_applies_to_every_band():
    x = random_bands((4, 2, 2), 4, 4)
    assert all(torch.equal(a, -b) for a, b in zip(per_band(torch.neg, x), x, strict=True))


def test_added_adds_band_by_band():
    x = random_bands((4, 2, 2), 4, 4)
    y = added(x, per_band(torch.ones_like, x))
    assert all(torch.equal(a, b + 1) for a, b in zip(y, x, strict=True))
    assert torch.equal(added(x[0], x[0]), 2 * x[0])
    with pytest.raises(AssertionError, match="converted first"):
        added(x, random_bands((2, 4, 2), 4, 4))
