"""python scripts/study_metrics.py RUN [KEY=VALUE …]: what each metric sees.

RUN holds a recipe and a finished teacher, and a supernet where `--arch` names one of its
generators. The pictures that this generator makes of the images of a split are changed in nine
ways, each in three strengths (scripts/imagechanges.py), and evaluated against the targets as they
are. For each number of images a table is printed: by how much a metric became worse, in half widths
of the interval of 95 % of that difference. Above 1 the change is noticed; below -1 the metric takes
it for an improvement. `--picture` keeps the first pictures under all changes, to judge strengths by
eye.

Beside the metrics that compare image by image, Frechet (fd) and kernel distances (kd) are measured
on the features of each network of `--features`, and on statistics of colours. LPIPS is among the
metrics where `metrics.lpips=FILE` is given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from imagechanges import CHANGES, OF_COLOURS, changed
from torch import Tensor
from torchvision.utils import make_grid, save_image
from tqdm import tqdm

from gancompress.errors import GanCompressError
from gancompress.metrics.depths import Depths, TargetCells
from gancompress.metrics.features import FEATURES, load_features
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.metrics.intervals import QUANTILE, Halvings, Spread, spreads
from gancompress.metrics.kid import kernel_distance
from gancompress.metrics.lpips import LPIPS
from gancompress.metrics.pixel import L1, PSNR, SSIM, MultiscaleSSIM, OfTargets
from gancompress.project import Project
from gancompress.project.archnames import parse_arch
from gancompress.project.evaluators import evaluator_of
from gancompress.project.subnets import Subnets
from gancompress.recipe.reading import load_recipe

COUNTS = (64, 256, 1000)
RESAMPLES = 40  # Halvings behind the intervals of distances between sets.
PART = 16  # Images that are measured at once; EfficientNet takes no more on a CPU.
SHOWN = 6  # Images of the picture.
COLOURS = "colours"


def colours_of(images: Tensor) -> Tensor:
    """(n, 9): means and deviations of brightness and of two differences of colours, how these two
    go with brightness (covariances), and mean saturation, of images (n, 3, H, W)."""
    r, g, b = images.unbind(1)
    planes = torch.stack(((r + g + b) / 3, r - g, (r + g) / 2 - b), 1).flatten(2)
    centred = planes - planes.mean(2, keepdim=True)
    mixed = (centred[:, :1] * centred[:, 1:]).mean(2)
    saturation = images.amax(1).sub(images.amin(1)).mean((1, 2))[:, None]
    return torch.cat((planes.mean(2), planes.std(2), mixed, saturation), 1)


@dataclass(frozen=True)
class Seen:
    """What is known of some images: values of each image by metric, features of each by kind."""

    values: Mapping[str, Tensor]
    features: Mapping[str, Tensor]


class Eye:
    """All metrics, on images in memory."""

    def __init__(self, project: Project, features: Sequence[str]) -> None:
        is_paired = project.dataset.paired
        self._metrics: list[OfTargets] = (
            [L1(), PSNR(), SSIM(), MultiscaleSSIM()] if is_paired else []
        )
        if is_paired and project.perceptual is not None:
            self._metrics.append(LPIPS(project.perceptual))
        weights = {"inception": project.recipe.metrics.inception_weights}
        self._nets = {name: load_features(name, weights) for name in features}
        if is_paired:
            self._metrics.append(Depths(TargetCells(project.depths)))

    @torch.no_grad()
    def __call__(self, images: Tensor, targets: Tensor) -> Seen:
        values: dict[str, list[Tensor]] = {}
        features: dict[str, list[Tensor]] = {}
        for part, wanted in zip(images.split(PART), targets.split(PART), strict=True):
            for metric in self._metrics:
                sign = 1 if metric.better == "min" else -1
                found = metric.compared(part.clone(), wanted)
                values.setdefault(metric.name, []).append(sign * found.double())
            for kind, rows in self._kinds(part).items():
                features.setdefault(kind, []).append(rows)
        return Seen(
            {name: torch.cat(parts) for name, parts in values.items()},
            {kind: torch.cat(parts) for kind, parts in features.items()},
        )

    def _kinds(self, part: Tensor) -> dict[str, Tensor]:
        found = {kind: net(part) for kind, net in self._nets.items()}
        return {**found, **({COLOURS: colours_of(part)} if part.shape[1] == 3 else {})}


def distances(real: Tensor, fake: Tensor, halvings: Halvings) -> dict[str, tuple[float, Spread]]:
    """Frechet and kernel distance of features (n, dim), each with its spread."""
    found = spreads(real, fake, halvings)
    fd = frechet_distance(Gaussian.of(Moments.of(real)), Moments.of(fake))
    return {"fd": (fd, found["fd"]), "kd": (kernel_distance(real, fake), found["kid"])}


def standardised(real: Tensor) -> Callable[[Tensor], Tensor]:
    """Features by the real ones' means and deviations."""
    mean, deviation = real.mean(0), real.std(0).clamp_min(1e-6)
    return lambda rows: (rows - mean) / deviation


