"""MS-SSIM of pairs: against torchmetrics on large images and Wang's definition on small ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from test_metrics_swd import photos
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from gancompress.errors import MetricError
from gancompress.metrics.msssim import (
    PairSimilarity,
    RealSimilarity,
    circle,
    mean_similarity,
    similarities,
)

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2


def plain(one: np.ndarray, other: np.ndarray) -> float:
    """Of two channels (H, W) in [0, 1], window by window, as Wang et al. write it."""
    factors = []
    for scale in range(5):
        height, width = one.shape
        side = min(11, height, width)
        places = np.arange(side) - (side - 1) / 2
        taps = np.exp(-(places**2) / (2 * (1.5 * side / 11) ** 2))
        kernel = np.outer(taps, taps) / taps.sum() ** 2
        values = []
        for top in range(height - side + 1):
            for left in range(width - side + 1):
                x, y = (w[top : top + side, left : left + side] for w in (one, other))
                mean_x, mean_y = (kernel * x).sum(), (kernel * y).sum()
                var_x = (kernel * (x - mean_x) ** 2).sum()
                var_y = (kernel * (y - mean_y) ** 2).sum()
                both = (kernel * (x - mean_x) * (y - mean_y)).sum()
                contrast = (2 * both + 0.03**2) / (var_x + var_y + 0.03**2)
                light = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
                values.append(contrast * light if scale == 4 else contrast)
        factors.append(float(np.mean(values)))
        even = height // 2 * 2, width // 2 * 2
        one, other = (
            x[: even[0], : even[1]].reshape(even[0] // 2, 2, even[1] // 2, 2).mean((1, 3))
            for x in (one, other)
        )
    return math.prod(max(f, 0) ** w for f, w in zip(factors, WEIGHTS, strict=True))


def test_smaller_images_are_refused() -> None:
    with pytest.raises(MetricError, match="ms-ssim: images of 15x64; at least 16x16 is needed"):
        similarities(torch.zeros(2, 1, 15, 64, dtype=torch.uint8), torch.tensor([[0, 1]]))


def similar(images: Tensor) -> Tensor:
    """Every image after the first is the first with more and more of itself."""
    share = torch.linspace(0, 0.6, len(images))[:, None, None, None]
    return (images[:1] * (1 - share) + images * share).round().to(torch.uint8)


def test_large_images_give_nearly_torchmetrics_figure() -> None:
    """Which has the same windows from 176 pixels on, but borders that are mirrored at last."""
    images = similar(photos(4, 256))
    pairs = torch.tensor([[0, 1], [1, 2], [3, 0]])
    one, other = (images[side].float() for side in pairs.T)
    expected = multiscale_structural_similarity_index_measure(
        one, other, data_range=255.0, reduction="none"
    )
    torch.testing.assert_close(similarities(images, pairs), expected, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("size", [16, 28, 64, 100])
def test_any_images_give_the_plain_definition(size: int) -> None:
    images = similar(photos(3, size, 1, seed=size))
    pairs = torch.tensor([[0, 1], [1, 2]])
    values = images[:, 0].numpy() / 255
    expected = [plain(values[i], values[j]) for i, j in pairs.tolist()]
    assert similarities(images, pairs).tolist() == pytest.approx(expected, rel=1e-3)
    assert min(expected) < 0.95


def test_pairs_are_a_circle_in_random_order() -> None:
    pairs = circle(50, seed=1)
    assert pairs.shape == (50, 2) and torch.equal(pairs, circle(50, seed=1))
    assert pairs.flatten().bincount().tolist() == [2] * 50
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    assert not torch.equal(pairs, circle(50, seed=2))
    near = int(((pairs[:, 0] - pairs[:, 1]).abs() == 1).sum())
    assert near < 10  # of neighbours in the data set


def test_collapsed_images_score_one_and_diverse_ones_less() -> None:
    images = photos(8)
    collapsed = images[:1].expand(8, -1, -1, -1)
    assert mean_similarity(collapsed) == pytest.approx(1, abs=1e-5)
    half = torch.cat((images[:4], collapsed[:4]))
    assert mean_similarity(images) < mean_similarity(half) < 1


def test_metric_shows_the_real_images_figure_beside_its_own() -> None:
    real, fake = photos(6, 48, 1), similar(photos(6, 48, 1, seed=3))
    metric = PairSimilarity(RealSimilarity(mean_similarity(real), 6))
    for part in fake.float().div(127.5).sub(1).split(4):
        metric.update({"output": part})
    assert metric.result() == mean_similarity(fake) and metric.n == 6
    assert metric.details == {"real images": {"MS-SSIM of pairs": mean_similarity(real)}}
    assert metric.result() > mean_similarity(real)


def test_one_image_has_no_pair() -> None:
    with pytest.raises(MetricError, match=r"ms-ssim: 1 image\(s\); at least two are needed"):
        mean_similarity(photos(1))
