"""What a metric is: one value over many generated images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor

from gancompress.metrics.realside import Details, Needs, RealImages


class Metric(Protocol):
    """One value over many generated images.

    `better` is "min" or "max"; `label` is how the value is printed; `n` counts the images behind
    it; `details`, after `result`, are what it is made of. What it needs: a feature network, whose
    "features" batches must then carry; "pairs", targets that answer their inputs, one by one; a
    classifier, for "classes".
    """

    name: ClassVar[str]
    better: ClassVar[str]
    needs: ClassVar[Needs]

    @staticmethod
    def real_side(side: RealImages) -> Any:
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
        """The value. Raises: MetricError for too few images."""
