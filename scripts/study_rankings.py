"""python scripts/study_rankings.py RUN [KEY=VALUE …]: how many images each metric needs to rank.

RUN holds a finished supernet of inputs or pairs. Archs near the first row's budget are scored on
all images of the splits search and test. These are divided in two at random: metrics rank the archs
on n images of one part, and what they are held against is the judge's ranking on the whole other
part. Printed is the mean of Kendall's tau over the drawings, with its standard deviation: against
the metric itself (does it repeat?) and against each judge (does it tell what that one sees?).
LPIPS is among the metrics where `metrics.lpips=FILE` is given; Frechet (fd) and kernel distances
(kid) are measured on the features of each network of `--features`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from gancompress.archs.arch import Arch
from gancompress.data.dataset import Split
from gancompress.errors import GanCompressError
from gancompress.metrics.depths import Depths, TargetCells
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.features import FEATURES, FeatureNet, load_features
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.metrics.kid import kernel_distance
from gancompress.metrics.lpips import LPIPS
from gancompress.metrics.pixel import L1, PSNR, SSIM, OfTargets
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.subnets import Subnets
from gancompress.ranks import kendall_tau
from gancompress.recipe.reading import load_recipe
from gancompress.stages.budgets import rows_of

NEAR = 0.8  # Archs have at least this fraction of the budget: those that a search must tell apart.
COUNTS = (2, 4, 8, 16, 32, 64, 128)
SPLITS: tuple[Split, ...] = ("search", "test")
DISTANCES = ("fd", "kid")


class Scores:
    """What one arch answers: a value of each image by metric, and features of each image by the
    name of their network."""

    def __init__(self, compared: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> None:
        self.compared, self.features = compared, features

    @property
    def metrics(self) -> list[str]:
        """What `value` takes."""
        return [*self.compared, *(f"{kind} {name}" for name in self.features for kind in DISTANCES)]

    def value(self, metric: str, images: Tensor, targets: Mapping[str, Tensor]) -> float:
        """Of these images, better where it is lower. targets: features of all targets, by name."""
        if metric in self.compared:
            return float(self.compared[metric][images].mean())
        kind, name = metric.split()
        ours, theirs = self.features[name][images], targets[name][images]
        if kind == "kid":
            return kernel_distance(theirs, ours)
        return frechet_distance(Gaussian.of(Moments.of(theirs)), Moments.of(ours))


def archs_near(project: Project, count: int, rng: np.random.Generator) -> list[Arch]:
    """Different archs within the first row's budget, and near it."""
    most = next(iter(rows_of(project).values()))[0].most
    found: dict[Arch, None] = {}
    for _ in range(200 * count):
        arch = project.space.sample(rng)
        if NEAR * most <= project.cost_model(arch).macs(project.recipe.search.convention) <= most:
            found[arch] = None
        if len(found) == count:
            break
    return list(found)


def scored(
    evaluators: Sequence[Evaluator],
    project: Project,
    arch: Arch,
    networks: Mapping[str, FeatureNet],
    seen: TargetCells,
) -> Scores:
    """What the supernet's generator of `arch` answers to all images."""
    net, perceptual = Subnets(project).plain(arch), project.perceptual
    metrics: list[OfTargets] = [L1(), PSNR(), SSIM(), Depths(seen)]
    if perceptual is not None:
        metrics.append(LPIPS(perceptual))
    columns: dict[str, list[Tensor]] = {metric.name: [] for metric in metrics}
    features: dict[str, list[Tensor]] = {name: [] for name in networks}
    for batch in (batch for evaluator in evaluators for batch in evaluator.batches):
        answered = evaluators[0].answered(net, batch)
        for name, network in networks.items():
            features[name].append(network(answered["output"]).cpu())
        for metric in metrics:
            sign = 1 if metric.better == "min" else -1
            values = metric.compared(answered["output"], answered["target"])
            columns[metric.name].append(sign * values.cpu().double())
    return Scores(joined(columns), joined(features))


