"""How alike two scores rank the same things."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence

FEWEST = 3  # of fewer, a rank correlation says nothing


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b, 1 for equal orders; None of fewer than FEWEST, or where all are alike."""
    if len(one) < FEWEST:
        return None
    stats = importlib.import_module("scipy.stats")  # here: importing it takes a second
    tau = float(stats.kendalltau(one, other).statistic)
    return None if math.isnan(tau) else tau
