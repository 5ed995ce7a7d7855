"""The kernel distance against torchmetrics' and against the sum over pairs written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import gancompress.metrics.kid as kid_module
from gancompress.errors import MetricError
from gancompress.metrics.kid import SparseRows, kernel_distance, kernel_sum, kernel_sum_within


def features(n: int, dim: int, seed: int, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.maximum(rng.normal(size=(n, dim)) + shift, 0).astype(np.float32))


@pytest.mark.parametrize("dim", [8, 200])
def test_distance_equals_torchmetrics(dim: int) -> None:
    from torchmetrics.image.kid import poly_mmd

    real, fake = features(60, dim, 1), features(60, dim, 2, shift=0.2)
    expected = float(poly_mmd(real.double(), fake.double()))
    assert expected > 0.01
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_distance_equals_the_sums_over_pairs_for_unequal_counts() -> None:
    real, fake = features(5, 4, 3).double().numpy(), features(7, 4, 4).double().numpy()

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 4 + 1) ** 3)

    within_real = np.mean(
        [k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i - j]
    )
    within_fake = np.mean(
        [k(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i - j]
    )
    across = np.mean([k(x, y) for x in real for y in fake])
    found = kernel_distance(torch.from_numpy(real), torch.from_numpy(fake))
    assert found == pytest.approx(within_real + within_fake - 2 * across, rel=1e-12)


def test_sums_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = features(50, 8, 5), features(33, 8, 6)
    whole = kernel_sum(real, fake), kernel_sum_within(real)
    monkeypatch.setattr(kid_module, "_ROWS", 16)
    assert (kernel_sum(real, fake), kernel_sum_within(real)) == pytest.approx(whole, rel=1e-13)


def test_known_real_side_changes_nothing() -> None:
    real, fake = features(20, 8, 7), features(30, 8, 8)
    known = kernel_distance(real, fake, kernel_sum_within(real))
    assert known == kernel_distance(real, fake)


def test_distance_of_samples_of_one_distribution_is_zero_on_average() -> None:
    """Unbiased: the mean over many small pairs is within its own error of zero."""
    found = [
        kernel_distance(features(10, 4, 2 * seed), features(10, 4, 2 * seed + 1))
        for seed in range(400)
    ]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < 3 * np.std(found) / 20


@pytest.mark.parametrize("batch", [1, 4, 5, 30])
@pytest.mark.parametrize("stride", [1, 3, 7])
def test_sparse_rows_are_every_strideth_row(stride: int, batch: int) -> None:
    rows, sparse = features(23, 4, 9), SparseRows(stride)
    for part in rows.split(batch):
        sparse.update(part)
    assert torch.equal(sparse.result(), rows[::stride])
    assert sparse.n == len(rows[::stride])


def test_one_row_is_refused() -> None:
    with pytest.raises(MetricError, match=r"shape \(1, 4\) and \(5, 4\); both need two rows"):
        kernel_distance(features(1, 4, 0), features(5, 4, 0))
