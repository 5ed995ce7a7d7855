"""python scripts/bench_supernet.py: what a supernet costs over plain networks, in one run.

Forward + backward of a subnet through its supernet against the same network extracted from it, by
turns, medians of the repeats: about a minute on one core. The target is a ratio of at most 1.15.
Then how many archs a second `CostModel` counts. With one thread processor time is measured, which
other programs blur less than the time on the wall; with more, the latter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.nets.families import family_of
from gancompress.supernet.cost import CostModel
from gancompress.supernet.supernet import Supernet

SIDE = 64  # pixels
TARGET = 1.15
WIDTHS = (64, 56, 48, 40, 32, 24, 16)
FAMILY = family_of("resnet")


@dataclass(frozen=True)
class Row:
    """One line of the table; width None draws another arch, never seen before, every time."""

    widest: int
    width: int | None
    op: str
    batch: int
    repeats: int
    dtype: torch.dtype = torch.float32


ROWS = (
    Row(widest=64, width=64, op="dense", batch=4, repeats=3),
    Row(widest=64, width=64, op="separable", batch=4, repeats=7),
    Row(widest=32, width=32, op="dense", batch=8, repeats=7),
    Row(widest=32, width=32, op="separable", batch=8, repeats=7),
    Row(widest=32, width=32, op="separable", batch=16, repeats=7),
    Row(widest=64, width=32, op="dense", batch=8, repeats=7),
    Row(widest=64, width=32, op="separable", batch=8, repeats=7),
    Row(widest=64, width=16, op="separable", batch=16, repeats=7),
    Row(widest=64, width=None, op="separable", batch=8, repeats=15),
    Row(widest=32, width=None, op="separable", batch=16, repeats=7),
    Row(widest=32, width=None, op="separable", batch=16, repeats=9, dtype=torch.bfloat16),
)


def filled(row: Row) -> Supernet:
    """A supernet with random weights and, in the supernet, all widths up to `row.widest`."""
    widths = [width for width in WIDTHS if width <= row.widest]
    supernet = Supernet(FAMILY.build, FAMILY.space(widths, [row.op]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in supernet.shared.values():
            tensor.normal_(0.0, 0.02, generator=generator)
    return supernet


def clock() -> float:
    """Seconds: of the processor with one thread, on the wall with more."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(owner: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor, row: Row) -> float:
    """The time of one forward + backward; gradients of `owner` begin at none."""
    owner.zero_grad(set_to_none=True)
    begun = clock()
    with torch.autocast("cpu", row.dtype, enabled=row.dtype != torch.float32):
        loss = run(x).float().square().mean()
    loss.backward()
    return clock() - begun


def measure(row: Row) -> tuple[float, float, float]:
    """Medians in milliseconds of static and supernet, and the median ratio of neighbours."""
    supernet, rng = filled(row), np.random.default_rng(1)
    x = torch.rand(row.batch, 3, SIDE, SIDE) * 2 - 1
    x = x.to(memory_format=torch.channels_last)
    static, shared = [], []
    for repeat in range(row.repeats + 1):
        arch = supernet.space.sample(rng)
        if row.width is not None:
            arch = FAMILY.uniform(row.width, row.op)
        net = supernet.extract(arch)
        if row.width is None:
            supernet._skeletons.clear()  # `extract` has seen the arch: forget it again
        pair = {}
        for side in ("static", "shared") if repeat % 2 else ("shared", "static"):
            pair[side] = _side(side, supernet, net, arch, x, row)
        if repeat:  # the first pair warms up
            static.append(pair["static"])
            shared.append(pair["shared"])
    ratio = statistics.median(b / a for a, b in zip(static, shared, strict=True))
    return 1000 * statistics.median(static), 1000 * statistics.median(shared), ratio


def _side(side: str, supernet: Supernet, net: nn.Module, arch: Arch, x: Tensor, row: Row) -> float:
    if side == "static":
        return seconds(net, net, x, row)
    return seconds(supernet, lambda images: supernet(arch, images), x, row)


def bench_cost() -> None:
    """Prints how long a `CostModel` takes to know the published space, and its speed then."""
    space = FAMILY.space(WIDTHS, ["separable"])
    begun = clock()
    model = CostModel(FAMILY.build, FAMILY.parts(), (3, 256, 256))
    rng = np.random.default_rng(2)
    archs = [space.sample(rng) for _ in range(2000)]
    for arch in archs:
        model(arch)
    warm = clock()
    for arch in archs:
        model(arch)
    rate = len(archs) / (clock() - warm)
    print(
        f"\nCostModel, ResNet-9, {space.size} archs: "
        f"first {len(archs)} archs in {warm - begun:.1f} s, then {rate:.0f} archs/s (target 2000)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, default=1, help="torch threads; default 1")
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    print(
        f"torch {torch.__version__}, {threads} thread(s) of {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; ResNet-9, {SIDE}x{SIDE}, channels_last, "
        f"forward + backward, medians of {'processor' if threads == 1 else 'wall'} time"
    )
    print(f"\n{'max':>4} {'arch':>6} {'op':>9} {'dtype':>8} {'batch':>5}", end="")
    print(f" {'static ms':>9} {'supernet ms':>11} {'ratio':>6}")
    worst = 0.0
    for row in ROWS:
        static, shared, ratio = measure(row)
        worst = max(worst, ratio)
        arch, dtype = str(row.width or "random"), str(row.dtype).removeprefix("torch.")
        print(f"{row.widest:>4} {arch:>6} {row.op:>9} {dtype:>8} {row.batch:>5}", end="")
        print(f" {static:>9.1f} {shared:>11.1f} {ratio:>6.3f}", flush=True)
    print(
        f"\nworst ratio {worst:.3f}, target <= {TARGET}: {'met' if worst <= TARGET else 'MISSED'}"
    )
    bench_cost()


if __name__ == "__main__":
    main()
