"""From a folder of pairs that anything made to a recipe that trains a cheap generator on them.

There is no teacher: the supernet learns from the pairs alone. What it is as many times cheaper than
is a generator of the usual width, which is never trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gancompress.archs.arch import Arch
from gancompress.data.folders import image_files
from gancompress.durations import duration
from gancompress.errors import DataError, RecipeError
from gancompress.project import Project
from gancompress.stages.asked import PAIRS, CompressOptions
from gancompress.stages.budgets import budgets_of
from gancompress.stages.compressrecipe import (
    CROP,
    LOADED,
    begin,
    finetuned,
    fraction_within,
    judged,
    name_of,
    read_settings,
    widths_about,
)
from gancompress.stages.estimates import student_seconds
from gancompress.stages.finetuningcost import supernet_steps_of_finetuning

WIDTH = 64  # The usual width of these families (Isola et al. 2017; Zhu et al. 2017).
SUPERNET, FINETUNE = 0.35, 0.55  # What parts of the minutes the trainings get.
# Names of the two folders of a set of pairs, input's first.
TWO_FOLDERS = (("input", "target"), ("inputs", "targets"), ("A", "B"), ("source", "target"),
               ("before", "after"))  # fmt: skip


def _resnet(size: tuple[int, int]) -> dict[str, Any]:
    # Zhu et al. 2017, section 7.2: six blocks for images of 128 pixels, nine from 256 on.
    return {"name": "resnet", "blocks": 9 if min(size) >= 256 else 6}


def _unet(size: tuple[int, int]) -> dict[str, Any]:
    halvings = (math.gcd(*size) & -math.gcd(*size)).bit_length() - 1
    return {"name": "unet", "levels": max(3, min(8, halvings))}


LIKE: Mapping[str, Callable[[tuple[int, int]], dict[str, Any]]] = {
    "resnet": _resnet,
    "unet": _unet,
}


def images_and_likeness(
    teacher: str, images: Path | None, like: str | None, *, has_options: bool
) -> tuple[Path, str]:
    """The folder of inputs, or of pairs; and the family that learns from pairs, "" for a teacher.

    has_options: whether some are given that are a teacher's. Raises: RecipeError.
    """
    if not teacher.startswith(PAIRS):
        if like is not None:
            raise RecipeError(f"--like {like}: given; it is for {PAIRS}DIR, {teacher} is a teacher")
        if images is None:
            raise RecipeError("--images: missing; give the folder of the generator's inputs")
        return images.expanduser(), ""
    if images is not None:
        raise RecipeError(f"--images {images}: given; {teacher} names the folder of pairs")
    if has_options:
        raise RecipeError(
            f"{teacher}: there is no teacher; --weights, --part, --args, --bind, --range and "
            "--channels are for one, leave them out"
        )
    if like is not None and like not in LIKE:
        raise RecipeError(f"--like {like}: unknown; one of {', '.join(LIKE)} is allowed")
    return Path(teacher.removeprefix(PAIRS)).expanduser(), like or next(iter(LIKE))


def project_of_pairs(
    options: CompressOptions, say: Callable[[str], None], *, is_dry: bool
) -> Project | None:
    """The project of a run that learns from pairs, its recipe written; see `compressed_project`."""
    settings = _with_widths(_recipe_of(options), options)
    timed = Project(read_settings(settings, options))
    step, _ = student_seconds(timed)
    parts = (SUPERNET, FINETUNE / supernet_steps_of_finetuning(timed))
    steps = [max(1, round(part * 60 * options.minutes / step)) for part in parts]
    settings["supernet"]["steps"], settings["finetune"]["steps"] = steps
    say(_understood(timed, options))
    say(
        f"training   a step of {settings['supernet']['batch_size']} takes {duration(step)} here: "
        f"{steps[0]} steps of all generators, {steps[1]} of {finetuned(timed.recipe)}"
    )
    return None if is_dry else begin(settings, options, step)


def layout_of(folder: Path) -> dict[str, Any]:
    """The keys of `data` that say how pairs lie in a folder. Raises: DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give pairs:DIR with a folder of pairs")
    inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    for one, other in TWO_FOLDERS:
        if one in inside and other in inside:
            return {
                "layout": "two-folders",
                "input_folder": str(inside[one]),
                "target_folder": str(inside[other]),
            }
    if any(name.casefold() in ("traina", "train_a", "train-a") for name in inside):
        return {"layout": "cyclegan", "folder": str(folder)}
    first = inside.get("train", folder)
    stems = [path.stem for path in image_files(first)]
    if all(stem.endswith(("_A", "_B")) for stem in stems):
        names = {"input_name": "*_A", "target_name": "*_B"}
        return {"layout": "one-folder", "folder": str(folder), **names}
    return {"layout": "side-by-side", "folder": str(folder)}