class Table:
    """How far each metric notices each change, on `n` images."""

    def __init__(self, n: int, base: Seen, targets: Seen, *, is_paired: bool) -> None:
        self._n, self._base, self._targets = n, base, targets
        random = torch.Generator().manual_seed(0)
        total = len(next(iter(base.features.values())))
        self._rows = torch.randperm(total, generator=random)[:n]
        self._halvings = Halvings.drawn(n, RESAMPLES, random, together=is_paired)
        self._before = self._sets(base)
        self.lines: list[str] = []

    def _sets(self, seen: Seen) -> dict[str, tuple[float, Spread]]:
        found = {}
        for kind, rows in seen.features.items():
            real = self._targets.features[kind][self._rows]
            # They are of several units.
            even = standardised(real) if kind == COLOURS else lambda rows: rows
            for name, value in distances(
                even(real), even(rows[self._rows]), self._halvings
            ).items():
                found[f"{name} {kind}"] = value
        return found

    def add(self, name: str, strength: float, seen: Seen) -> None:
        """One row."""
        cells: dict[str, float] = {}
        for metric, after in seen.values.items():
            worse = (after - self._base.values[metric])[self._rows]
            reach = QUANTILE * float(worse.std()) / len(worse) ** 0.5
            cells[metric] = float(worse.mean()) / max(reach, 1e-12)
        for metric, (value, spread) in self._sets(seen).items():
            before, own = self._before[metric]
            reach = QUANTILE * spread.minus(own).deviation
            cells[metric] = (value - before) / max(reach, 1e-12)
        if not self.lines:
            self.lines = [
                f"| n={self._n} | | {' | '.join(cells)} |",
                "|---" * (2 + len(cells)) + "|",
            ]
        shown = " | ".join(f"**{x:.1f}**" if x > 1 else f"{x:.1f}" for x in cells.values())
        self.lines.append(f"| {name} | {strength:g} | {shown} |")


def pictures_of(project: Project, arch: str, split: str, images: int) -> tuple[Tensor, Tensor]:
    """What the generator makes of the split's images, and their targets: (n, C, H, W) each."""
    net = (
        project.teacher_net
        if arch == "teacher"
        else Subnets(project).plain(parse_arch(project, arch))
    )
    evaluator = evaluator_of(project, split, images, metrics=["swd"])  # type: ignore[arg-type]
    made, wanted = [], []
    for batch in tqdm(evaluator.batches, "pictures", unit="batch", leave=False):
        made.append(evaluator.answered(net, batch)["output"].cpu())
        wanted.append(batch["target"].cpu())
    return torch.cat(made), torch.cat(wanted)


def study(options: argparse.Namespace) -> None:
    """Measures and prints. Raises: GanCompressError."""
    project = Project(
        load_recipe(f"{options.run}/recipe.yaml", [f"run={options.run}", *options.overrides])
    )
    images, targets = pictures_of(project, options.arch, options.split, max(options.counts))
    cases: list[tuple[str, float]] = [
        (name, strength)
        for name, (_, strengths) in CHANGES.items()
        if images.shape[1] == 3 or name not in OF_COLOURS
        for strength in strengths
    ]
    if options.picture:
        shown = [targets[:SHOWN], images[:SHOWN]]
        shown += [changed(images, *case)[:SHOWN] for case in cases]
        save_image(
            make_grid(torch.cat(shown), SHOWN), options.picture, normalize=True, value_range=(-1, 1)
        )
    eye = Eye(project, options.features)
    base, wanted = eye(images, targets), eye(targets, targets)
    counts = sorted({min(n, len(images)) for n in options.counts})
    is_paired = project.dataset.paired
    tables = [Table(n, base, wanted, is_paired=is_paired) for n in counts]
    for name, strength in tqdm(cases, "changes"):
        seen = eye(changed(images, name, strength), targets)
        for table in tables:
            table.add(name, strength, seen)
    for table in tables:
        print("\n".join(table.lines), end="\n\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--arch", default="teacher", help="teacher, or one of the supernet's")
    parser.add_argument("--split", default="test", choices=["train", "search", "test"])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of images")
    parser.add_argument(
        "--features", nargs="+", default=["effnet-lite0", "effnet-lite0-depths"], choices=FEATURES
    )
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        study(options)
    except GanCompressError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
