"""Frechet distance between Gaussians, exact and fast; statistics in one streaming pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gancompress.errors import MetricError


class Moments:
    """Mean and covariance of features that arrive in batches; float64, on the CPU.

    Up to `dim` rows are kept as they are, more are folded into a (dim, dim) sum: memory does not
    grow with their number.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._rows: list[Tensor] = []  # not yet folded
        self._waiting = 0
        self._folded = 0
        self._mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter: Tensor | None = None  # (dim, dim) sum of (x - mean)(x - mean)ᵀ

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The moments of one set of features (N, dim)."""
        moments = cls(features.shape[1])
        moments.update(features)
        return moments

    @property
    def n(self) -> int:
        return self._folded + self._waiting

    def update(self, features: Tensor) -> None:
        """Takes the next features (N, dim), of any floating dtype and device.

        Raises: MetricError if they are of another dimension or not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise MetricError(f"features: shape {tuple(features.shape)}; expected (N, {self.dim})")
        if not features.isfinite().all():
            raise MetricError(
                "features: values that are not finite; check the images and use float32 precision"
            )
        self._rows.append(features.detach().to("cpu", copy=True))
        self._waiting += len(features)
        if self.n > self.dim and self._waiting >= self.dim:
            self._fold()

    def _fold(self) -> None:
        """Merges the waiting rows into mean and scatter. Chan et al. 1979, eq. 2.1."""
        if not self._waiting:
            return
        rows = torch.cat(self._rows).double()  # (N, dim)
        n, total = len(rows), len(rows) + self._folded
        mean = rows.mean(0)
        centred = rows - mean
        scatter = centred.T @ centred  # (dim, dim)
        shift = mean - self._mean
        if self._scatter is not None:
            scatter += self._scatter
            scatter += torch.outer(shift, shift) * (n * self._folded / total)
        self._mean = self._mean + shift * (n / total)
        self._scatter, self._folded = scatter, total
        self._rows, self._waiting = [], 0

    def _check(self) -> None:
        if self.n < 2:
            raise MetricError(
                f"features: a covariance of {self.n} image(s); at least two are needed"
            )

    def mean(self) -> Tensor:
        """The mean (dim,). Raises: MetricError for fewer than two rows."""
        self._check()
        if self.n > self.dim:
            self._fold()
            return self._mean
        return torch.cat(self._rows).double().mean(0)

    def covariance(self) -> Tensor:
        """The unbiased covariance (dim, dim). Raises: MetricError for fewer than two rows."""
        root = self.thin_root()
        if root is not None:
            return root.T @ root
        assert self._scatter is not None
        return self._scatter / (self.n - 1)

    def thin_root(self) -> Tensor | None:
        """Centred rows F (n, dim) with FᵀF the covariance; None if there are more than `dim`.

        Raises: MetricError for fewer than two rows.
        """
        self._check()
        if self.n > self.dim:
            self._fold()
            return None
        rows = torch.cat(self._rows).double()
        return (rows - rows.mean(0)) / (self.n - 1) ** 0.5


@dataclass(frozen=True)
class Gaussian:
    """The fixed side of a Frechet distance: mean (dim,), and `root` (rank, dim), float64.

    rootᵀ·root is the covariance: the square root is taken once for all comparisons. `n` is the
    number of images behind it.
    """

    n: int
    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, moments: Moments) -> Gaussian:
        """Raises: MetricError for fewer than two rows."""
        thin = moments.thin_root()
        if thin is not None:
            return cls(moments.n, moments.mean(), thin)
        return cls.of_covariance(moments.n, moments.mean(), moments.covariance())

    @classmethod
    def of_covariance(cls, n: int, mean: Tensor, covariance: Tensor) -> Gaussian:
        """From the covariance (dim, dim); its eigenvalues that are negative, by rounding, are 0."""
        values, vectors = torch.linalg.eigh(covariance.double())
        keep = values > 0
        root = (vectors[:, keep] * values[keep].sqrt()).T.contiguous()  # (rank, dim)
        return cls(n, mean.double(), root)

    @property
    def variance(self) -> float:
        """The trace of the covariance."""
        return float(self.root.square().sum())


@dataclass(frozen=True)
class Terms:
    """What a Frechet distance to one real side is made of, each at least 0.

    shift ‖μ1 − μ2‖², variance tr S2 of the fake side, overlap tr (S1 S2)^½.
    """

    shift: float
    variance: float
    overlap: float


def frechet_distance(real: Gaussian, fake: Moments) -> float:
    """‖μ1 − μ2‖² + tr S1 + tr S2 − 2 tr (S1 S2)^½. Dowson & Landau 1982; Heusel et al. 2017.

    Raises: MetricError if the dimensions differ or `fake` holds fewer than two rows.
    """
    terms = frechet_terms(real, fake)
    return max(0.0, terms.shift + real.variance + terms.variance - 2 * terms.overlap)


def frechet_terms(real: Gaussian, fake: Moments) -> Terms:
    """The terms of `frechet_distance`.

    With R a root of the real side, tr (S1 S2)^½ is the sum of the square roots of the eigenvalues
    of R S1 Rᵀ; with F the centred features of few images, S1 = FᵀF, and of the smaller of the two
    Gram matrices of F Rᵀ.

    Raises: MetricError if the dimensions differ or `fake` holds fewer than two rows.
    """
    if fake.dim != len(real.mean):
        raise MetricError(
            f"frechet: features of {len(real.mean)} and {fake.dim} dimensions cannot be compared; "
            "use one feature network for both sides"
        )
    shift = float((real.mean - fake.mean()).square().sum())
    thin = fake.thin_root()
    if thin is None:
        covariance = fake.covariance()
        variance = float(covariance.trace())
        overlap = _root_trace(real.root @ covariance @ real.root.T)
    else:
        variance = float(thin.square().sum())
        product = thin @ real.root.T  # (n, rank)
        short = product if product.shape[0] <= product.shape[1] else product.T
        overlap = _root_trace(short @ short.T)
    return Terms(shift, variance, overlap)


def _root_trace(matrix: Tensor) -> float:
    """The trace of the square root of a positive semidefinite matrix, rounding clamped at 0."""
    return float(torch.linalg.eigvalsh(matrix).clamp(min=0).sqrt().sum())