def _recipe_of(options: CompressOptions) -> dict[str, Any]:
    """The recipe as plain data, its widths, budgets and steps yet to be decided."""
    size = options.size or (CROP, CROP)
    return {
        "name": name_of(options),
        "data": {
            "name": "pairs",
            **layout_of(options.images),
            "load_size": f"short:{round(LOADED * max(size))}",
            "crop_size": list(size),
        },
        "family": LIKE[options.like](size),
        "task": {"name": "pix2pix"},
        "teacher": {"from": "none"},
        "space": {"widths": [WIDTH], "ops": ["dense"]},
        "supernet": {
            "steps": 1, "batch_size": 8, "lr": 8e-4, "ema": 0.99, "init": "random",
            "target": "ground-truth", "losses": {"l1": 100.0, "gan": 1.0},
        },
        "finetune": {"steps": 1, "lr": 8e-4, "lr_discriminator": 2e-4, "batch_size": 8,
                     "ema": 0.995},
        **judged(options),
    }  # fmt: skip


def _with_widths(settings: dict[str, Any], options: CompressOptions) -> dict[str, Any]:
    """The recipe with widths about the budget. Raises: RecipeError where none reaches it."""
    whole = Project(read_settings(settings, options))
    section = whole.recipe.search

    @cache
    def macs(width: int) -> int:
        return whole.cost(_uniform(whole, width)).macs(section.convention)

    budget = int(macs(WIDTH) / options.reduction)
    if macs(1) > budget:
        raise RecipeError(
            f"--reduction {options.reduction:g}: under the floor; a {options.like} of width 1 has "
            f"{macs(WIDTH) / macs(1):.3g} times fewer MACs than one of {WIDTH}; give a smaller "
            "reduction"
        )
    kept, half = (
        fraction_within(lambda fraction: macs(max(1, round(fraction * WIDTH))), most)
        for most in (budget, budget / 2)
    )
    widths = widths_about(WIDTH, kept, half)
    # The key is counted from the widest generator.
    second = math.floor(200 * macs(widths[0]) / budget) / 100
    more = [second] if macs(widths[-1]) <= budget / 2 else []
    search = {**settings["search"], "budget_macs": budget, "more_reductions": more}
    del search["reduction"]
    return {**settings, "space": {**settings["space"], "widths": widths}, "search": search}


def _uniform(project: Project, width: int) -> Arch:
    return project.family.uniform(width, "dense")


def _understood(project: Project, options: CompressOptions) -> str:
    """What was found, as a table for the user."""
    dataset, space = project.dataset, project.space
    convention, (height, width) = project.recipe.search.convention, project.input_shape[1:]
    usual = project.cost(_uniform(project, WIDTH))
    largest, smallest = (
        project.cost_model(arch).macs(convention) for arch in (space.largest, space.smallest)
    )
    counts = [f"{dataset.count(split):,} for {split}" for split in ("train", "search", "test")]
    inputs, outputs = project.recipe.channels
    widths = {w for slot, values in space.choices if slot.endswith(".width") for w in values}
    rows = [f"{row} at most {most:,}" for row, most in budgets_of(project).items()]
    return "\n".join(
        [
            f"pairs      {', '.join(counts)}, in {options.images}",
            f"  images   {inputs} to {outputs} channels, {height}x{width}",
            f"reference  a {options.like} of width {WIDTH}, which is not trained: "
            f"{usual.params:,} parameters, {usual.macs(convention):,} MACs at {height}x{width}",
            f"space      {space.size:,} generators, of {largest:,} to {smallest:,} MACs",
            f"  widths   {', '.join(map(str, sorted(widths, reverse=True)))}",
            f"rows       {'; '.join(rows)} MACs",
        ]
    )
