"""The Frechet distance against pytorch-fid's own and scipy's matrix square root."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance


def features(n: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated, positive features (n, dim), float32, as a pooled ReLU layer gives."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dim, dim)) / dim**0.5
    rows = np.maximum(rng.normal(size=(n, dim)) @ mixing + shift, 0)
    return torch.from_numpy(rows.astype(np.float32))


def by_square_root(real: Tensor, fake: Tensor) -> float:
    """The definition, by scipy's matrix square root, which pytorch-fid takes too."""
    one, other = (x.double().numpy() for x in (real, fake))
    shift = one.mean(0) - other.mean(0)
    s1, s2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that a singular product is inaccurate
        root = scipy.linalg.sqrtm(s1 @ s2)
    return float(shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)


def by_pytorch_fid(real: Tensor, fake: Tensor) -> float:
    """pytorch-fid's own function; from scipy 1.18 on its call of sqrtm(disp=…) is refused."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 18):
        pytest.skip("pytorch-fid 0.3.0 calls scipy.linalg.sqrtm(disp=...), gone from scipy 1.18")
    sides = []
    for x in (fake, real):
        rows = x.double().numpy()
        sides += [rows.mean(0), np.cov(rows, rowvar=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(calculate_frechet_distance(*sides))


def ours(real: Tensor, fake: Tensor) -> float:
    return frechet_distance(Gaussian.of(Moments.of(real)), Moments.of(fake))


SIZES = [(200, 150, 24), (20, 150, 24), (200, 15, 24), (20, 15, 24), (24, 25, 24), (25, 24, 24)]


@pytest.mark.parametrize(("n", "m", "dim"), SIZES)
def test_distance_equals_the_matrix_square_root(n: int, m: int, dim: int) -> None:
    real, fake = features(n, dim, 1), features(m, dim, 2, shift=0.4)
    expected = by_square_root(real, fake)
    assert expected > 0.5
    assert ours(real, fake) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("n", "m", "dim"), [(300, 200, 64), (100, 50, 128)])
def test_distance_equals_pytorch_fid(n: int, m: int, dim: int) -> None:
    real, fake = features(n, dim, 3), features(m, dim, 4, shift=0.3)
    assert ours(real, fake) == pytest.approx(by_pytorch_fid(real, fake), abs=1e-3)


@pytest.mark.slow
def test_distance_equals_pytorch_fid_on_500_images_of_2048_values() -> None:
    real, fake = features(500, 2048, 3), features(500, 2048, 4, shift=0.1)
    assert ours(real, fake) == pytest.approx(by_pytorch_fid(real, fake), abs=1e-3)


def test_distance_of_two_known_gaussians_is_the_closed_form() -> None:
    """Diagonal covariances a², b²: ‖shift‖² + Σ (a − b)²."""
    a, b, shift = (torch.tensor(v, dtype=torch.float64) for v in ([1.0, 2.0], [3.0, 0.5], [2.0, 1]))
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    spread = signs * (3 / 4) ** 0.5  # of four points: unbiased variance 1
    found = ours(spread * a, spread * b + shift)
    assert found == pytest.approx(float((shift**2).sum() + ((a - b) ** 2).sum()), abs=1e-12)


@pytest.mark.parametrize("n", [12, 100])
def test_identical_sets_are_at_distance_zero(n: int) -> None:
    rows = features(n, 32, 5)
    assert 0 <= ours(rows, rows) < 1e-5


def test_distance_is_symmetric() -> None:
    one, other = features(20, 32, 6), features(90, 32, 7, shift=0.2)
    assert ours(one, other) == pytest.approx(ours(other, one), abs=1e-6)


def test_root_squares_to_the_covariance() -> None:
    for n in (10, 200):
        rows = features(n, 32, 8)
        root = Gaussian.of(Moments.of(rows)).root
        np.testing.assert_allclose(
            (root.T @ root).numpy(), np.cov(rows.double().numpy(), rowvar=False), atol=1e-12
        )


def test_negative_rounding_eigenvalues_do_not_harm() -> None:
    rows = features(40, 16, 9).double()
    covariance = Moments.of(rows).covariance() - 1e-12 * torch.eye(16)
    covariance[:, 0] = covariance[0, :] = 0
    covariance[0, 0] = -1e-13
    gaussian = Gaussian.of_covariance(40, rows.mean(0), covariance)
    assert torch.isfinite(gaussian.root).all()
    assert np.isfinite(frechet_distance(gaussian, Moments.of(rows)))


@pytest.mark.parametrize("batch", [1, 7, 16, 50, 1000])
@pytest.mark.parametrize("n", [10, 16, 17, 333])
def test_streamed_moments_equal_those_of_the_whole_set(n: int, batch: int) -> None:
    rows = features(n, 16, 10, shift=30.0)  # a mean far off: the naive sum of squares would lose
    moments = Moments(16)
    for part in rows.split(batch):
        moments.update(part)
    assert moments.n == n
    np.testing.assert_allclose(moments.mean().numpy(), rows.double().numpy().mean(0), rtol=1e-13)
    expected = np.cov(rows.double().numpy(), rowvar=False)
    np.testing.assert_allclose(moments.covariance().numpy(), expected, atol=1e-12)


def test_moments_go_on_after_they_were_read() -> None:
    rows, moments = features(100, 16, 11), Moments(16)
    moments.update(rows[:60])
    assert moments.covariance().shape == (16, 16)
    moments.update(rows[60:])
    np.testing.assert_allclose(
        moments.covariance().numpy(), np.cov(rows.double().numpy(), rowvar=False), atol=1e-13
    )


def test_moments_hold_a_bounded_number_of_values() -> None:
    moments = Moments(16)
    for seed in range(200):
        moments.update(features(10, 16, seed))
    held = sum(rows.numel() for rows in moments._rows)
    assert moments.n == 2000
    assert held <= 2 * 16 * 16


def test_moments_are_not_changed_through_the_callers_tensor() -> None:
    rows = features(30, 40, 12)
    moments = Moments.of(rows)
    before = moments.mean().clone()
    rows.zero_()
    assert torch.equal(moments.mean(), before)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(MetricError, match=r"a covariance of 1 image\(s\); at least two are needed"):
        Gaussian.of(Moments.of(features(1, 16, 0)))


def test_features_that_are_not_finite_are_refused() -> None:
    rows = features(4, 16, 0)
    rows[2, 3] = float("nan")
    with pytest.raises(MetricError, match="not finite"):
        Moments.of(rows)


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(MetricError, match=r"shape \(4, 8\); expected \(N, 16\)"):
        Moments(16).update(features(4, 8, 0))
    with pytest.raises(MetricError, match="8 and 16 dimensions cannot be compared"):
        ours(features(4, 8, 0), features(4, 16, 0))
