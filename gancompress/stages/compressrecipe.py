"""What the recipes that `gancompress compress` writes have in common, whatever is compressed."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from gancompress.durations import duration
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages.asked import RECIPE, CompressOptions, keep_asked
from gancompress.storage.checkpoint import write_text

# Sides of training crops of inputs: of what enlarges, and of anything else.
ENLARGING_CROP, CROP = 48, 128
# The shorter side that images are resized to first, over the crop: at least, and in training at
# most, so that things are learnt in several sizes.
LOADED, LOADED_MOST = 1.25, 3.0
WIDTHS = (1.6, 1.25, 1.0, 0.8, 0.6)  # Choices of widths, over those that keep the budget alike.
# From so many channels on, widths go in such steps: vector units take 8 or 16 at once.
STEPS = ((10, 8), (6, 4), (3, 2))


def name_of(options: CompressOptions) -> str:
    """The recipe's name."""
    return options.out.name if options.out.name[:1].isalnum() else "compressed"


def judged(options: CompressOptions) -> dict[str, Any]:
    """The sections that say how generators are judged and what is written at the end.

    A second row has half of the MACs.
    """
    has_efficientnet = find_spec("efficientnet_lite_pytorch")
    return {
        "metrics": {
            "features": "effnet-lite0-depths" if has_efficientnet else "inception",
            "batch_size": 8,
            "also": ["psnr", "ssim", *(["depths"] if has_efficientnet else [])],
        },
        "search": {
            "reduction": options.reduction, "more_reductions": [2 * options.reduction],
            "objective": "psnr", "candidates": 48, "population": 12, "first_images": 0,
            "images": 32,
        },
        **({"export": {"formats": list(options.formats)}} if options.formats else {}),
    }  # fmt: skip


def read_settings(settings: Mapping[str, Any], options: CompressOptions) -> Recipe:
    """The recipe of these settings. Raises: RecipeError."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / RECIPE
        file.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        return load_recipe(str(file), [f"run={options.out}", *options.overrides])


def begin(settings: Mapping[str, Any], options: CompressOptions, step: float) -> Project:
    """Writes the recipe of these settings into its run. step: seconds of a step of the supernet."""
    options.out.mkdir(parents=True, exist_ok=True)
    keep_asked(options)
    write_text(options.recipe, _text_of(settings, options, step))  # last: with it there is a run
    return Project(load_recipe(str(options.recipe), [f"run={options.out}", *options.overrides]))


def _text_of(settings: Mapping[str, Any], options: CompressOptions, step: float) -> str:
    what = options.teacher if options.like else f"{options.teacher} --images {options.images}"
    head = (
        f"# gancompress run {options.recipe} run={options.out}\n#\n"
        f"# Written by `gancompress compress {what}`,\n"
        f"# to be read and edited: {options.minutes:g} minutes on a machine where a step of the "
        f"supernet takes {duration(step)}.\n\n"
    )
    return head + yaml.safe_dump(dict(settings), sort_keys=False, width=98)


def finetuned(recipe: Recipe) -> str:
    """What is fine-tuned, for reading."""
    count = recipe.finetune.archs
    return "the chosen one" if count == 1 else f"each of {count} chosen ones"


def fraction_within(macs: Callable[[float], float], budget: float) -> float:
    """The largest fraction of all widths, alike, whose generator has at most `budget` MACs."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if macs(middle) <= budget else (low, middle)
    return low


def widths_about(full: int, fraction: float, least: float) -> list[int]:
    """Widths about a fraction of the full one, in steps that vector units like.

    Convolutions of 16 and 32 channels take less time for their MACs than those of 20 and 28, in
    training and in runtimes: scripts/bench_widths.py. least: the fraction that a second row must
    not exceed; the narrowest width does not.
    """
    middle = fraction * full
    unit = next((unit for channels, unit in STEPS if middle >= channels), 1)
    steps = [math.floor(f * middle / unit + 0.5) for f in WIDTHS]
    if steps[0] == math.floor(middle / unit + 0.5):  # Roles must be able to grow at others' cost.
        steps.append(steps[0] + 1)
    found = {min(full, max(1, unit * count)) for count in steps}
    if min(found) > (most := max(1, int(least * full))):
        found.add(most // unit * unit or most)
    return sorted(found, reverse=True)
