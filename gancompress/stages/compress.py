"""From a trained generator and a folder of inputs to a recipe that compresses it.

`gancompress compress` imports the generator, says what it understood, writes the recipe into the
run's folder, where it can be read and edited, and does its stages.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gancompress.archs.arch import Arch
from gancompress.durations import duration
from gancompress.errors import RecipeError
from gancompress.importers.generators import open_generator
from gancompress.importers.tracedfile import ImportedGenerator, import_generator, save
from gancompress.nets.families.traced import TracedGenerator
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.asked import CompressOptions, check_same
from gancompress.stages.compresspairs import project_of_pairs
from gancompress.stages.compressrecipe import (
    CROP,
    ENLARGING_CROP,
    LOADED,
    LOADED_MOST,
    begin,
    finetuned,
    fraction_within,
    judged,
    name_of,
    read_settings,
    widths_about,
)
from gancompress.stages.estimates import student_seconds
from gancompress.stages.finetuningcost import row_fractions, supernet_steps_of_finetuning
from gancompress.stages.understood import understood
from gancompress.stages.valuerange import with_its_range
from gancompress.supernet.cost import network_cost

IMPORTED = "imported.safetensors"
# What parts of the minutes the stages get: the teacher's answers, supernet, fine-tuning.
ANSWERS, SUPERNET, FINETUNE = 0.12, 0.2, 0.55
MOST_ANSWERS, LEAST_ANSWERS = 4096, 256
# How students learn, see "What is learnt" in docs/compress.md. The rate of a discriminator, which
# learns by Adam, counts where somebody weighs an adversarial loss.
LEARNS = {
    "optimiser": "muon",
    "lr_discriminator": 2e-4,
    "beta1": 0.9,
    "decay_from": 0.0,
    "ema": 0.99,
}
ANSWERS_BYTES = 800_000_000  # The answers are kept in 8 bits.


def compressed_project(
    options: CompressOptions, say: Callable[[str], None], *, is_dry: bool
) -> Project | None:
    """The project of a run that compresses a trained generator, its recipe written.

    A run that is there already goes on with the recipe that it has. is_dry: everything is found
    out and said, nothing is left behind, and there is no project.
    Raises: GanCompressError of the kind that fits what is wrong, RunError for a run that was begun
    with other options; nothing is left behind then.
    """
    if options.recipe.exists():
        check_same(options)
        recipe = load_recipe(str(options.recipe), [f"run={options.out}", *options.overrides])
        say(f"{options.recipe}: goes on with this recipe")
        return None if is_dry else Project(recipe)
    if options.like:
        return project_of_pairs(options, say, is_dry=is_dry)
    opened = open_generator(options.teacher, options.how, say)
    found = import_generator(opened, options.teacher, size=options.size, channels=options.channels)
    found = with_its_range(
        found, opened.value_range, options.value_range, options.images, options.teacher, say
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / IMPORTED
        save(found, file, opened.about)
        planned = _planned(recipe_of(found, options, file), options)
        say(
            understood(
                Project(read_settings(planned.settings, options)), opened.about, found.difference
            )
        )
        say(planned.text)
        if is_dry:
            return None
    options.out.mkdir(parents=True, exist_ok=True)
    save(found, options.out / IMPORTED, f"{opened.about} ({options.teacher})")
    settings = _from_file(planned.settings, options.out / IMPORTED)
    return begin(settings, options, planned.step)


def recipe_of(found: ImportedGenerator, options: CompressOptions, file: Path) -> dict[str, Any]:
    """The recipe as plain data, its widths and steps yet to be decided.

    file: where the imported generator lies.
    """
    facts = found.program.facts
    crop = _crop_of(found, options)
    least, most = (
        round(times * max(crop) / facts.size_multiple) * facts.size_multiple
        for times in (LOADED, LOADED_MOST)
    )
    return {
        "name": name_of(options),
        "data": {
            "name": "inputs",
            "folder": str(options.images),
            "load_size": f"short:{least}-{most}",
            "crop_size": list(crop),
            "input_channels": facts.in_channels,
            "target_channels": facts.out_channels,
            "scale": facts.enlargement,
            "vary": ["turn", "colour", "mix"],
        },
        "family": {"name": "traced", "file": str(file)},
        "task": {"name": "imitation"},
        "teacher": {"from": str(file), "steps": 1},
        "space": {"widths": {}, "ops": ["dense"]},
        "supernet": {
            "steps": 1, "batch_size": 8, **LEARNS, "lr": 1.5e-3, "warmup": 0.1,
            "target": "teacher", "losses": {"l1": 100.0},
        },
        "finetune": {"steps": 1, "batch_size": 8, **LEARNS, "lr": 4e-3, "warmup": 0.05},
        **judged(options),
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
    family = Project(read_settings(any_widths, options)).family
    assert isinstance(family, TracedGenerator), "the recipe names it"
    crop = settings["data"]["crop_size"]
    depths = depths_of(family)
    widths, has_second = budget_widths(family, depths, crop, options.reduction)
    settings = {**settings, "space": {**settings["space"], "widths": widths, "depths": depths}}
    if not has_second:
        settings["search"] = {**settings["search"], "more_reductions": []}
    # Steps are timed on a project that keeps a few answers.
    timed = Project(read_settings(_with_steps(settings, 1, 1, 16), options))
    step, answer = student_seconds(timed)
    of_chosen = step * row_fractions(timed)[0]
    seconds = 60 * options.minutes
    answers = int(np.clip(ANSWERS * seconds / max(answer, 1e-4), LEAST_ANSWERS, MOST_ANSWERS))
    facts = family.taken.program.facts
    pixels = crop[0] * crop[1] * facts.enlargement**2
    answers = max(8, min(answers, ANSWERS_BYTES // (facts.out_channels * pixels)))
    each = step * supernet_steps_of_finetuning(timed)
    steps = [
        max(1, round(SUPERNET * seconds / step)),
        max(1, round(FINETUNE * seconds / each)),
    ]
    text = (
        f"training   a step of {settings['supernet']['batch_size']} takes {duration(step)} here, "
        f"one of the chosen generator {duration(of_chosen)}: {steps[0]} steps of all generators, "
        f"{steps[1]} of {finetuned(timed.recipe)}, {answers} answers of the teacher in "
        f"{duration(answers * answer)}"
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


def depths_of(family: TracedGenerator) -> dict[str, list[int]]:
    """How many residual branches of each chain are kept: half of them.

    Half as many wider ones learn faster and run faster at equal MACs; see docs/compress.md.
    """
    found = {}
    for stage, kept in family.depths.items():
        counts = sorted(map(int, kept))
        found[stage] = [next(count for count in counts if 2 * count >= counts[-1])]
    return found


def budget_widths(
    family: TracedGenerator,
    depths: Mapping[str, Sequence[int]],
    size: Sequence[int],
    reduction: float,
) -> tuple[dict[str, list[int]], bool]:
    """Choices of each width slot about those that, all narrowed alike, keep the budget.

    And whether the narrowest of them keep half of it. Raises: RecipeError where no generator keeps
    it.
    """
    shape = (1, family.in_channels, *size)
    kept = {f"{stage}.depth": str(counts[0]) for stage, counts in depths.items()}

    def cost(arch: Arch) -> int:
        with torch.device("meta"):
            return network_cost(family.build(arch), torch.empty(shape)).macs_true

    def macs(fraction: float) -> int:
        widths = [max(1, round(fraction * family.full_width(s))) for s in family.width_slots]
        return cost(family.arch(widths).replace(kept))

    full = cost(family.traced_arch)
    budget = full / reduction
    if not family.width_slots or macs(0.0) > budget:
        floor = full / macs(0.0) if family.width_slots else 1.0
        frozen = len(family.taken.groups.frozen)
        raise RecipeError(
            f"--reduction {reduction:g}: under the floor; with one channel in every group this "
            f"generator has {floor:.3g} times fewer MACs ({frozen} axes are frozen, see the table "
            "of --dry-run); give a smaller reduction"
        )
    first, second = (fraction_within(macs, most) for most in (budget, budget / 2))
    found = {
        slot: widths_about(family.full_width(slot), first, second) for slot in family.width_slots
    }
    return found, macs(0.0) <= budget / 2
