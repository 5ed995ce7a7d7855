"""The sliced Wasserstein distance: against sums by hand, scipy's filters, and known changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import wasserstein_distance
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics import swd
from gancompress.metrics.realside import ByteImages
from gancompress.metrics.swd import RealPatches, SlicedWasserstein

TAPS = np.array([1, 4, 6, 4, 1]) / 16


def photos(n: int, size: int = 64, channels: int = 3, seed: int = 0) -> Tensor:
    """Images (n, C, size, size), uint8, that are smooth with fine grain, as photographs are."""
    rng = np.random.default_rng(seed)
    shape = (n, channels, size, size)
    coarse = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 0, 8, 8), mode="wrap")
    fine = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 0, 0.5, 0.5))
    values = 128 + 40 * coarse / coarse.std() + 15 * fine / fine.std()
    return torch.from_numpy(values.clip(0, 255).round().astype(np.uint8))


def blurred(images: Tensor, sigma: float) -> Tensor:
    values = ndimage.gaussian_filter(images.numpy().astype(float), (0, 0, sigma, sigma))
    return torch.from_numpy(values.round().astype(np.uint8))


@pytest.mark.parametrize("size", [(16, 16), (20, 28), (7, 9)])
def test_halving_and_doubling_equal_scipys_convolutions(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size, dtype=torch.float32)
    kernel = np.outer(TAPS, TAPS)[None, None]
    small = ndimage.convolve(images.numpy(), kernel, mode="mirror")[:, :, ::2, ::2]
    np.testing.assert_allclose(swd.smaller(images), small, rtol=1e-5)
    spread = np.zeros(images.shape, np.float32)
    spread[:, :, ::2, ::2] = small
    large = ndimage.convolve(spread, kernel * 4, mode="mirror")
    np.testing.assert_allclose(swd.larger(torch.from_numpy(small), size), large, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((64, 64), [(64, 64), (32, 32), (16, 16)]),
        ((28, 28), [(28, 28)]),
        ((64, 128), [(64, 128), (32, 64), (16, 32)]),
        ((33, 33), [(33, 33), (17, 17)]),
        ((7, 12), [(7, 12)]),
    ],
)
def test_levels_are_halved_down_to_sixteen_pixels(size, levels) -> None:
    assert swd.level_sizes(*size) == levels


def test_levels_add_up_to_the_images() -> None:
    images = photos(2).float()
    rebuilt = swd.laplacian_level(images, 2, is_last=True)
    for level, size in ((1, (32, 32)), (0, (64, 64))):
        rebuilt = swd.larger(rebuilt, size) + swd.laplacian_level(images, level, is_last=False)
    torch.testing.assert_close(rebuilt, images, atol=1e-3, rtol=0)


def test_patches_are_of_the_image_and_normalised_by_channel() -> None:
    """Every pixel is its own number, so each patch tells where it was cut."""
    image = torch.arange(100).reshape(1, 1, 10, 10)
    images = torch.cat((image, 2 * image + 5), 1).to(torch.uint8)
    found = swd.patches_of(images, 0, is_last=True, seed=3).reshape(-1, 2, 7, 7)
    assert found.shape == (swd.PATCHES, 2, 7, 7)
    corners = {
        (y, x): image[0, 0, y : y + 7, x : x + 7].float() for y in range(4) for x in range(4)
    }
    step = found[0, 0, 0, 1] - found[0, 0, 0, 0]  # one pixel's, after normalisation
    first = found[:, 0, 0, 0] / step
    origin = first.min()  # of the patch at (0, 0): 128 draws of 16 places leave none out
    places = [divmod(round(float(v)), 10) for v in first - origin]
    assert set(places) == set(corners)
    for place, patch in zip(places, found[:, 0], strict=True):
        torch.testing.assert_close(patch / step - origin, corners[place], atol=1e-3, rtol=0)
    torch.testing.assert_close(found[:, 0], found[:, 1], atol=1e-5, rtol=0)
    assert float(found[:, 0].mean()) == pytest.approx(0, abs=1e-6)
    assert float(found[:, 0].std(correction=0)) == pytest.approx(1, rel=1e-5)


def test_distance_is_the_mean_of_scipys_over_directions() -> None:
    real, fake = photos(3, 16, 1, seed=1), photos(3, 16, 1, seed=2)
    directions = swd.directions_of(49, seed=0).double()
    assert directions.shape == (512, 49)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(512).double(), rtol=1e-6, atol=0)
    sides = [swd.patches_of(x, 0, is_last=True, seed=0).double() for x in (real, fake)]
    expected = np.mean(
        [wasserstein_distance(*((side @ d).numpy() for side in sides)) for d in directions]
    )
    assert RealPatches(real).distances(fake) == pytest.approx([expected], rel=1e-5)


def test_distance_of_two_pixels_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of 1 pixel, each image of one grey: projections are ± the normalised greys."""
    for name, value in {"PATCH": 1, "PATCHES": 2, "COARSEST": 2}.items():
        monkeypatch.setattr(swd, name, value)
    real, fake = (
        torch.tensor(v, dtype=torch.uint8).reshape(-1, 1, 1, 1) for v in ([0, 10, 0], [0, 0, 9])
    )
    # Normalised by each set's own mean and std, {0, 10, 0} and {0, 0, 9} are the same numbers.
    assert RealPatches(real).distances(fake) == pytest.approx([0], abs=1e-6)
    pair = torch.tensor([0, 10], dtype=torch.uint8).reshape(-1, 1, 1, 1).repeat(2, 1, 1, 1)
    more = torch.tensor([0, 0, 0, 10], dtype=torch.uint8).reshape(-1, 1, 1, 1)
    # ±1 twice each against -0.5774 three times and 1.7321: along +1 and -1 alike
    expected = (2 * (1 - 3**-0.5) + (1 + 3**-0.5) + (3**0.5 - 1)) / 4
    assert RealPatches(pair).distances(more) == pytest.approx([expected], rel=1e-5)


