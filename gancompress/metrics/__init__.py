"""Figures of how good generated images are."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.distances import FrechetDistance, KernelDistance
from gancompress.metrics.inceptionscore import InceptionScore
from gancompress.metrics.manifolds import Precision, Recall
from gancompress.metrics.msssim import PairSimilarity
from gancompress.metrics.pixel import L1, PSNR, SSIM, MultiscaleSSIM
from gancompress.metrics.realside import Details, Needs, RealImages
from gancompress.metrics.swd import SlicedWasserstein


class Metric(Protocol):
    """One figure over many generated images.

    `better` is "min" or "max"; `label` is how the figure is printed; `n` counts the images behind
    it; `details`, after `result`, are what it is made of. What it needs: a feature network, whose
    "features" batches must then carry; "pairs", targets that answer their inputs, one by one; a
    classifier, for "classes".
    """

    name: ClassVar[str]
    better: ClassVar[str]
    needs: ClassVar[Needs]

    @staticmethod
    def real_side(judge: RealImages) -> Any:
        """What it holds of the real images, worked out once for all generators."""

    def __init__(self, real: Any) -> None:
        """real: what `real_side` answered."""

    @property
    def label(self) -> str: ...

    @property
    def n(self) -> int: ...

    @property
    def details(self) -> Details: ...

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Takes the next images: "output" and "target" (N, C, H, W) in [-1, 1], and "features"
        (N, dim), those of "output", if the metric needs them."""

    def result(self) -> float:
        """The figure. Raises: MetricError for too few images."""


METRICS: dict[str, type[Metric]] = {
    "l1": L1,
    "psnr": PSNR,
    "ssim": SSIM,
    "ms-ssim-target": MultiscaleSSIM,
    "fd": FrechetDistance,
    "kid": KernelDistance,
    "swd": SlicedWasserstein,
    "ms-ssim": PairSimilarity,
    "is": InceptionScore,
    "precision": Precision,
    "recall": Recall,
}


def metric_named(name: str, others: Sequence[str] = ()) -> type[Metric]:
    """Raises: MetricError if there is none; it tells of METRICS, and of `others` beside them."""
    if name not in METRICS:
        names = [*METRICS, *others]
        close = difflib.get_close_matches(name, names, n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise MetricError(f"metrics: no metric {name!r}; one of {', '.join(names)}{meant}")
    return METRICS[name]
