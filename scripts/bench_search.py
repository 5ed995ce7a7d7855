"""python scripts/bench_search.py --run RUN: what scoring the candidates of a search costs.

RUN holds a finished teacher and supernet: `gancompress train-supernet quickstart run=RUN` after
`gancompress train-teacher quickstart run=RUN`. Without one, `--random-weights` tells the times
alone in a minute or two. Three ways, on equal archs, images, features and threads:

- the plain loop: for each arch generate the images batch by batch, save them as 8-bit arrays, run
  the feature network (channels first, norms of their own) batch by batch, then pytorch-fid's
  distance of the means and covariances;
- in full: `Evaluator.score`, as the search does it;
- two rungs: `LowFidelityEvaluator` at all archs; then the best share of them and some probes in
  full, and a `ScorePredictor` for the rest.

The plain loop is measured on `--plain` of the archs; its best is the best of all full scores, which
are the same figures (the table says how far apart). Times are the processor's with one thread on a
CPU, which other programs blur less than the clock; otherwise the clock's.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plainloop import Features, PlainLoop, Watch, inception_weights, plain_effnet, plain_inception
from scipy.stats import kendalltau
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.archs.arch import Arch
from gancompress.errors import GanCompressError
from gancompress.evenly import evenly
from gancompress.metrics.efficientnet import EffNetLite0
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.features import Inception
from gancompress.metrics.lowfidelity import LowFidelityEvaluator, ScorePredictor
from gancompress.nets.layers.blocks import init_normal
from gancompress.project import Project
from gancompress.project.subnets import Subnets
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.search.feasible import FeasibleSampler
from gancompress.stages.budgets import costs_of, rows_of
from gancompress.supernet.supernet import Supernet

PROBES = 8  # archs measured in full, spread over those that few images eliminate
TOLD = "targets on a CPU: in full 2.5, two rungs 10 at tau 0.9, to the winner 20"
Nets = Callable[[Arch], nn.Module]


class Timed:
    """A network whose time is told by name; of a feature network, all that it says of itself."""

    def __init__(self, watch: Watch, name: str, net: Any) -> None:
        self._watch, self._name, self._net = watch, name, net

    def __call__(self, x: Tensor) -> Tensor:
        with self._watch.on(self._name):
            out: Tensor = self._net(x)
            return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._net, name)


@dataclass(frozen=True)
class Pieces:
    """What candidates are made of and judged by."""

    nets: Callable[[], Nets]  # from a supernet that has seen no arch yet
    teacher: nn.Module
    archs: list[Arch]
    evaluator: Evaluator
    plain: Features
    about: str


def pieces_of(recipe: Recipe, given: argparse.Namespace, watch: Watch, folder: Path) -> Pieces:
    """Raises: GanCompressError where the run lacks a stage."""
    project, what = Project(recipe), "real weights"
    device = project.device
    if given.features == "inception":
        weights, what = inception_weights(folder)
        network: EffNetLite0 | Inception = Inception(weights)
        plain = plain_inception(weights, device)
    else:
        network, plain = EffNetLite0(), plain_effnet(device)
    random = given.random_weights
    teacher = random_teacher(project) if random else project.teacher_net
    limits = next(iter(rows_of(project).values()))
    feasible = FeasibleSampler(project.space, costs_of(project), limits)
    archs: list[Arch] = []
    rng = np.random.default_rng(given.seed)
    while len(archs) < given.candidates and (one := feasible.draw_new(rng, set(archs))):
        archs.append(one)
    features: Any = Timed(watch, "feature network", network.to(device))
    data, size = project.dataset, recipe.metrics.batch_size
    evaluator = Evaluator(data, "search", features, size, images=given.images, device=device)
    about = f"{network.label} ({what}), {evaluator.n} images, {len(archs)} random archs"
    fresh = partial(random_nets, project) if random else lambda: Subnets(Project(recipe)).plain
    return Pieces(fresh, teacher, archs, evaluator, plain, about)


def random_nets(project: Project) -> Nets:
    """Of a supernet of the right shapes."""
    supernet = Supernet(project.family.build, project.space)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in supernet.shared.values():
            tensor.normal_(0.0, 0.05, generator=generator)
    return supernet.to(project.device).eval().extract


def random_teacher(project: Project) -> nn.Module:
    teacher = project.family.build(project.planned_arch)
    init_normal(teacher, torch.Generator().manual_seed(0))
    return teacher.to(project.device).eval()


@dataclass
class Way:
    """One way to score archs, with what it found: a score and seconds each, and seconds by part."""

    nets: Nets  # of its own, so that every arch is cut out for the first time
    score: Callable[[Any], Any]
    places: Collection[int]  # of the archs that it scores
    scores: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def take(self, arch: Arch, watch: Watch) -> None:
        watch.taken()
        begun = watch.now()
        with watch.on("cutting out"):
            net = self.nets(arch)
        self.scores.append(self.score(Timed(watch, "generator", net)))
        self.seconds.append(watch.now() - begun)
        for part, seconds in watch.taken().items():
            self.parts[part] = self.parts.get(part, 0.0) + seconds

    @property
    def mean_s(self) -> float:
        return float(np.mean(self.seconds))

    def __str__(self) -> str:
        parts = {name: total / len(self.scores) for name, total in self.parts.items()}
        parts["rest"] = self.mean_s - sum(parts.values())
        told = ", ".join(f"{name} {1000 * each:.0f}" for name, each in parts.items())
        return f"{1000 * self.mean_s:7.0f} ms: {told}"


@dataclass(frozen=True)
class Rungs:
    """What a search in two rungs ends with."""

    images: int  # The low-fidelity evaluation's number of images.
    seconds: float  # of everything
    until_winner: float  # seconds until the winner has been measured in full
    winner: float
    raw_tau: float  # Kendall's tau of the estimates from few images.
    tau: float  # of the last ranking: full scores where measured, forecasts elsewhere
    place: int  # The best arch's place in the order by few images, from 1.


def two_rungs(looks: Way, images: int, setup: float, full: Way, share: float) -> Rungs:
    """The search that evaluates all on few images, then the best in full, then some probes."""
    truth, firsts = np.array(full.scores), np.array([look["fd"] for look in looks.scores])
    order = np.argsort(firsts, kind="stable")
    count = math.ceil(share * len(order))
    best, rest = order[:count], order[count:]
    known = np.concatenate([best, rest[evenly(len(rest), PROBES)]])
    forecast = ScorePredictor.fitted("fd", [looks.scores[i] for i in known], truth[known].tolist())
    last = np.array([forecast(look) for look in looks.scores])
    last[known] = truth[known]
    first_s = setup + sum(looks.seconds)
    place = int(truth[best].argmin())
    return Rungs(
        images,
        seconds=first_s + sum(full.seconds[i] for i in known),
        until_winner=first_s + sum(full.seconds[i] for i in best[: place + 1]),
        winner=float(truth[best].min()),
        raw_tau=float(kendalltau(firsts, truth).statistic),
        tau=float(kendalltau(last, truth).statistic),
        place=1 + int((firsts < firsts[truth.argmin()]).sum()),
    )


def report(plain: Way, full: Way, rungs: Sequence[Rungs]) -> None:
    """The table of ratios, with the targets."""
    count = len(full.scores)
    base, best, total = plain.mean_s * count, min(full.scores), sum(full.seconds)
    pairs = [(one, full.scores[i]) for one, i in zip(plain.scores, plain.places, strict=True)]
    apart = max(abs(one - other) / abs(other) for one, other in pairs)
    print(
        f"\n{'':18} {'archs/min':>9} {'ratio':>6} {'s to winner':>11} {'ratio':>6} {'winner':>8} "
        f"{'tau':>6} {'look tau':>8} {'place':>5}"
    )

    def row(name: str, total: float, found: float, winner: float, ranks: str = "") -> None:
        print(f"{name:18} {60 * count / total:9.1f} {base / total:6.2f}", end="")
        print(f" {found:11.1f} {base / found:6.2f} {winner:8.2f} {ranks}")

    row("plain loop", base, base, best)
    row("in full", total, total, best)
    for r in rungs:
        ranks = f"{r.tau:6.3f} {r.raw_tau:8.3f} {r.place:5d}"
        row(f"two rungs, {r.images} first", r.seconds, r.until_winner, r.winner, ranks)
    print(
        "tau: Kendall's, to the full scores, of the last ranking and of few images; place: of "
        f"the best arch\nby few images; plain and full scores differ by {apart:.0e} at most\n"
        f"{TOLD}"
    )


def bench(given: argparse.Namespace) -> None:
    changes = [f"device={given.device}"] + ([f"run={given.run}"] if given.run else [])
    recipe = load_recipe(given.recipe, changes)
    watch = Watch(given.threads, Project(recipe).device)
    with tempfile.TemporaryDirectory() as folder:
        pieces = pieces_of(recipe, given, watch, Path(folder))
    print(
        f"{recipe.name}: {pieces.about}; torch {torch.__version__}, {given.threads} thread(s), "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    archs, evaluator, count = pieces.archs, pieces.evaluator, len(pieces.archs)
    loop = PlainLoop(evaluator.batches, pieces.plain, watch)
    evaluator.score(pieces.teacher)  # warms up, and makes the real side's statistics
    plain = Way(pieces.nets(), loop.score, evenly(count, given.plain, from_start=True))
    full = Way(pieces.nets(), lambda net: evaluator.score(net)["fd"].value, range(count))
    looks, setups = {}, {}
    for images in given.first_images:
        begun = watch.now()
        look = LowFidelityEvaluator(evaluator, pieces.teacher, images)
        setups[images] = watch.now() - begun
        looks[images] = Way(pieces.nets(), look.score, range(count))
    for i, arch in enumerate(tqdm(archs, "archs", leave=False)):
        # Way after way for each arch, so that all feel alike what else the machine does.
        for way in (plain, full, *looks.values()):
            if i in way.places:
                way.take(arch, watch)
    print(f"plain loop    {plain}\nin full       {full}")
    for images, way in looks.items():
        print(f"few images {images:2d} {way}; before all {1000 * setups[images]:.0f}")
    share = given.survivors
    report(plain, full, [two_rungs(w, n, setups[n], full, share) for n, w in looks.items()])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recipe", default="quickstart")
    add("--run", help="a run with a finished teacher and supernet")
    add("--random-weights", action="store_true", help="no run: times alone, scores mean nothing")
    add("--candidates", type=int, default=120)
    add("--plain", type=int, default=6, help="archs that the plain loop is measured on")
    add("--images", type=int, default=256, help="of split search; 0: all")
    add("--first-images", type=int, nargs="+", default=[48], help="one row for each")
    add("--survivors", type=float, default=0.15, help="share that is judged in full")
    add("--features", choices=["effnet-lite0", "inception"], default="effnet-lite0")
    add("--device", default="cpu")
    add("--threads", type=int, default=1)
    add("--seed", type=int, default=0)
    given = parser.parse_args()
    if (given.run is None) != given.random_weights:
        parser.error("give either --run RUN or --random-weights")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    limits = dict.fromkeys(names, str(given.threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    if any(os.environ.get(name) != value for name, value in limits.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | limits)
    torch.set_num_threads(given.threads)
    try:
        bench(given)
    except GanCompressError as error:
        sys.exit(f"bench_search: {error}")


if __name__ == "__main__":
    main()