def test_equal_sets_are_at_distance_zero_and_equal_kinds_nearly() -> None:
    images = photos(40)
    real = RealPatches(images)
    assert real.distances(images) == [0, 0, 0]
    assert real.distances(images.clone()) == [0, 0, 0]
    same_kind = real.distances(photos(40, seed=1))
    far = real.distances(torch.randint(0, 256, images.shape, dtype=torch.uint8))
    assert all(0 < near < other for near, other in zip(same_kind, far, strict=True))
    fewer = RealPatches(photos(10)).distances(photos(10, seed=1))
    assert sum(fewer) > sum(same_kind)  # compare figures of equal n only


def test_blur_and_noise_show_at_the_finest_level_and_grow() -> None:
    images = photos(32)
    real = RealPatches(images)
    blurs = [real.distances(blurred(images, sigma)) for sigma in (0.4, 0.7, 1.2)]
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    noises = [
        real.distances((images + strength * noise).clamp(0, 255).round().to(torch.uint8))
        for strength in (4, 10, 30)
    ]
    for series in (blurs, noises):
        fine = [levels[0] for levels in series]
        assert fine == sorted(fine) and fine[0] > 0.005
        assert all(levels[0] > 2 * levels[-1] for levels in series)


def test_large_shapes_show_at_the_coarsest_level() -> None:
    """The same images, their quarters moved about: textures stay, the composition does not."""
    images = photos(48)
    ramp = torch.linspace(-60, 60, 64).expand(48, 3, 64, 64)
    images = (images + ramp).clamp(0, 255).to(torch.uint8)
    moved = images.flip(0)
    swapped = torch.cat((moved[..., 32:], moved[..., :32]), -1)
    levels = RealPatches(images).distances(swapped)
    assert levels[-1] > 3 * levels[0]


def test_held_and_remade_projections_give_the_same_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, fake = photos(5, 32), photos(5, 32, seed=9)
    held = RealPatches(real)
    expected = [held.distances(fake) for _ in range(2)]
    assert expected[0] == expected[1] and sorted(held._held) == [0, 1]
    monkeypatch.setattr(swd, "_CHUNK_BYTES", 7 * 4 * 5 * swd.PATCHES)  # seven directions at once
    monkeypatch.setattr(swd, "_IMAGES", 2)
    remade = RealPatches(real, held_bytes=0)
    for _ in range(2):
        assert remade.distances(fake) == pytest.approx(expected[0], rel=1e-5)
    assert remade._held == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_metric_is_the_mean_level_times_a_thousand_with_levels_in_details(channels: int) -> None:
    real, fake = photos(6, 32, channels), photos(6, 32, channels, seed=4)
    metric = SlicedWasserstein(RealPatches(real))
    for part in fake.float().div(127.5).sub(1).split(4):
        metric.update({"output": part})
    levels = [1e3 * d for d in RealPatches(real).distances(fake)]
    assert metric.result() == pytest.approx(sum(levels) / 2)
    assert metric.n == 6
    assert metric.details == {
        f"{side} px": {"SWD x1e3": pytest.approx(level)}
        for side, level in zip((32, 16), levels, strict=True)
    }


def test_constant_images_are_far_and_finite() -> None:
    """A collapsed generator: no contrast to divide by, and rounding is not blown up to texture."""
    grey = torch.full((6, 3, 64, 64), 77, dtype=torch.uint8)
    levels = RealPatches(photos(6)).distances(grey)
    assert all(0.3 < level < 1.5 for level in levels)
    assert RealPatches(grey).distances(grey) == [0, 0, 0]


def test_other_numbers_or_shapes_of_images_are_refused() -> None:
    real = RealPatches(photos(4, 16))
    for fake in (photos(3, 16), photos(4, 20), photos(4, 16, 1)):
        with pytest.raises(MetricError, match="as many of the same shape are needed"):
            real.distances(fake)
    with pytest.raises(MetricError, match="swd: images of 6x9; at least 7x7 is needed"):
        RealPatches(photos(2, 9)[:, :, :6])


def test_images_above_the_bound_are_thinned_alike_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gancompress.metrics.realside.MOST_IMAGES", 4)
    images = photos(10, 16)
    kept = ByteImages(10)
    for part in images.float().div(127.5).sub(1).split(3):
        kept.update(part)
    assert torch.equal(kept.result(), images[::3])
    metric = SlicedWasserstein(RealPatches(kept.result(), passing=10))
    metric.update({"output": images.float() / 127.5 - 1})
    assert metric.result() == 0 and metric.n == 4
