"""What scoring one candidate costs outside the generator and the feature network.

    python scripts/bench_fid.py                 # 500 images of 2048 values, 1 and 2 threads
    python scripts/bench_fid.py --no-reference  # without pytorch-fid's 20 s and more
    python scripts/bench_fid.py --intervals     # intervals of 525, 1000, 2000 images of 1280 values

Random features stand in for both networks' output. Ours is the whole of `Evaluator.score` (images
held in memory, L1, Frechet and kernel distance, real side known); pytorch-fid's is one call of
`calculate_frechet_distance` on ready means and covariances. An interval is that of the Frechet and
of the kernel distance by 200 halvings, on one thread. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from noiseimages import NoiseImages
from torch import Tensor

from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.frechet import Moments, frechet_distance
from gancompress.metrics.intervals import Halvings, spreads
from gancompress.metrics.realstats import RealStats

DIM = 2048
TARGET_S = 0.2
INTERVAL_DIM, RESAMPLES = 1280, 200
INTERVAL_TARGETS_S = {525: 10, 1000: None, 2000: 240}  # by the number of images


class Rows:
    """A feature network that answers with rows made before, in turn: first the real ones."""

    label, kid_label, dim, identity = "FID", "KID", DIM, "rows"

    def __init__(self, real: Tensor, fake: Tensor) -> None:
        self._rows = torch.cat([real, fake])
        self._fakes, self._next = len(real), 0

    def __call__(self, images: Tensor) -> Tensor:
        if self._next == len(self._rows):
            self._next = self._fakes
        rows = self._rows[self._next : self._next + len(images)]
        self._next += len(images)
        return rows

    def to(self, device: torch.device | str) -> Rows:
        return self


def features(n: int, seed: int, shift: float, dim: int = DIM) -> Tensor:
    """Correlated, positive rows (n, dim), as pooled activations are."""
    mixing = np.random.default_rng(0).normal(size=(dim, dim)) / dim**0.5
    rows = np.random.default_rng(seed).normal(size=(n, dim)) @ mixing
    return torch.from_numpy(np.maximum(rows + shift, 0).astype(np.float32))


def best_s(call: Callable[[], object], repeats: int = 9) -> tuple[float, float]:
    """The shortest of several times of `call` in seconds, by the clock and of the processor.

    The second hardly depends on what else runs. One call before does not count.
    """
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(clock for clock, _ in times), min(processor for _, processor in times)


def measure(n: int, size: int, reference: bool) -> dict[str, float]:
    """Times in seconds and values, with the thread count that this process was started with."""
    real, fake = features(n, 1, 0.0), features(n, 2, 0.1)
    evaluator = Evaluator(NoiseImages(n, size), "test", Rows(real, fake), 32)
    stats = evaluator.real
    assert isinstance(stats, RealStats)
    figures = evaluator.score(lambda x: x)
    score = best_s(lambda: evaluator.score(lambda x: x))
    frechet = best_s(lambda: frechet_distance(stats.gaussian, Moments.of(fake)))
    found = dict(zip(("score_s", "score_cpu_s"), score, strict=True))
    found |= {"frechet_s": frechet[0], "value": figures["fd"].value}
    if reference:
        sides = [f(x.double().numpy()) for x in (real, fake) for f in (mean_of, covariance_of)]
        start = time.perf_counter()
        found["reference_value"] = by_pytorch_fid(*sides)
        found["reference_s"] = time.perf_counter() - start
    return found


def measure_interval(n: int) -> dict[str, float]:
    """Seconds of both intervals, by the clock and of the processor, and the Frechet one's reach."""
    real, fake = (features(n, seed, shift, INTERVAL_DIM) for seed, shift in ((1, 0.0), (2, 0.1)))
    start = time.perf_counter(), time.process_time()
    drawn = Halvings.drawn(n, RESAMPLES, torch.Generator().manual_seed(0), together=True)
    reach = spreads(real, fake, drawn)["fd"].around(0.0)[1]
    times = time.perf_counter() - start[0], time.process_time() - start[1]
    return {"interval_s": times[0], "interval_cpu_s": times[1], "reach": reach}


def mean_of(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows.mean(0))


def covariance_of(rows: np.ndarray) -> np.ndarray:
    return np.cov(rows, rowvar=False)


def by_pytorch_fid(*sides: np.ndarray) -> float:
    """Its own function; nan where scipy 1.18 or later refuses its call of `sqrtm`."""
    from pytorch_fid.fid_score import calculate_frechet_distance  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(calculate_frechet_distance(*sides))
        except TypeError:
            return float("nan")


def in_new_process(threads: int, arguments: Sequence[str]) -> dict[str, float]:
    """What this script measures where every numerical library was limited to `threads` before.

    Once loaded they would not be.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    limits = dict.fromkeys(names, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, *arguments, "--measure"]
    done = subprocess.run(command, env=os.environ | limits, check=True, stdout=subprocess.PIPE)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=64, help="pixels of an image's side")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--intervals", action="store_true", help="time intervals instead")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure and given.intervals:
        print(json.dumps(measure_interval(given.images)))
        return
    if given.measure:
        print(json.dumps(measure(given.images, given.size, not given.no_reference)))
        return
    if given.intervals:
        print(f"{RESAMPLES} halvings, {INTERVAL_DIM} features, 1 thread")
        for n, target in INTERVAL_TARGETS_S.items():
            found = in_new_process(1, ["--intervals", "--images", str(n)])
            print(interval_row(n, target, found), flush=True)
        return
    print(f"{given.images} images of {given.size} px, {DIM} features; target {TARGET_S} s")
    print(
        "threads  Evaluator.score  (CPU time)  of it Frechet  pytorch-fid     ours    theirs  "
        "difference"
    )
    for threads in given.threads:
        arguments = ["--images", str(given.images), "--size", str(given.size)]
        found = in_new_process(
            threads, arguments + ["--no-reference"] * (given.no_reference or threads > 1)
        )
        print(row(threads, found), flush=True)


def interval_row(n: int, target: float | None, found: dict[str, float]) -> str:
    wanted = "" if target is None else f", target {target} s"
    return (
        f"{n:5d} images: {found['interval_s']:6.1f} s (CPU time {found['interval_cpu_s']:.1f} s"
        f"{wanted}), FD +/- {found['reach']:.3g}"
    )


def row(threads: int, found: dict[str, float]) -> str:
    theirs = found.get("reference_value", float("nan"))
    return (
        f"{threads:7d}  {found['score_s']:13.3f} s  {found['score_cpu_s']:8.3f} s  "
        f"{found['frechet_s']:11.3f} s  "
        f"{found.get('reference_s', float('nan')):9.1f} s  {found['value']:7.3f}  "
        f"{theirs:8.3f}  {abs(found['value'] - theirs):10.1e}"
    )


if __name__ == "__main__":
    main()
