"""From a trained generator and a folder of inputs to a recipe that compresses it.

`gancompress compress` imports the generator, says what it understood, writes the recipe into the
run's folder, where it can be read and edited, and does its stages.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from gancompress.durations import duration
from gancompress.errors import RecipeError, RunError
from gancompress.importers.generators import How, open_generator
from gancompress.importers.tracedfile import ImportedGenerator, import_generator, save
from gancompress.nets.families.traced import TracedGenerator
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.stages.estimates import student_seconds
from gancompress.stages.understood import understood
from gancompress.stages.valuerange import with_its_range
from gancompress.storage.checkpoint import load_texts, write_text
from gancompress.supernet.cost import network_cost

IMPORTED, RECIPE = "imported.safetensors", "compress.yaml"
# Sides of training crops of inputs: of what enlarges, and of anything else.
ENLARGING_CROP, CROP = 48, 128
LOADED = 1.25  # The shorter side that images are resized to first, over the crop.
WIDTHS = (1.6, 1.25, 1.0, 0.8, 0.6)  # Choices of widths, over those that keep the budget alike.
# What parts of the minutes the stages get: the teacher's answers, supernet, fine-tuning.
ANSWERS, SUPERNET, FINETUNE = 0.12, 0.25, 0.5
MOST_ANSWERS, LEAST_ANSWERS = 4096, 256
ANSWERS_BYTES = 800_000_000  # The answers are kept in 8 bits.


@dataclass(frozen=True)
class CompressOptions:
    """What a user asks `gancompress compress` for; see its options."""

    teacher: str
    images: Path
    out: Path
    how: How = field(default_factory=How)
    reduction: float = 10.0
    minutes: float = 30.0
    value_range: str | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    formats: Sequence[str] = ()
    overrides: Sequence[str] = ()


def compressed_project(
    options: CompressOptions, say: Callable[[str], None], *, is_dry: bool
) -> Project | None:
    """The project of a run that compresses a trained generator, its recipe written.

    A run that is there already goes on with the recipe that it has. is_dry: everything is found
    out and said, nothing is left behind, and there is no project.
    Raises: GanCompressError of the kind that fits what is wrong, RunError for a run that was begun
    with other options; nothing is left behind then.
    """
    path = options.out / RECIPE
    if path.exists():
        _check_same(options)
        recipe = load_recipe(str(path), [f"run={options.out}", *options.overrides])
        say(f"{path}: goes on with this recipe")
        return None if is_dry else Project(recipe)
    opened = open_generator(options.teacher, options.how, say)
    found = import_generator(opened, options.teacher, size=options.size, channels=options.channels)
    found = with_its_range(
        found, opened.value_range, options.value_range, options.images, options.teacher, say
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / IMPORTED
        save(found, file, opened.about)
        planned = _planned(recipe_of(found, options, file), options)
        say(understood(Project(_read(planned.settings, options)), opened.about, found.difference))
        say(planned.text)
        if is_dry:
            return None
    options.out.mkdir(parents=True, exist_ok=True)
    about = f"{opened.about} ({options.teacher})"
    save(found, options.out / IMPORTED, about, asked=json.dumps(_asked(options)))
    settings = _from_file(planned.settings, options.out / IMPORTED)
    write_text(path, _text_of(settings, options, planned.step))
    return Project(load_recipe(str(path), [f"run={options.out}", *options.overrides]))


def _asked(options: CompressOptions) -> dict[str, str]:
    """What the run is begun with, as text by option; overrides are applied anew at each call."""
    how = options.how
    return {
        "TEACHER": options.teacher,
        "--images": str(options.images),
        "--weights": str(how.weights or ""),
        "--part": how.part or "",
        "--args": json.dumps(dict(how.arguments), sort_keys=True),
        "--bind": " ".join(
            f"{name}={hashlib.sha256(value.numpy().tobytes()).hexdigest()[:16]}"
            for name, value in sorted(how.bound.items())
        ),
        "--reduction": f"{options.reduction:g}",
        "--minutes": f"{options.minutes:g}",
        "--range": options.value_range or "",
        "--size": "x".join(map(str, options.size or ())),
        "--channels": str(options.channels or ""),
        "--for": " ".join(options.formats),
    }


def _check_same(options: CompressOptions) -> None:
    """Raises: RunError for a run that was begun with other options."""
    begun = json.loads(load_texts(options.out / IMPORTED).get("asked", "{}"))
    for option, value in _asked(options).items():
        if begun.get(option) != value:
            raise RunError(
                f"{options.out}: was begun with {option} {begun.get(option) or '(none)'}, not "
                f"{value or '(none)'}; give another --out, or what it was begun with after editing "
                f"{options.out / RECIPE}"
            )


def recipe_of(found: ImportedGenerator, options: CompressOptions, file: Path) -> dict[str, Any]:
    """The recipe as plain data, its widths and steps yet to be decided.

    file: where the imported generator lies.
    """
    facts = found.program.facts
    crop = _crop_of(found, options)
    load = f"short:{round(LOADED * max(crop) / facts.size_multiple) * facts.size_multiple}"
    return {
        "name": options.out.name if options.out.name[:1].isalnum() else "compressed",
        "data": {
            "name": "inputs",
            "folder": str(options.images),
            "load_size": load,
            "crop_size": list(crop),
            "input_channels": facts.in_channels,
            "target_channels": facts.out_channels,
            "scale": facts.enlargement,
        },
        "family": {"name": "traced", "file": str(file)},
        "task": {"name": "imitation"},
        "teacher": {"from": str(file), "steps": 1},
        "space": {"widths": {}, "ops": ["dense"]},
        "supernet": {
            "steps": 1, "batch_size": 8, "lr": 1e-3, "beta1": 0.9, "decay_from": 0.0, "ema": 0.99,
            "target": "teacher", "losses": {"l1": 100.0},
        },
        "metrics": {
            "features": "effnet-lite0" if find_spec("efficientnet_lite_pytorch") else "inception",
            "batch_size": 8,
            "also": ["psnr", "ssim"],
        },
        "search": {
            "reduction": options.reduction, "more_reductions": [2 * options.reduction],
            "objective": "psnr", "candidates": 48, "population": 12, "first_images": 0,
            "images": 32,
        },
        "finetune": {"steps": 1, "lr": 1e-3, "beta1": 0.9, "batch_size": 8, "decay_from": 0.0,
                     "ema": 0.99},
        **({"export": {"formats": list(options.formats)}} if options.formats else {}),
    }  # fmt: skip


def _crop_of(found: ImportedGenerator, options: CompressOptions) -> tuple[int, int]:
    facts = found.program.facts
    if facts.is_static:
        return facts.size
    if options.size is not None:
        return options.size
    side = ENLARGING_CROP if facts.enlargement > 1 else CROP
    side = -(-side // facts.size_multiple) * facts.size_multiple
    return side, side


@dataclass(frozen=True)
class Planned:
    """A recipe as plain data; the seconds of a step, and what was decided, for reading."""

    settings: dict[str, Any]
    step: float
    text: str


def _planned(settings: dict[str, Any], options: CompressOptions) -> Planned:
    """The recipe with widths about the budget, and as many steps as the minutes allow.

    Raises: RecipeError for a reduction that no widths reach.
    """
    any_widths = {**settings, "space": {"widths": [1], "ops": ["dense"]}}
    family = Project(_read(any_widths, options)).family
    assert isinstance(family, TracedGenerator), "the recipe names it"
    crop = settings["data"]["crop_size"]
    widths = budget_widths(family, crop, options.reduction)
    settings = {**settings, "space": {**settings["space"], "widths": widths}}
    # Steps are timed on a project that keeps a few answers.
    step, answer = student_seconds(Project(_read(_with_steps(settings, 1, 1, 16), options)))
    seconds = 60 * options.minutes
    answers = int(np.clip(ANSWERS * seconds / max(answer, 1e-4), LEAST_ANSWERS, MOST_ANSWERS))
    facts = family.taken.program.facts
    pixels = crop[0] * crop[1] * facts.enlargement**2
    answers = max(8, min(answers, ANSWERS_BYTES // (facts.out_channels * pixels)))
    steps = [max(1, round(part * seconds / step)) for part in (SUPERNET, FINETUNE)]
    text = (
        f"training   a step of {settings['supernet']['batch_size']} takes {duration(step)} here: "
        f"{steps[0]} steps of all generators, {steps[1]} of the chosen one, {answers} answers of "
        f"the teacher in {duration(answers * answer)}"
    )
    return Planned(_with_steps(settings, steps[0], steps[1], answers), step, text)


def _with_steps(
    settings: Mapping[str, Any], supernet: int, finetune: int, answers: int
) -> dict[str, Any]:
    return {
        **settings,
        "supernet": {**settings["supernet"], "steps": supernet, "kept_answers": answers},
        "finetune": {**settings["finetune"], "steps": finetune},
    }


def _from_file(settings: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The settings with the imported generator in another place."""
    return {
        **settings,
        "family": {**settings["family"], "file": str(file)},
        "teacher": {**settings["teacher"], "from": str(file)},
    }


