"""python scripts/study_enlarging.py RUN PHOTOGRAPHS [KEY=VALUE …]: a compressed enlarger, measured.

RUN compresses a generator that enlarges. The middle square of every photograph is made `--side`
pixels wide; the teacher's answer to it is what the run's generators, and the bicubic filter, are
held against: PSNR, SSIM and, with `metrics.lpips=FILE`, LPIPS, means with their standard
deviation over the photographs. `--picture FILE.png` shows some of them, the middle in full size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gancompress.data.crops import middle_square
from gancompress.data.folders import image_files
from gancompress.data.images import to_tensor
from gancompress.errors import GanCompressError
from gancompress.evenly import evenly
from gancompress.export.picture import grid
from gancompress.metrics.lpips import LPIPS
from gancompress.metrics.pixel import PSNR, SSIM, OfTargets
from gancompress.nets.bicubic import Bicubic
from gancompress.project import Project
from gancompress.project.results import winners_of
from gancompress.project.subnets import Subnets
from gancompress.recipe.reading import load_recipe
from gancompress.stages.export import chosen_nets

SHOWN, SHOWN_SIDE = 6, 192  # photographs in the picture, and pixels of each


def squares(folder: Path, side: int) -> Tensor:
    """(N, 3, side, side) in [-1, 1]: the middle square of each image, made that wide."""
    found = []
    for path in image_files(folder):
        whole = middle_square(np.asarray(Image.open(path).convert("RGB")), 0, path)
        small = Image.fromarray(whole).resize((side, side), Image.Resampling.BICUBIC)
        found.append(np.asarray(small))
    return to_tensor(np.stack(found))


@torch.no_grad()
def answers(net: nn.Module, images: Tensor) -> Tensor:
    """What a generator makes of the images, one by one, as they would be saved."""
    large = torch.cat([net(image[None]) for image in images]).clamp(-1, 1)
    return ((large + 1) * 127.5).round() / 127.5 - 1


def nets_of(project: Project) -> dict[str, nn.Module]:
    """The bicubic filter and the run's generators by name."""
    found = chosen_nets(winners_of(project.run), project.run, Subnets(project))
    scale = project.recipe.data.enlargement
    return {"bicubic": Bicubic(scale), **{name: net for name, (net, _) in found.items()}}


def table(shown: Mapping[str, Tensor], wanted: Tensor, metrics: list[OfTargets]) -> str:
    """A row for each generator."""
    lines = [
        "| generator | " + " | ".join(metric.label for metric in metrics) + " |",
        "|---" + "|--:" * len(metrics) + "|",
    ]
    for name, images in shown.items():
        cells = []
        for metric in metrics:
            values = torch.cat(
                [metric.compared(a[None], b[None]) for a, b in zip(images, wanted, strict=True)]
            )
            cells.append(f"{values.mean():#.4g} ± {values.std():.2g}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def middle(images: Tensor) -> Tensor:
    """The middle of the images, in full size."""
    start = max(0, (images.shape[-1] - SHOWN_SIDE) // 2)
    return images[..., start : start + SHOWN_SIDE, start : start + SHOWN_SIDE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("photographs", type=Path, help="a folder of images")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--side", type=int, default=80, help="pixels of what is enlarged")
    parser.add_argument("--picture", type=Path, help="a PNG file to write")
    given = parser.parse_args()
    recipe = load_recipe(f"{given.run}/recipe.yaml", given.overrides, of_run=True)
    project = Project(recipe, Path(given.run))
    images = squares(given.photographs, given.side)
    wanted = answers(project.teacher_net.cpu(), images)
    shown = {name: answers(net.cpu(), images) for name, net in nets_of(project).items()}
    metrics: list[OfTargets] = [PSNR(), SSIM()]
    if project.perceptual is not None:
        metrics.append(LPIPS(project.perceptual.cpu()))
    print(f"n={len(images)}, {given.side} px\n\n{table(shown, wanted, metrics)}")
    if given.picture is not None:
        columns = {"input": images, "teacher": wanted, **shown}
        few = evenly(len(images), SHOWN)
        at = {
            name: one[few] if name == "input" else middle(one[few]) for name, one in columns.items()
        }
        print(grid(at, given.picture))


if __name__ == "__main__":
    try:
        main()
    except GanCompressError as error:
        sys.exit(f"study_enlarging: {error}")
