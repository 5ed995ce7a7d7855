"""Measured time of one call, on whatever runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Latency:
    """Times of one call: median and 95th percentile of `repeats`, torch's thread count then."""

    median_ms: float
    p95_ms: float
    repeats: int
    threads: int


def paired_latency(
    runs: Mapping[str, Call], repeats: int = 30, warmup: int = 5, *, is_warm: bool = False
) -> dict[str, Latency]:
    """Times several calls in turn, so that what else the machine does meets all of them alike.

    Every other round goes backwards, so that none is always the one after the largest. is_warm:
    whether a call goes ahead, uncounted, in every turn: caches then hold what this call needs, as
    where it is made again and again.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats}; at least 1")
    times_ms: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for run in runs.values():
            for _ in range(warmup):
                run()
        for i in range(repeats):
            for name in list(runs)[:: -1 if i % 2 else 1]:
                if is_warm:
                    runs[name]()
                times_ms[name].append(_once_ms(runs[name]))
    threads = torch.get_num_threads()
    return {
        name: Latency(float(np.median(t)), float(np.percentile(t, 95)), repeats, threads)
        for name, t in times_ms.items()
    }


def _once_ms(run: Call) -> float:
    _wait()
    start = time.perf_counter()
    run()
    _wait()
    return (time.perf_counter() - start) * 1e3


def _wait() -> None:
    """Until the GPU has done what it was given, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
