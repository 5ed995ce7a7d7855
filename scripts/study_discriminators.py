"""Smaller discriminators: the six of GAS against each other, and what batch norm has to do with it.

    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb fashion
    python scripts/study_discriminators.py fashion/usr/share/datasets/fashion-mnist --out study

LSGAN as published with them: sigmoid outputs, halved sums of squares over batches of 32. The same
generator learns against each discriminator, from the same first weights, images and vectors.
NAME+none and NAME+batch are NAME without batch norm, and with it everywhere: with the six, which
have it as published, they make the table {ordinary, depthwise} x {without, with batch norm}.

1500 steps of the six take 1500 seconds of one core: 13 minutes on two. On Fashion-MNIST, seed 0,
those with live batch norm are lost: separable-inception ends at (0.00, 15.91), won by the
discriminator, and makes noise (FD 1115), inception-32+batch at (0.01, 15.65), 847, dense, at step
930, at (16, 0), where all is called real. Without, both are sound: (1.90, 12.28), 618, and (2.63,
11.14), 544. Batch norm is it, not the depthwise form.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from discriminatorplots import draw_losses, draw_strips
from discriminatorwatch import Watch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.data.options import IdxOptions
from gancompress.errors import GanCompressError, MetricError
from gancompress.metrics.features import load_features
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.nets.discriminators.named import Discriminator
from gancompress.nets.layers.blocks import init_kaiming, init_normal
from gancompress.supernet.cost import Cost, network_cost

SIDE, LATENT, BATCH = 28, 64, 32
RATE, BETAS = 2e-4, (0.5, 0.999)  # Adam's, of both sides; --rate is another
SIX = ("plain", "separable-inception", "inception-32", "dense", "inception-16", "inception-8")
# (depthwise or not, batch norm or not) -> who stands for it
CROSS = {
    ("ordinary", "without"): "inception-32",
    ("ordinary", "with"): "inception-32+batch",
    ("depthwise", "without"): "separable-inception+none",
    ("depthwise", "with"): "separable-inception",
}
PARAMS = dict(zip(SIX, (388_865, 202_193, 216_705, 21_033, 54_593, 13_857), strict=True))
PAIRS = 256  # images whose distances are taken
# Of all sums at a batch of 32: everything is called real, nothing told apart, everything called
# made; and the fourth corner, where the discriminator has won.
SIGNATURES = {
    (16.0, 0.0): "all real",
    (8.0, 4.0): "at chance",
    (16.0, 16.0): "all made",
    (0.0, 16.0): "discriminator won",
}
NEAR = 0.5  # of a signature, in either loss: a thirtieth of what there is
LOCKED = 1e-3  # mean outputs on real and made images no further apart: nothing is told apart
ALIKE = 0.1  # of real images' distance: generated ones no further apart are one image


@dataclass(frozen=True)
class Outcome:
    """What one run left: losses (steps, 2) of D and G, gaps (steps,), images (n, 1, 28, 28)."""

    name: str
    cost: Cost
    seconds: float  # of one core
    losses: np.ndarray
    gaps: np.ndarray  # |mean D(real) - mean D(made)|, after the sigmoid
    images: np.ndarray
    named: tuple[str, ...] = ()  # what the guard of our trainings said, with the step

    @property
    def end(self) -> tuple[float, float]:
        """The median losses of D and G over the last tenth of the steps."""
        d, g = np.median(self.losses[-_tenth(self.losses) :], 0)
        return float(d), float(g)


def _tenth(values: np.ndarray) -> int:
    return max(1, len(values) // 10)


class Generator(nn.Module):
    """(N, 64) from N(0, 1) -> images (N, 1, 28, 28) in [-1, 1].

    With batch norm, live in every run: without it, 500 steps leave it at dots on black.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT, 64 * 7 * 7)
        self.ups = nn.Sequential(
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        images: Tensor = self.ups(self.dense(z).view(-1, 64, 7, 7))
        return images


def discriminator(run: str) -> Discriminator:
    """A new one; `run` is its name, perhaps with +none or +batch. Raises: ArchError."""
    name, _, norm = run.partition("+")
    net = Discriminator(name, 1, (SIDE, SIDE), norm or "published")
    params = sum(p.numel() for p in net.parameters())
    assert params == PARAMS.get(name, params), (run, params)
    return net


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Mao et al. 2017, eq. 9 with sums for means; after the sigmoid."""
    return ((real - 1).square().sum() + made.square().sum()) / 2


def generator_loss(made: Tensor) -> Tensor:
    return (made - 1).square().sum() / 2


def train(run: str, folder: Path, steps: int, seed: int, count: int, rate: float = RATE) -> Outcome:
    """One run; `count` images at the end."""
    data = IdxOptions(images=str(folder)).open()
    rng, vectors = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    net, generator = (
        part.to(memory_format=torch.channels_last) for part in (discriminator(run), Generator())
    )  # a quarter faster
    init_normal(generator, torch.Generator().manual_seed(seed))
    init_kaiming(net, torch.Generator().manual_seed(seed))
    cost = network_cost(discriminator(run).to("meta"), torch.empty(1, 1, SIDE, SIDE, device="meta"))
    of_net, of_generator = (
        torch.optim.Adam(part.parameters(), rate, betas=BETAS) for part in (net, generator)
    )
    losses, gaps = np.zeros((steps, 2)), np.zeros(steps)
    watch = Watch(run, torch.randn(BATCH, LATENT, generator=torch.Generator().manual_seed(seed)))
    began = time.process_time()
    for step in tqdm(range(steps), desc=run, unit="step", dynamic_ncols=True, mininterval=5):
        places = rng.integers(data.count("train"), size=BATCH)
        real = data.batch("train", places.tolist(), None)["target"]
        made = generator(torch.randn(BATCH, LATENT, generator=vectors))
        # Apart, so that batch norm does not tell them apart by their being mixed.
        logits = net(real), net(made.detach())
        outputs = [one.sigmoid() for one in logits]
        loss = discriminator_loss(*outputs)
        of_net.zero_grad()
        loss.backward()
        of_net.step()
        against = generator_loss(net(made).sigmoid())
        of_generator.zero_grad()
        against.backward()
        of_generator.step()
        watch.see(step + 1, (logits[0].detach(), logits[1].detach()), generator, real)
        losses[step] = loss.item(), against.item()
        gaps[step] = abs((outputs[0].mean() - outputs[1].mean()).item())
    seconds = time.process_time() - began
    with torch.no_grad():
        z = torch.randn(count, LATENT, generator=vectors.manual_seed(seed + 1))
        images = torch.cat([generator(part) for part in z.split(500)])  # by their own statistics
    return Outcome(run, cost, seconds, losses, gaps, images.numpy(), watch.named())


def distance(images: Tensor) -> float:
    """The mean root mean square difference of two of the images, of [-1, 1]."""
    flat = images[:PAIRS].flatten(1)
    return float(torch.pdist(flat).mean()) / math.sqrt(flat.shape[1])


def conclusion(outcome: Outcome, real_distance: float) -> str:
    """`healthy`, or how it collapsed: the signature of its losses, or images that are all alike."""
    d, g = outcome.end
    for (at_d, at_g), what in SIGNATURES.items():
        if max(abs(d - at_d), abs(g - at_g)) < NEAR:
            return f"collapsed ({at_d:g}, {at_g:g}): {what}"
    if np.median(outcome.gaps[-_tenth(outcome.gaps) :]) < LOCKED:
        return "collapsed: at chance"
    if distance(torch.from_numpy(outcome.images)) < ALIKE * real_distance:
        return "collapsed: one image"
    return "healthy"


def judge(real: Tensor) -> Callable[[Tensor], float]:
    """Images -> their Frechet distance to `real`; nan if the feature network is not installed."""
    try:
        net = load_features("effnet-lite0", {})
    except MetricError:
        return lambda images: math.nan
    with torch.no_grad():
        side = Gaussian.of(Moments.of(net(real)))

    def score(images: Tensor) -> float:
        with torch.no_grad():
            return frechet_distance(side, Moments.of(net(images)))

    return score


def outcomes(runs: Sequence[str], options: argparse.Namespace) -> Iterator[Outcome]:
    """All runs in order, `options.jobs` at a time in processes of one thread each."""
    how = options.folder, options.steps, options.seed, options.images, options.rate
    if options.jobs == 1:
        torch.set_num_threads(1)
        yield from (train(run, *how) for run in runs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, torch.set_num_threads, (1,)) as pool:
        waiting = [pool.submit(train, run, *how) for run in runs]
        for one in waiting:
            yield one.result()


HEAD = (f"{'discriminator':<26} {'params':>8} {'act. B':>8} {'saved B':>9} {'s/1000':>6} {'D':>6} "
        f"{'G':>6} {'apart':>6} {'FD':>6}  conclusion")  # fmt: skip


def row(outcome: Outcome, real_distance: float, score: Callable[[Tensor], float]) -> str:
    cost, (d, g) = outcome.cost, outcome.end
    per_1000 = 1000 * outcome.seconds / (len(outcome.losses) * BATCH)
    images = torch.from_numpy(outcome.images)
    return (
        f"{outcome.name:<26} {cost.params:>8} {cost.activation_bytes:>8} {cost.saved_bytes:>9} "
        f"{per_1000:>6.2f} {d:>6.2f} {g:>6.2f} {distance(images):>6.3f} {score(images):>6.1f}  "
        f"{conclusion(outcome, real_distance)}{''.join(f'; {text}' for text in outcome.named)}"
    )


def report(runs: Sequence[str], options: argparse.Namespace) -> None:
    """Runs all and prints the tables. Raises: DataError."""
    data = IdxOptions(images=str(options.folder)).open()
    count = min(options.images, data.count("test"))
    real = data.batch("test", range(count), None)["target"]
    score, apart = judge(real), distance(real)
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    print(HEAD)
    for one in outcomes(runs, options):
        found.append(one)
        print(row(one, apart, score), flush=True)
        curves = {f"{one.name}  ({one.cost.params:,})": one.losses for one in found}
        draw_losses(curves, options.out / "losses.png")  # anew, so that one can look on
        strips = {"real": real.numpy(), **{one.name: one.images for one in found}}
        draw_strips(strips, options.out / "samples.png")
    print(
        "params: trained; bytes: float32, one image; s/1000: seconds of one core to train on a\n"
        "thousand images; D, G: median losses of the last tenth of the steps; apart: distance\n"
        f"of two images, real ones {apart:.3f}; FD: Frechet distance on EffNet-Lite0, "
        f"{options.images} made and {count} real;\n"
        "behind the conclusion: what our trainings' guard named, from which step and at which"
    )
    print(cross({one.name: conclusion(one, apart) for one in found}))


def cross(conclusions: Mapping[str, str]) -> str:
    """The table {ordinary, depthwise} x {without, with batch norm}, as far as it is known."""
    lines = [f"{'':<10} {'without batch norm':<40} with batch norm"]
    for kind in ("ordinary", "depthwise"):
        cells = [conclusions.get(CROSS[kind, norm], "not run") for norm in ("without", "with")]
        lines.append(f"{kind:<10} {cells[0]:<40} {cells[1]}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds {train,t10k}-images-idx3-ubyte[.gz]")
    parser.add_argument("--out", type=Path, default=Path("study"), help="pictures; default study")
    parser.add_argument("--steps", type=int, default=1500, help="of each run; default 1500")
    parser.add_argument("--images", type=int, default=2000, help="judged of each; default 2000")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order; default 0")
    parser.add_argument("--rate", type=float, default=RATE, help="of Adam; default 2e-4")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time; default 2")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=list(dict.fromkeys([*SIX, *CROSS.values()])),
        help="discriminators, perhaps with +none or +batch; default: the six and the 2x2",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if min(options.steps, options.images - 1, options.jobs) < 1:
        parser.error("--steps and --jobs are 1 at least, --images is 2")
    try:
        for run in options.only:
            discriminator(run)
        report(options.only, options)
    except GanCompressError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
