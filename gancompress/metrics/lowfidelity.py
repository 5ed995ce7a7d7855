"""Low-fidelity evaluation: what a generator's full score will be, estimated from a few images.

Kendall's tau of estimates and full scores ("fd", 256 images, EffNet-Lite0, random archs), and the
share of the full score's time that an estimate takes:

    images  time   quickstart, 120   cyclegan-maps, 60   pix2pix-unet-maps, 60
                    look  forecast     look  forecast          look  forecast
    24      11 %    0.80    0.86       0.72    0.82            0.83    0.88
    32      15 %    0.82    0.88       0.76    0.81            0.85    0.88
    48      21 %    0.85    0.90       0.82    0.86            0.90    0.91
    64      27 %    0.89    0.93       0.85    0.88            0.90    0.91

"Forecast" is how a search ends: the best fifth and ten others are measured in full, a
`ScorePredictor` fitted on those gives the rest. The best arch was in the first six places of every
look. The distance of 64 images as they are, evenly spread: 0.82 and 0.79 (quickstart,
cyclegan-maps). What is cheaper ranks too badly: the mean distance of 64 outputs to the teacher's
0.34, to the targets 0.27, of their features to those of the teacher's 0.47, of the targets 0.58
(quickstart).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gancompress.data.dataset import Batch
from gancompress.errors import MetricError
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.frechet import Gaussian, Moments, frechet_terms
from gancompress.metrics.kid import kernel_distance

# The terms of the distance that a `ScorePredictor` weighs anew.
TERMS = ("shift", "variance", "overlap")
FEWEST = 6  # full scores that weights can be told from; fewer tell a constant alone
# The strengths of ridge regression that are tried, from almost none to almost no slopes.
STRENGTHS = np.logspace(-2, 3, 11)


class LowFidelityEvaluator:
    """Estimates what `Evaluator.score` answers, from `images` of the evaluator's images.

    Those are chosen by the features that the targets and the teacher's images have: the means of
    the few come as close as can be to the means of all (`herded`). All else is held ready, so a
    look costs the generator and the feature network on the few, and some milliseconds.

    Few images show too little variance and much too little overlap with the real side, and the
    less of it the fewer they are. Both are multiplied by what the teacher has on all images over
    what it has on the few, which puts "fd" on the scale of the full score, and in a better order.

    Args:
        evaluator: of the full score; it needs a feature network.
        teacher: inputs → images, as `Evaluator.score` takes it; asked once for every image.
        images: how many; as many as the evaluator has, or more, give the full score itself.

    Raises: MetricError without a feature network, for fewer than two images, or for a teacher whose
        images are not finite.
    """

    def __init__(
        self, evaluator: Evaluator, teacher: Callable[[Tensor], Tensor], images: int
    ) -> None:
        if evaluator.real is None:
            raise MetricError(
                "low-fidelity evaluation: no feature network was given; choose one in metrics"
            )
        if images < 2:
            raise MetricError(
                f"low-fidelity evaluation: {images} image(s); at least two are needed"
            )
        self._evaluator, self._real = evaluator, evaluator.real
        taught = (evaluator.answered(teacher, batch) for batch in evaluator.batches)
        rows = torch.cat([answer["features"].cpu() for answer in taught])  # (n, dim)
        kept = rows[:: self._real.stride]  # Rows of the same images as the real side's.
        both = torch.cat((self._real.rows, kept), 1)  # (k, 2 dim)
        chosen = [i * self._real.stride for i in herded(both, images)]
        self.n = len(chosen)
        self._batches = _picked(evaluator, chosen)
        self._gains = _gains(self._real.gaussian, rows, rows[chosen])

    def score(self, generate: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Estimates of the metrics "fd" and "kid", and the terms of "fd".

        "fd" is "shift" + "variance" + the real side's variance - 2 "overlap".
        Raises: MetricError if an image is not finite or not of its target's shape.
        """
        answers = [self._evaluator.answered(generate, batch) for batch in self._batches]
        rows = torch.cat([answer["features"].cpu() for answer in answers])  # (n, dim)
        terms = frechet_terms(self._real.gaussian, Moments.of(rows))
        variance, overlap = terms.variance * self._gains[0], terms.overlap * self._gains[1]
        distance = terms.shift + self._real.gaussian.variance + variance - 2 * overlap
        return {
            "fd": max(0.0, distance),
            "kid": kernel_distance(self._real.rows, rows, self._real.rows_within),
            "shift": terms.shift,
            "variance": variance,
            "overlap": overlap,
        }


