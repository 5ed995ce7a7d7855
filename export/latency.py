"""Measured time of one call, on whatever runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from gancompress.turns import in_turns

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
    """Times several calls, see `in_turns`.

    is_warm: whether a call goes ahead, uncounted, in every turn: caches then hold what this call
    needs, as where it is made again and again.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats}; at least 1")
    calls = {name: partial(_once_ms, run, is_warm) for name, run in runs.items()}
    with torch.inference_mode():
        for run in runs.values():
            for _ in range(warmup):
                run()
        rounds = list(in_turns(calls, repeats))
    return {name: _latency([times_ms[name] for times_ms in rounds]) for name in runs}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's threads, and those of the runtimes' sessions that are made meanwhile: these take as
    many as torch has then, and keep them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _latency(ms: Sequence[float]) -> Latency:
    threads = torch.get_num_threads()
    return Latency(float(np.median(ms)), float(np.percentile(ms, 95)), len(ms), threads)


def _once_ms(run: Call, is_warm: bool) -> float:
    if is_warm:
        run()
    return time_ms(run, wall_seconds)


def time_ms(run: Call, clock: Callable[[], float]) -> float:
    """Milliseconds of one call by a clock that tells seconds."""
    start = clock()
    run()
    return (clock() - start) * 1e3


def wall_seconds() -> float:
    """The clock on the wall when the GPU has done what it was given, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
