"""Kernel distance (KID): the unbiased squared MMD of two feature sets under a cubic kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from gancompress.errors import MetricError

_ROWS = 2048  # Rows of one block, whose kernel values take 32 MiB in float64.


def kernel_sum(left: Tensor, right: Tensor) -> float:
    """The sum of k(x, y) = (x·y / dim + 1)³ over all pairs of rows, in float64.

    Args:
        left, right: features (N, dim) and (M, dim); never more than a block of the (N, M) kernel
            values is held.
    """
    total = 0.0
    for x in left.split(_ROWS):
        total += sum(_block_sum(x, y) for y in right.split(_ROWS))
    return total


def kernel_sum_within(features: Tensor) -> float:
    """The sum of k(x, y) over all ordered pairs of different rows of one set (N, dim)."""
    blocks = features.split(_ROWS)
    total = 0.0
    for i, x in enumerate(blocks):
        total += _block_sum(x, x) - float(kernel_values_within(x).sum())
        total += 2 * sum(_block_sum(x, y) for y in blocks[i + 1 :])
    return total


def weighted_kernel_sums(
    left: Tensor, right: Tensor, left_weights: Tensor, right_weights: Tensor
) -> Tensor:
    """The sums of u_i v_j k(x_i, y_j) over all pairs of rows, one for each pair of weightings.

    Args:
        left_weights, right_weights: (S, N) and (S, M), float64; the result is (S,).
    """
    total = torch.zeros(len(left_weights), dtype=torch.float64)
    for x, u in zip(left.split(_ROWS), left_weights.split(_ROWS, 1), strict=True):
        for y, v in zip(right.split(_ROWS), right_weights.split(_ROWS, 1), strict=True):
            total += (u @ _block(x, y) * v).sum(1)
    return total


def kernel_values_within(features: Tensor) -> Tensor:
    """k(x, x) of every row (N,), float64."""
    return _kernel(features.double().square().sum(1) / features.shape[1])


def _block_sum(x: Tensor, y: Tensor) -> float:
    return float(_block(x, y).sum())


def _block(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) of all pairs of rows (N, M)."""
    return _kernel(x.double() @ y.double().T / x.shape[1])


def _kernel(scaled_products: Tensor) -> Tensor:
    """Bińkowski et al. 2018, section 4: degree 3, gamma 1/dim, coefficient 1."""
    return (scaled_products + 1).pow(3)


def kernel_distance(real: Tensor, fake: Tensor, real_within: float | None = None) -> float:
    """KID of features (N, dim) and (M, dim): unbiased, so it may be slightly negative.

    Args:
        real_within: `kernel_sum_within(real)`, where it is known already.

    Raises: MetricError if a set has fewer than two rows or the dimensions differ.
    """
    n, m = len(real), len(fake)
    if min(n, m) < 2 or real.shape[1] != fake.shape[1]:
        raise MetricError(
            f"kid: feature sets of shape {tuple(real.shape)} and {tuple(fake.shape)}; "
            "both need two rows or more and the same dimension"
        )
    if real_within is None:
        real_within = kernel_sum_within(real)
    within = real_within / (n * (n - 1)) + kernel_sum_within(fake) / (m * (m - 1))
    return within - 2 * kernel_sum(real, fake) / (n * m)


class SparseRows:
    """Every `stride`-th row of what passes by, so that memory is bounded."""

    def __init__(self, stride: int, dtype: torch.dtype = torch.float32) -> None:
        self._stride, self._dtype = stride, dtype
        self._seen = 0
        self._kept: list[Tensor] = []

    def update(self, features: Tensor) -> None:
        """Takes the next features (N, dim), or images (N, C, H, W)."""
        first = -self._seen % self._stride
        self._kept.append(features[first :: self._stride].detach().to("cpu", self._dtype))
        self._seen += len(features)

    @property
    def n(self) -> int:
        return sum(len(rows) for rows in self._kept)

    def result(self) -> Tensor:
        """The kept rows (n, dim), on the CPU. Raises: MetricError if there were none."""
        if not self._kept:
            raise MetricError("metric: values of no images; at least one is needed")
        return torch.cat(self._kept)