def joined(parts: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Of all batches, by name."""
    return {name: torch.cat(list(tensors)) for name, tensors in parts.items()}


def of_targets(
    evaluators: Sequence[Evaluator], networks: Mapping[str, FeatureNet], device: torch.device
) -> dict[str, Tensor]:
    """Features of all targets, by network."""
    found: dict[str, list[Tensor]] = {name: [] for name in networks}
    for batch in (batch for evaluator in evaluators for batch in evaluator.batches):
        for name, network in networks.items():
            found[name].append(network(batch["target"].to(device)).cpu())
    return joined(found)


def taus(
    scores: Sequence[Scores],
    targets: Mapping[str, Tensor],
    judges: Sequence[str],
    rng: np.random.Generator,
) -> Iterator[tuple[str, str, int, float]]:
    """(metric, judge, n, tau) of one drawing of the two parts."""
    mixed = torch.from_numpy(rng.permutation(images_of(targets)))
    first, second = mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]
    metrics = scores[0].metrics
    judged = {j: [s.value(j, second, targets) for s in scores] for j in {*metrics, *judges}}
    for n in [count for count in COUNTS if count <= len(first)] or [len(first)]:
        for metric in metrics:
            own = [s.value(metric, first[:n], targets) for s in scores]
            for judge in dict.fromkeys([metric, *judges]):
                tau = kendall_tau(own, judged[judge])
                if tau is not None:
                    yield metric, judge, n, tau


def images_of(features: Mapping[str, Tensor]) -> int:
    """How many there are."""
    return len(next(iter(features.values())))


def table(found: Mapping[tuple[str, str, int], list[float]], same: str | None) -> str:
    """Rows are metrics, columns numbers of images. same: the judge; None for the metric itself."""
    metrics = list(dict.fromkeys(metric for metric, _, _ in found))
    counts = sorted({n for _, _, n in found})
    lines = [
        "| metric | " + " | ".join(f"n={n}" for n in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
    ]
    for metric in metrics:
        cells = []
        for n in counts:
            values = found.get((metric, same or metric, n), [])
            cells.append(f"{np.mean(values):.2f} ± {np.std(values):.2f}" if values else "–")
        lines.append(f"| {metric} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--archs", type=int, default=24, help="generators that are ranked")
    parser.add_argument("--drawings", type=int, default=20, help="random divisions of the images")
    parser.add_argument(
        "--features", nargs="+", choices=FEATURES, help="Default: those of the recipe."
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    project = Project(
        load_recipe(f"{given.run}/recipe.yaml", given.overrides, of_run=True), given.run
    )
    rng = np.random.default_rng(given.seed)
    archs = archs_near(project, given.archs, rng)
    evaluators = [evaluator_of(project, split, 0, metrics=["l1"]) for split in SPLITS]
    weights = {"inception": project.recipe.metrics.inception_weights}
    networks = {
        name: load_features(name, weights).to(project.device)
        for name in given.features or [project.recipe.metrics.features]
    }
    seen = TargetCells(project.depths)
    scores = [
        scored(evaluators, project, arch, networks, seen)
        for arch in tqdm(archs, "scoring", unit="arch")
    ]
    targets = of_targets(evaluators, networks, project.device)
    judges = ["lpips", "psnr"] if project.perceptual is not None else ["psnr"]
    found: dict[tuple[str, str, int], list[float]] = {}
    for _ in range(given.drawings):
        for metric, judge, n, tau in taus(scores, targets, judges, rng):
            found.setdefault((metric, judge, n), []).append(tau)
    print(f"{len(archs)} archs, {images_of(targets)} images, {given.drawings} drawings\n")
    print(f"against the metric itself on the other part\n\n{table(found, None)}")
    for judge in judges:
        print(f"\nagainst {judge} on the other part\n\n{table(found, judge)}")


if __name__ == "__main__":
    try:
        main()
    except GanCompressError as error:
        sys.exit(f"study_rankings: {error}")
