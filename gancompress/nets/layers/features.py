"""Feature maps whose channels are split into frequency bands, and what works on them.

The split of OctConv (Chen et al. 2019) and of M-OctConv (Tobar and Torres 2020). Band b lies at
1/2^b of the resolution; the finest comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import ArchError

# One band: a tensor (N, C, H, W). More: a tuple, band b (N, C_b, ceil(H / 2^b), ceil(W / 2^b)).
Features = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Bands:
    """How channels are split: a fraction `alpha` at half the resolution, `beta` at a quarter.

    Chen et al. 2019 (beta = 0) and Tobar and Torres 2020. Raises: ArchError for fractions outside
    0..1, or a beta without an alpha: the low band is reached through the middle one alone.
    """

    alpha: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        if not (self.alpha >= 0 and self.beta >= 0 and self.alpha + self.beta <= 1):
            raise ArchError(
                f"bands: alpha {self.alpha:g}, beta {self.beta:g}; fractions from 0 on, "
                "together at most 1, are allowed"
            )
        if self.beta > 0 and self.alpha == 0:
            raise ArchError(
                f"bands: beta {self.beta:g} without alpha; the low band is reached through the "
                "middle one, give alpha above 0"
            )

    @classmethod
    def parse(cls, text: str) -> Bands:
        """Inverse of `str`: "0", "0.5", "0.5+0.25". Raises: ArchError."""
        try:
            fractions = [float(part) for part in text.split("+")]
        except ValueError:
            fractions = []
        if not 1 <= len(fractions) <= 2:
            raise ArchError(f"bands: {text!r}; ALPHA or ALPHA+BETA is needed, such as 0.5+0.25")
        return cls(*fractions)

    def __str__(self) -> str:
        # repr has every digit: a third of 12 channels is 4, 0.333333 of them 3.
        fractions = (self.alpha, self.beta) if self.beta else (self.alpha,)
        return "+".join(repr(fraction).removesuffix(".0") for fraction in fractions)

    @property
    def count(self) -> int:
        """How many bands there are, 1 to 3."""
        return 1 + (self.alpha > 0) + (self.beta > 0)

    def channels(self, total: int) -> tuple[int, ...]:
        """The channels of each band, finest first; coarse ones are rounded down."""
        coarse = [
            int(fraction * total + 1e-9) for fraction in (self.alpha, self.beta) if fraction > 0
        ]
        return (total - sum(coarse), *coarse)

    def is_whole(self, total: int) -> bool:
        """Whether the fractions give whole channels without rounding."""
        fractions = (self.alpha * total, self.beta * total)
        return all(abs(fraction - round(fraction)) < 1e-6 for fraction in fractions)


ONE = Bands()


def bands_of(x: Features) -> tuple[Tensor, ...]:
    return (x,) if isinstance(x, Tensor) else x


def features_of(bands: Sequence[Tensor]) -> Features:
    """One tensor for one band, otherwise a tuple."""
    return bands[0] if len(bands) == 1 else tuple(bands)


def per_band(function: Callable[[Tensor], Tensor], x: Features) -> Features:
    """`function` of every band, for whatever works on each by itself."""
    return function(x) if isinstance(x, Tensor) else tuple(function(band) for band in x)


def pooled(x: Tensor, times: int = 1) -> Tensor:
    """Averages of 2x2, `times` over; (N, C, ceil(H/2), ceil(W/2)), edges of odd sizes by fewer."""
    for _ in range(times):
        # Asked for only where it matters: with free sizes, torch.export cannot prove it harmless.
        odd = bool(x.shape[-2] % 2 or x.shape[-1] % 2)
        x = F.avg_pool2d(x, 2, ceil_mode=odd, count_include_pad=False)
    return x


def halved(side: int) -> int:
    """ceil(side / 2), in the form that torch.export sees through for an even free size."""
    return -(-side // 2)


def merged(x: Features) -> Tensor:
    """All bands as one tensor (N, C, H, W) at full resolution."""
    if isinstance(x, Tensor):
        return x
    sides = _sides(x[0], len(x))
    return torch.cat([_moved(band, level, 0, sides) for level, band in enumerate(x)], 1)


def converted(x: Features, bands: Bands) -> Features:
    """The same channels in the same order, split otherwise: averaged down, or repeated up.

    Without parameters; for junctions at which neighbours differ, such as a residual addition.
    """
    have = bands_of(x)
    sizes = tuple(band.shape[1] for band in have)
    wanted = bands.channels(sum(sizes))
    if sizes == wanted:
        return x
    sides = _sides(have[0], max(len(have), len(wanted)))
    ends = [0, *itertools.accumulate(sizes)]
    made: list[Tensor] = []
    start = 0
    for level, count in enumerate(wanted):
        parts = []
        for source, band in enumerate(have):
            low, high = max(start, ends[source]), min(start + count, ends[source + 1])
            if low < high:
                part = band[:, low - ends[source] : high - ends[source]]
                parts.append(_moved(part, source, level, sides))
        # Not len(have[0]), which torch.export takes for a constant.
        empty = have[0].new_empty(have[0].shape[0], 0, *sides[level])
        made.append(parts[0] if len(parts) == 1 else torch.cat([empty, *parts], 1))
        start += count
    return features_of(made)


def _sides(finest: Tensor, count: int) -> list[tuple[int, int]]:
    """Height and width of `count` bands."""
    height, width = finest.shape[-2:]
    sides = [(height, width)]
    for _ in range(count - 1):
        height, width = halved(height), halved(width)
        sides.append((height, width))
    return sides


def _moved(x: Tensor, source: int, level: int, sides: Sequence[tuple[int, int]]) -> Tensor:
    """`x` of band `source` at the resolution of `level`."""
    if not x.shape[1]:
        return x.new_empty(x.shape[0], 0, *sides[level])  # torch enlarges no empty tensor
    for finer in reversed(range(level, source)):
        # One level at a time: at odd sizes torch's nearest of both at once is not pixel i // 4.
        x = F.interpolate(x, size=sides[finer])
    return pooled(x, max(0, level - source))


def added(x: Features, y: Features) -> Features:
    """x + y, band by band, in the split of y."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return x + y
    split = bands_of(y)
    same = tuple(band.shape[1] for band in bands_of(x)) == tuple(b.shape[1] for b in split)
    assert same, "converted first"
    return features_of([a + b for a, b in zip(bands_of(x), split, strict=True)])
