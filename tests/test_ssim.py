"""SSIM against its definition on 0 to 255, against a peer, and its parts among each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from gancompress.distill.losses import DISTILL_LOSSES, Comparison
from gancompress.metrics.msssim import WEIGHTS, similarities
from gancompress.metrics.pixel import SSIM
from gancompress.metrics.ssim import ssim, window_of

Bytes = NDArray[np.uint8]


def reference(one: Bytes, other: Bytes) -> float:
    """Wang et al. 2004 on the scale 0 to 255, of images (C, H, W); only windows that lie inside.

    What scikit-image computes with gaussian_weights, sigma 1.5 and use_sample_covariance False.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found = gaussian_filter(values, sigma=(0, 1.5, 1.5), radius=(0, 5, 5))
        return np.asarray(found[:, 5:-5, 5:-5])

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    found = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(found.mean())


def pair(level: float, spread: float, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Two related images (3, 24, 20) around a grey level."""
    rng = np.random.default_rng(seed)
    one = rng.normal(level, spread, (3, 24, 20))
    other = 0.7 * one + 0.3 * level + rng.normal(6, spread / 3, one.shape)
    return tuple(x.round().clip(0, 255).astype(np.uint8) for x in (one, other))  # type: ignore[return-value]


def signed(images: Bytes) -> Tensor:
    """As generators have them: (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(images.astype(np.float32) / 127.5 - 1)[None]


CASES = [(10, 8), (128, 2), (128, 40), (250, 1), (200, 60)]


@pytest.mark.parametrize(("level", "spread"), CASES)
def test_metric_and_loss_are_the_definition_on_bytes(level: float, spread: float) -> None:
    one, other = pair(level, spread)
    expected = reference(one, other)
    metric = SSIM()
    metric.update({"output": signed(one), "target": signed(other)})
    assert metric.result() == pytest.approx(expected, abs=1e-4)
    loss = DISTILL_LOSSES["ssim"](
        Comparison(signed(one), [signed(other)], [], lambda x: torch.zeros(()))
    )
    assert loss.item() == pytest.approx(1 - metric.result(), abs=1e-6)


def test_black_is_zero_so_a_shift_costs_more_in_the_dark() -> None:
    """Constant images have the luminance term alone: (2ab + C1) / (a^2 + b^2 + C1) by hand."""
    for a, b in ((0, 26), (115, 141), (229, 255)):
        c1 = (0.01 * 255) ** 2
        expected = (2 * a * b + c1) / (a * a + b * b + c1)
        images = (np.full((1, 16, 16), value, np.uint8) for value in (a, b))
        assert ssim(*map(signed, images)).item() == pytest.approx(expected, abs=1e-4)


def test_agrees_with_torchmetrics_on_zero_to_one_inside_the_border() -> None:
    """Which mirrors the image at its border and counts windows there too."""
    pairs = [pair(level, spread, seed) for seed, (level, spread) in enumerate(CASES)]
    one, other = (torch.cat([signed(p[i]) for p in pairs]).double() for i in (0, 1))
    _, windows = structural_similarity_index_measure(
        (one + 1) / 2, (other + 1) / 2, data_range=1.0, reduction="none", return_full_image=True
    )
    expected = windows[..., 5:-5, 5:-5].mean((1, 2, 3))
    torch.testing.assert_close(ssim(one, other), expected, atol=1e-6, rtol=0)


def test_multiscale_uses_the_same_terms_at_its_only_full_window() -> None:
    """Of images that are constant every contrast is 1, and MS-SSIM the last scale's luminance."""
    images = torch.stack([torch.full((1, 32, 32), value, dtype=torch.uint8) for value in (40, 90)])
    single = ssim(*(x[None].float() / 127.5 - 1 for x in images))
    found = similarities(images, torch.tensor([[0, 1]]))
    assert found.item() == pytest.approx(single.item() ** WEIGHTS[-1], abs=1e-4)


def test_gradient_is_that_of_differences_quotients() -> None:
    one, other = (signed(x).double()[..., :12, :13] for x in pair(100, 30))
    assert torch.autograd.gradcheck(lambda x: ssim(x, other), [one.requires_grad_()])


def test_window_is_eleven_or_what_there_is() -> None:
    assert [window_of(s, s) for s in (176, 11, 10, 4, 1)] == [11, 11, 10, 4, 1]
    assert window_of(300, 8) == window_of(8, 300) == 8
    small = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    assert math.isclose(ssim(small, small).item(), 1, abs_tol=1e-5)