def herded(rows: Tensor, count: int) -> list[int]:
    """`count` of the rows (n, dim) whose mean is near the mean of all, ascending; no more than n.

    One after the other, each the one that brings the sum of those chosen, about the mean of all,
    nearest to zero. Kernel herding with the linear kernel (Chen, Welling and Smola 2010).
    """
    centred = rows.double() - rows.double().mean(0)
    lengths = centred.square().sum(1)
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        after = lengths + 2 * (centred @ total)  # |total + row|² without what all have alike
        after[chosen] = torch.inf
        chosen.append(int(after.argmin()))
        total += centred[chosen[-1]]
    return sorted(chosen)


def _picked(evaluator: Evaluator, chosen: Sequence[int]) -> list[Batch]:
    """The chosen images (ascending, counted through all batches), in batches of full size."""
    wanted, start, size = set(chosen), 0, 0
    found: list[Batch] = []
    for batch in evaluator.batches:
        count = len(batch["target"])
        size = max(size, count)
        inside = [i for i in range(count) if start + i in wanted]
        found.append({key: value[inside] for key, value in batch.items()})
        start += count
    whole = {key: torch.cat([batch[key] for batch in found]) for key in found[0]}
    parts = {key: value.split(size) for key, value in whole.items()}
    return [dict(zip(parts, batch, strict=True)) for batch in zip(*parts.values(), strict=True)]


def _gains(real: Gaussian, rows: Tensor, few: Tensor) -> tuple[float, float]:
    """Variance and overlap of a teacher's features on all images over those on the few."""
    all_terms, of_few = (frechet_terms(real, Moments.of(side)) for side in (rows, few))
    pairs = (all_terms.variance, of_few.variance), (all_terms.overlap, of_few.overlap)
    variance, overlap = (whole / part if part > 0 else 1.0 for whole, part in pairs)
    return variance, overlap


@dataclass(frozen=True)
class ScorePredictor:
    """Predicts full scores from those of few images: their own estimate, put right linearly.

    The correction is a constant and a weight of each of `TERMS`, by ridge regression of what the
    estimates missed where both are known; its strength has the least leave-one-out error (Allen
    1974). Where it sees nothing to put right, the estimate stays.
    """

    objective: str  # "fd" or "kid"
    constant: float
    weights: tuple[float, ...]  # One weight for each of TERMS.

    @classmethod
    def fitted(
        cls, objective: str, looks: Sequence[Mapping[str, float]], scores: Sequence[float]
    ) -> ScorePredictor:
        """From some generators' scores on few images and in full, in the same order."""
        if not looks:
            return cls(objective, 0.0, (0.0,) * len(TERMS))
        terms = np.array([[look[name] for name in TERMS] for look in looks])  # (n, 3)
        missed = np.array(scores) - [look[objective] for look in looks]  # (n,)
        middle, spread = terms.mean(0), terms.std(0)
        spread[spread <= 1e-9 * np.abs(middle)] = np.inf  # equal for all: no weight
        weights = np.zeros(len(TERMS))
        if len(looks) >= FEWEST:
            weights = _ridge((terms - middle) / spread, missed - missed.mean()) / spread
        constant = float(missed.mean() - weights @ middle)
        return cls(objective, constant, tuple(map(float, weights)))

    def __call__(self, look: Mapping[str, float]) -> float:
        """The full score that is to be expected from those on few images."""
        parts = zip(self.weights, TERMS, strict=True)
        return look[self.objective] + self.constant + sum(w * look[name] for w, name in parts)


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights (dim,) for y (n,) of x (n, dim), both centred; the strength by leaving one out."""
    left, values, right = np.linalg.svd(x, full_matrices=False)
    best, weights = np.inf, np.zeros(x.shape[1])
    for strength in STRENGTHS:
        kept = values**2 / (values**2 + strength)
        fit = left @ (kept * (left.T @ y))
        levers = (left**2) @ kept + 1 / len(y)  # Leverages: each point's weight in its own fit.
        error = float(np.square((y - fit) / (1 - levers)).mean())
        if error < best:
            best = error
            weights = right.T @ (values / (values**2 + strength) * (left.T @ y))
    return weights
