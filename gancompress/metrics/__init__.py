"""Metrics of how good generated images are."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gancompress.errors import MetricError

if TYPE_CHECKING:
    from gancompress.metrics.metric import Metric

# The module and the class of each metric. Recipes and the command line read the names alone,
# without torch, which the classes need: a class is imported where it is asked for.
METRICS: dict[str, str] = {
    "l1": "pixel.L1",
    "psnr": "pixel.PSNR",
    "ssim": "pixel.SSIM",
    "lpips": "lpips.LPIPS",
    "depths": "depths.Depths",
    "ms-ssim-target": "pixel.MultiscaleSSIM",
    "fd": "distances.FrechetDistance",
    "kid": "distances.KernelDistance",
    "swd": "swd.SlicedWasserstein",
    "ms-ssim": "msssim.PairSimilarity",
    "is": "inceptionscore.InceptionScore",
    "precision": "manifolds.Precision",
    "recall": "manifolds.Recall",
}
MIOU = "miou"  # the metric of metrics.segmentation, beside METRICS


def metric_named(name: str, others: Sequence[str] = ()) -> type[Metric]:
    """Raises: MetricError if there is none; it tells of METRICS, and of `others` beside them."""
    if name not in METRICS:
        names = [*METRICS, *others]
        close = difflib.get_close_matches(name, names, n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise MetricError(f"metrics: no metric {name!r}; one of {', '.join(names)}{meant}")
    module, _, of_class = METRICS[name].partition(".")
    found: type[Metric] = getattr(importlib.import_module(f"{__name__}.{module}"), of_class)
    return found
