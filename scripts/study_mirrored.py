"""python scripts/study_mirrored.py RUN [KEY=VALUE …]: how much of a teacher's answers is chance.

RUN holds a finished teacher of inputs or pairs. It answers each image of a split as it is, and
turned by quarters and mirrored; what it makes of those is turned back. Printed is how far the two
are apart. A student can learn the teacher's answers better than that, but what it wins beyond is
detail that the teacher itself draws otherwise in a mirror.
LPIPS is among the metrics where `metrics.lpips=FILE` is given.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gancompress.errors import GanCompressError
from gancompress.metrics.lpips import LPIPS
from gancompress.metrics.pixel import L1, PSNR, SSIM, OfTargets
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.recipe.reading import load_recipe

Turn = Callable[[Tensor], Tensor]
SPLITS = ("train", "search", "test")


def turned(quarters: int, *, mirrored: bool) -> tuple[Turn, Turn]:
    """A turn of images (N, C, H, W), and the one that undoes it."""

    def there(x: Tensor) -> Tensor:
        x = x.flip(-1) if mirrored else x
        return x.rot90(quarters, (-2, -1))

    def back(x: Tensor) -> Tensor:
        x = x.rot90(-quarters, (-2, -1))
        return x.flip(-1) if mirrored else x

    return there, back


def study(project: Project, split: str) -> Iterator[str]:
    """A line for each turn. Raises: GanCompressError."""
    metrics: list[OfTargets] = [L1(), PSNR(), SSIM()]
    if project.perceptual is not None:
        metrics.append(LPIPS(project.perceptual))
    evaluator = evaluator_of(project, split, 0, metrics=["l1"])  # type: ignore[arg-type]
    inputs = [batch["input"] for batch in evaluator.batches]
    is_square = all(x.shape[-1] == x.shape[-2] for x in inputs)
    net = project.teacher_net

    def answered(turn: Turn = lambda x: x, back: Turn = lambda x: x) -> list[Tensor]:
        with torch.no_grad():
            return [back(net(turn(x))).clamp(-1, 1) for x in inputs]

    plain = answered()
    yield f"| n={evaluator.n} | {' | '.join(type(metric).__name__ for metric in metrics)} |"
    yield "|---" * (1 + len(metrics)) + "|"
    for mirrored in (False, True):
        for quarters in range(0, 4, 1 if is_square else 2):
            if not (mirrored or quarters):
                continue
            others = answered(*turned(quarters, mirrored=mirrored))
            apart = [
                torch.cat(
                    [metric.compared(a.clone(), b) for a, b in zip(others, plain, strict=True)]
                )
                for metric in metrics
            ]
            cells = [f"{statistics.mean(found.tolist()):.4g}" for found in apart]
            name = f"{'mirrored, ' if mirrored else ''}{90 * quarters} degrees"
            yield f"| {name} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        project = Project(
            load_recipe(f"{options.run}/recipe.yaml", options.overrides, of_run=True), options.run
        )
        for line in study(project, options.split):
            print(line, flush=True)
    except GanCompressError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
