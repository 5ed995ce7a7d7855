"""Which parts of a recipe decide the result of each stage."""

from __future__ import annotations

from typing import Any

from gancompress.recipe.recipe import Recipe
from gancompress.teachers.files import teacher_sha256

# The sections that decide each stage's result, beside those of the stages before it. Not among
# them: name, run, device, precision, threads, workers, tensorboard, on_unhealthy, accumulate (nor
# how many processes train), so that a run can move to another machine.
STAGE_SECTIONS: dict[str, tuple[str, ...]] = {
    "teacher": ("seed", "data", "family", "task", "teacher"),
    "supernet": ("space", "supernet"),
    "search": ("metrics", "search"),
    "finetune": ("finetune",),
    "export": ("export",),
}
_NEWER: tuple[tuple[str, str, object], ...] = (
    ("supernet", "kept_answers", 0),
    ("supernet", "discriminator_every", 1),
    ("space", "depths", {}),
    ("metrics", "lpips", None),
    ("finetune", "losses", None),
    ("finetune", "discriminator_every", None),
    ("finetune", "finalists", 1),
    *((name, "optimiser", "adam") for name in ("teacher", "supernet", "finetune")),
    *((name, "warmup", 0.0) for name in ("teacher", "supernet", "finetune")),
)
_TRAININGS = ("teacher", "supernet", "finetune")
_WITHOUT_EFFECT = {
    "data": {"cache_mb"},
    "search": {"storage", "silence_seconds"},
    **{name: {"accumulate"} for name in _TRAININGS},
}


def stage_sections(recipe: Recipe, stage: str) -> dict[str, Any]:
    """The parts of `recipe`, as plain JSON values, that decide the result of `stage`.

    Raises: CheckpointError if the file of a given teacher cannot be read.
    """
    stages = list(STAGE_SECTIONS)
    before = [s for s in stages[: stages.index(stage)] if s != "finetune"]  # it can be left out
    names = [n for s in (*before, stage) for n in STAGE_SECTIONS[s]]
    plain = recipe.model_dump(mode="json", by_alias=True, exclude=_WITHOUT_EFFECT)
    del plain["teacher"]["from"]  # Where its file lies has no effect, and what is in it has.
    for section, key, default in _NEWER:  # Records of versions without the key stay valid.
        if plain[section][key] == default:
            del plain[section][key]
    if recipe.teacher.is_absent:
        plain["teacher"] = {}
    elif recipe.teacher.is_given:
        plain["teacher"] = {"sha256": teacher_sha256(recipe.teacher.from_)}
    for name in ("segmentation", "classifier", "also"):  # candidates are not evaluated by them
        if stage != "export" or not plain["metrics"][name]:
            del plain["metrics"][name]
    for key in recipe.data.newer:
        if plain["data"][key] == type(recipe.data).model_fields[key].default:
            del plain["data"][key]
    if stage != "export":
        del plain["metrics"]["resamples"]  # theirs come without intervals
    return {name: plain[name] for name in names}


def changeable(stage: str) -> frozenset[str]:
    """Keys of `stage_sections` that an unfinished stage may go on with other values of.

    Messages advise a lower learning rate where a training diverges or is ill.
    """
    return frozenset(f"{stage}.{key}" for key in ("lr", "lr_discriminator") if stage in _TRAININGS)
