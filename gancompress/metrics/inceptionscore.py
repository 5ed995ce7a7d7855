"""Inception score (IS): whether images show one class each, and together all classes.

Salimans et al. 2016, section 4: exp of the mean of KL(p(y|x) || p(y)), from 1 to the number of
classes. It never looks at the real images, so theirs stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.classifiers import Classifier
from gancompress.metrics.realside import REAL_IMAGES, Details, Needs, RealImages

SPLITS = 10
FEWEST = 2 * SPLITS  # one image alone always scores 1


def inception_scores(probabilities: Tensor, splits: int = SPLITS, seed: int = 0) -> Tensor:
    """The score of each of `splits` parts (splits,), float64, of probabilities (N, K).

    The mean of KL(p(y|x) || p(y)) over images is the entropy of their mean less their mean entropy.
    Images are mixed first: those that follow each other in a data set are alike. No part can score
    more than it has images. Raises: MetricError for fewer than two images a part.
    """
    n = len(probabilities)
    if n < 2 * splits:
        raise MetricError(
            f"metric is: {n} image(s); its {splits} splits need at least {2 * splits}"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    scores = []
    for i in range(splits):
        part = probabilities[order[i * n // splits : (i + 1) * n // splits]].double()  # (m, K)
        divergence = _entropy(part.mean(0)) - _entropy(part).mean()
        scores.append(divergence.exp())
    return torch.stack(scores)


def _entropy(probabilities: Tensor) -> Tensor:
    """In nats, of the last axis."""
    return torch.special.entr(probabilities).sum(-1)


@dataclass(frozen=True)
class RealScore:
    """The classifier, and what the real images score by it."""

    classifier: Classifier
    mean: float
    std: float


class InceptionScore:
    """The mean score of 10 parts; `details` hold their standard deviation, and the real images'.

    "at most" there is what a part can score: as much as it has images, or the classifier classes.
    """

    name: ClassVar[str] = "is"
    better: ClassVar[str] = "max"
    needs: ClassVar[Needs] = frozenset({"classes"})

    @staticmethod
    def real_side(side: RealImages) -> RealScore:
        """Raises: MetricError without a classifier, or for fewer than FEWEST images."""
        if side.classifier is None:
            raise MetricError("metric is: no classifier was given; choose one in metrics")
        if side.n < FEWEST:  # before the classifier looks at them
            raise MetricError(f"metric is: {side.n} image(s); its splits need at least {FEWEST}")
        rows = [side.classifier.probabilities(images) for images in side.real_images()]
        scores = inception_scores(torch.cat(rows))
        return RealScore(side.classifier, float(scores.mean()), _std(scores))

    def __init__(self, real: RealScore) -> None:
        self._real = real
        self._rows: list[Tensor] = []
        self._mean, self._std, self._most = math.nan, math.nan, 0

    @property
    def label(self) -> str:
        return self._real.classifier.label

    @property
    def n(self) -> int:
        return sum(map(len, self._rows))

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._rows.append(self._real.classifier.probabilities(batch["output"]))

    def result(self) -> float:
        if not self._rows:
            raise MetricError(f"metric is: 0 image(s); its splits need at least {FEWEST}")
        scores = inception_scores(torch.cat(self._rows))
        self._mean, self._std = float(scores.mean()), _std(scores)
        self._most = min(self.n // SPLITS, self._rows[0].shape[1])
        return self._mean

    @property
    def details(self) -> Details:
        rows = {
            "generated images": (self._mean, self._std),
            REAL_IMAGES: (self._real.mean, self._real.std),
        }
        return {
            name: {self.label: mean, "std": std, "at most": self._most}
            for name, (mean, std) in rows.items()
        }


def _std(scores: Tensor) -> float:
    return float(scores.std(correction=0))  # as the paper's program
