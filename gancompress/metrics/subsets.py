"""Frechet and kernel distances of many subsets of the same images, from one product of them all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gancompress.bars import progress
from gancompress.metrics.kid import kernel_values_within, weighted_kernel_sums


def frechet_of_subsets(real: Tensor, fake: Tensor, reals: Tensor, fakes: Tensor) -> Tensor:
    """Frechet distances (S, H) of S times H subsets of features (n, dim); float64.

    Args:
        reals, fakes: (S, H, k) numbers of the k different rows of each subset, of the two sides.

    No covariance of a subset is formed: see `_overlap`.
    """
    origin = real.double().mean(0)  # values that all rows share would cost digits
    x, y = real.double() - origin, fake.double() - origin
    products = x @ y.T if reals.shape[-1] <= real.shape[1] else None  # (n, n)
    pairs = list(zip(reals.flatten(0, 1), fakes.flatten(0, 1), strict=True))
    found = []
    for i, j in progress(pairs, "intervals", leave=False, mininterval=1):
        a, b = x[i], y[j]  # (k, dim) each
        shift = (a.mean(0) - b.mean(0)).square().sum()
        overlap = _overlap(a, b) if products is None else _nuclear(products[i][:, j])
        found.append(shift + _variance(a) + _variance(b) - 2 * overlap)
    return torch.stack(found).view(reals.shape[:2])


def _variance(rows: Tensor) -> Tensor:
    """The trace of the unbiased covariance of rows (k, dim)."""
    return rows.var(0).sum()


def _nuclear(products: Tensor) -> Tensor:
    """tr (S1 S2)^½ of two sets of k rows, from all products (k, k) of a row with one of the other.

    With A and B the centred rows by (k - 1)^½ that is the sum of the singular values of A Bᵀ,
    which is `products` with both means taken out, by k - 1.
    """
    centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
    return torch.linalg.svdvals(centred).sum() / (len(products) - 1)


def _overlap(a: Tensor, b: Tensor) -> Tensor:
    """The same for more rows than values (k, dim): A and B are triangles (dim, dim), rotated."""
    one, other = (torch.linalg.qr(rows - rows.mean(0), mode="r")[1] for rows in (a, b))
    return torch.linalg.svdvals(one @ other.T).sum() / (len(a) - 1)


def kernel_of_subsets(real: Tensor, fake: Tensor, reals: Tensor, fakes: Tensor) -> Tensor:
    """Kernel distances (S, H), unbiased; arguments as above.

    All at once: a subset is a line of zeros and ones that weighs the kernel's values.
    """
    k = reals.shape[-1]
    x, y = _members(reals, len(real)), _members(fakes, len(fake))  # (S*H, n) each
    within = torch.zeros(len(x), dtype=torch.float64)
    for rows, members in ((real, x), (fake, y)):
        within += weighted_kernel_sums(rows, rows, members, members)
        within -= members @ kernel_values_within(rows)  # pairs of a row with itself
    across = weighted_kernel_sums(real, fake, x, y)
    return (within / (k * (k - 1)) - 2 * across / k**2).view(reals.shape[:2])


def _members(subsets: Tensor, n: int) -> Tensor:
    """Lines (S*H, n) of ones where a row is in the subset, and zeros."""
    lines = subsets.flatten(0, 1)
    return torch.zeros(len(lines), n, dtype=torch.float64).scatter_(1, lines, 1.0)


# By the metric whose figure it is.
DISTANCES_OF_SUBSETS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "fd": frechet_of_subsets,
    "kid": kernel_of_subsets,
}