def _read(settings: Mapping[str, Any], options: CompressOptions) -> Recipe:
    """The recipe of these settings. Raises: RecipeError."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / RECIPE
        file.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        return load_recipe(str(file), [f"run={options.out}", *options.overrides])


def _text_of(settings: Mapping[str, Any], options: CompressOptions, step: float) -> str:
    head = (
        f"# gancompress run {options.out / RECIPE} run={options.out}\n#\n"
        f"# Written by `gancompress compress {options.teacher} --images {options.images}`,\n"
        f"# to be read and edited: {options.minutes:g} minutes on a machine where a step of the "
        f"supernet takes {duration(step)}.\n\n"
    )
    return head + yaml.safe_dump(dict(settings), sort_keys=False, width=98)


def budget_widths(
    family: TracedGenerator, size: Sequence[int], reduction: float
) -> dict[str, list[int]]:
    """Choices of each width slot about those that, all narrowed alike, keep the budget.

    Raises: RecipeError where the narrowest generator costs more.
    """
    shape = (1, family.in_channels, *size)

    def macs(fraction: float) -> int:
        widths = [max(1, round(fraction * family.full_width(s))) for s in family.width_slots]
        with torch.device("meta"):
            return network_cost(family.build(family.arch(widths)), torch.empty(shape)).macs_true

    budget = macs(1.0) / reduction
    low, high = 0.0, 1.0
    if not family.width_slots or macs(low) > budget:
        floor = macs(1.0) / macs(low) if family.width_slots else 1.0
        frozen = len(family.taken.groups.frozen)
        raise RecipeError(
            f"--reduction {reduction:g}: under the floor; with one channel in every group this "
            f"generator has {floor:.3g} times fewer MACs ({frozen} axes are frozen, see the table "
            "of --dry-run); give a smaller reduction"
        )
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if macs(middle) <= budget else (low, middle)
    return {slot: _choices(family.full_width(slot), low) for slot in family.width_slots}


def _choices(full: int, fraction: float) -> list[int]:
    """Widths about a fraction of the full one, wide ones in steps that vector units like."""
    unit = 4 if full * fraction >= 12 else 2 if full * fraction >= 5 else 1
    found = {min(full, max(1, round(f * fraction * full / unit) * unit)) for f in WIDTHS}
    return sorted(found, reverse=True)
