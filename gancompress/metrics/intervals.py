"""How far a Frechet or kernel distance would move, had other images been tested: 95 % intervals.

What an interval is for. The Frechet distance of n images is biased upward, and nobody can take that
bias away reliably. So the interval is for the expectation of the value *at the same n*, over test
sets like this one: values of equal n compare, as ever, and what is asked is whether chance in the
choice of images explains a difference.

How it is made. A random halving of the n images is two independent test sets of n/2. The values of
both have the same expectation, bias included, so that half of their difference has mean 0 and half
the variance of a value of n/2 images; and as variance falls with 1/n, that is the variance of the
value of all n. The root of its mean square over `resamples` halvings is the standard deviation,
1.96 of which lie on each side of the value. This is a bootstrap without replacement of half the
images (McCarthy 1969, "Pseudo-replication: half samples"; Bickel et al. 1997 on drawing fewer than
n). Halves hold no image twice, so the kernel distance stays unbiased on them.

Why not the ordinary bootstrap. A resample of n with replacement has 63 % different images and thus
a bias of its own, on top of the value's: neither its percentiles nor their mirror image (the
"basic" interval) cover. Shifted to its own mean it covers, but repeated images inflate the value's
quadratic part's variance threefold, halvings twofold; and it takes longer. Measured: fraction of
100 to 200 sets whose interval holds the mean of 300 to 1500 sets, and mean width / that of 1.96
standard deviations of those; then the same for FD by the ordinary bootstrap's percentiles and by
the shifted one (the last line: 40 sets):

    features (n x values)             FD         KID      FD difference  percentiles   shifted
    rectified, paired, 100 x 256   0.95 1.09  0.95 1.03   0.99 1.20      0.00         0.96 1.18
    paired, 200 x 64               0.97 1.02  0.95 0.99   0.97 1.04      0.00         0.98 1.12
    paired, 500 x 32               0.94 0.97  0.99 0.98   0.97 0.97
    unpaired, 200 x 32             0.95 1.01  0.94 1.00   0.97 1.09      0.46         0.97 1.03
    a nearly perfect one, 100 x 128   1 1.43     1 1.74      1 1.42      0.00            1 2.26
    quickstart's teacher, 200 of 2065 tiles' EfficientNet-Lite0 features
                                   0.96 1.10  0.97 1.06   0.96 1.02      0.50         0.98 1.13

Too wide is the safe side; that is reached where the images are hardly worse than real ones.
`tests/test_metrics_intervals.py` has the simulation at a small size.

Which images. An image stands with its input and, where the data set is paired, its target: other
test images would change both, so both sides are halved together. An unpaired real side is halved on
its own, for other real images would move the value as well. A style code that an input carries
(data/styled.py) goes with its image, so the interval covers the choice of codes too, and other
seeds of the codes would add nothing. Images that show the same thing (neighbouring tiles, one tile
on three maps, a real image that stands for several inputs) count as different ones here, which
makes an interval somewhat too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.subsets import DISTANCES_OF_SUBSETS

QUANTILE = 1.959964  # The 0.975 quantile of the standard normal distribution.
FEWEST = 20  # images that are halved; the standard deviation of fewer would itself be a guess

Interval = tuple[float, float]


@dataclass(frozen=True)
class Halvings:
    """Random halvings of n images; of an odd number each leaves another one out.

    fake, real: (resamples, 2, n // 2) indices, the same where images are halved in pairs.
    """

    n: int
    fake: Tensor
    real: Tensor

    @classmethod
    def drawn(cls, n: int, resamples: int, generator: torch.Generator, *, together: bool) -> Self:
        """Raises: MetricError for fewer than FEWEST images or no resample."""
        if n < FEWEST or resamples < 1:
            raise MetricError(
                f"interval: {resamples} halving(s) of {n} images; at least 1 of {FEWEST} is needed"
            )

        def one() -> Tensor:
            return torch.randperm(n, generator=generator)[: n // 2 * 2].view(2, -1)

        fake = torch.stack([one() for _ in range(resamples)])
        real = fake if together else torch.stack([one() for _ in range(resamples)])
        return cls(n, fake, real)


@dataclass(frozen=True)
class Spread:
    """What halvings say of a value of n images: its deviations, one of each halving, around 0."""

    n: int
    deviations: tuple[float, ...]

    @classmethod
    def of(cls, by_half: Tensor, n: int) -> Self:
        """From the values (resamples, 2) of the halves of n images, of n // 2 each."""
        halved = cls(n // 2 * 2, tuple(((by_half[:, 0] - by_half[:, 1]) / 2).tolist()))
        return halved.of_more(n)

    def of_more(self, n: int) -> Self:
        """The spread of the value of n images: its variance falls with 1/n."""
        shrink = (self.n / n) ** 0.5
        return replace(self, n=n, deviations=tuple(shrink * x for x in self.deviations))

    @property
    def deviation(self) -> float:
        """The standard deviation of the value; the mean is 0, as the halves have no order."""
        return float(torch.tensor(self.deviations, dtype=torch.float64).square().mean().sqrt())

    def around(self, value: float) -> Interval:
        """The interval of 95 % around a value."""
        reach = QUANTILE * self.deviation
        return value - reach, value + reach

    def minus(self, other: Spread) -> Spread:
        """The spread of the difference of two values of the same images, equally halved."""
        mine, theirs = (self.n, len(self.deviations)), (other.n, len(other.deviations))
        if mine != theirs:
            raise MetricError(
                "interval: values of {} images by {} halvings and of {} by {}; only those of the "
                "same images and halvings can be compared".format(*mine, *theirs)
            )
        pairs = zip(self.deviations, other.deviations, strict=True)
        return replace(self, deviations=tuple(one - another for one, another in pairs))


def spreads(real: Tensor, fake: Tensor, halvings: Halvings) -> dict[str, Spread]:
    """The spreads of "fd" and "kid" of features (n, dim), of any floating dtype, on the CPU.

    Raises: MetricError if the sides are not both of the `n` images that were halved.
    """
    n = halvings.n
    if real.shape != fake.shape or len(real) != n:
        raise MetricError(
            f"interval: features of shape {tuple(real.shape)} and {tuple(fake.shape)}; "
            f"{n} rows of one dimension are expected of both"
        )
    return {
        name: Spread.of(distances(real, fake, halvings.real, halvings.fake), n)
        for name, distances in DISTANCES_OF_SUBSETS.items()
    }
