"""Pixel metrics against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from gancompress.errors import MetricError
from gancompress.metrics.pixel import L1, PSNR, SSIM, MultiscaleSSIM, OfTargets


def images(n: int, seed: int, size: int = 16) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, (n, 3, size, size)).astype(np.float32))


def of(metric: OfTargets, output: Tensor, target: Tensor, batch: int = 2) -> float:
    for part in range(0, len(output), batch):
        piece = slice(part, part + batch)
        metric.update({"output": output[piece], "target": target[piece]})
    assert metric.n == len(output)
    return metric.result()


def test_l1_is_the_mean_absolute_difference() -> None:
    output, target = images(5, 1), images(5, 2)
    expected = np.abs(output.double().numpy() - target.double().numpy()).mean()
    assert of(L1(), output, target) == pytest.approx(expected, rel=1e-6)


def test_psnr_is_that_of_the_range_from_minus_one_to_one() -> None:
    output, target = images(5, 1), images(5, 2)
    error = ((output - target).double().numpy() ** 2).mean((1, 2, 3))
    assert of(PSNR(), output, target) == pytest.approx(np.mean(10 * np.log10(4 / error)), rel=1e-5)


def test_psnr_of_equal_images_is_finite() -> None:
    assert of(PSNR(), images(3, 1), images(3, 1)) == 100


def test_ssim_is_one_for_equal_images_and_lower_for_others() -> None:
    assert of(SSIM(), images(3, 1), images(3, 1)) == pytest.approx(1)
    assert of(SSIM(), images(3, 1), images(3, 2)) < 0.5


def test_ssim_takes_one_image_at_a_time() -> None:
    output, target = images(3, 1), (images(3, 1) + images(3, 2)) / 2
    one, three = of(SSIM(), output, target, 1), of(SSIM(), output, target, 3)
    assert one == pytest.approx(three, rel=1e-5)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(MetricError, match="images of 8x8; at least 11x11 is needed"):
        of(SSIM(), images(1, 1, 8), images(1, 2, 8))


def test_multiscale_ssim_is_that_of_torchmetrics_on_bytes() -> None:
    output, target = images(2, 1, 176), (images(2, 1, 176) + images(2, 2, 176)) / 2
    rounded = [((x + 1) * 127.5).round() / 255 for x in (output, target)]
    expected = multiscale_structural_similarity_index_measure(
        *rounded, data_range=1.0, reduction="elementwise_mean", normalize="relu"
    )
    assert 0.3 < float(expected) < 0.99
    assert of(MultiscaleSSIM(), output, target) == pytest.approx(float(expected), abs=2e-3)
    assert of(MultiscaleSSIM(), output, output) == pytest.approx(1)


def test_mean_of_no_images_is_refused() -> None:
    with pytest.raises(MetricError, match="a mean of no images"):
        L1().result()
