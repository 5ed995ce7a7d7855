"""What would stop a command, found before its first training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import takewhile

import torch

from gancompress import assemble, distributed
from gancompress.arch import Arch
from gancompress.artefacts import load_teacher, stage_of, teacher_arch
from gancompress.budgets import check_budgets
from gancompress.data import DATASETS
from gancompress.errors import RecipeError
from gancompress.filecheck import FileCheck
from gancompress.finetuning import check_finetune
from gancompress.giventeacher import check_given
from gancompress.metrics import METRICS
from gancompress.recipe import Recipe
from gancompress.recipesections import WorldSection
from gancompress.recipetrust import opened_code
from gancompress.rehearsal import rehearse
from gancompress.runs import Run
from gancompress.searching import check_search
from gancompress.sizes import check_sizes

TRAINED = ("teacher", "supernet", "finetune")
JUDGED_CHANNELS = (1, 3)  # that feature networks take: gray and colour


def preflight(
    recipe: Recipe,
    stages: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
    *,
    redo: bool = False,
) -> FileCheck:
    """Finds what would stop a stage, before hours of training, and says what was looked at.

    Device, images, budgets and packages are checked; every file is opened; and one batch of each
    split goes through what the stages do later, see `gancompress.rehearsal`. What is finished is
    not looked at. Where opening the files takes long, the answer goes on with it: train inside of
    it as a context manager.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    started = time.monotonic()
    todo = check(recipe, stages, say, redo=redo)
    trains = [name for name in TRAINED if name in todo]
    if not (trains and distributed.current().is_writer):
        return FileCheck(None)
    is_in_memory = isinstance(recipe.data, WorldSection)
    options = recipe.data.model_dump(exclude={"name"})
    files = FileCheck(None if is_in_memory else DATASETS[recipe.data.name](**options))
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    with torch.random.fork_rng(devices=[]):  # what follows draws as if this had not been
        found = rehearse(recipe, Run(recipe.run_dir), todo)
    if not is_in_memory:
        opened = files.wait()
        found.insert(0, "every file opened" if opened else "files are opened as it trains")
    say(f"checked beforehand, {time.monotonic() - started:.1f} s:")
    for line in found:
        say(f"  {line}")
    return files


def check(
    recipe: Recipe,
    stages: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
    *,
    redo: bool = False,
    arch: Arch | None = None,
) -> list[str]:
    """What can be told without running a network; returns the stages that are not finished.

    arch: of a teacher that the run does not hold yet, for the stages behind it.
    Raises: as `preflight`.
    """
    run = Run(recipe.run_dir)
    if "finetune" in stages:
        check_finetune(recipe)
    is_new = redo or arch is not None
    todo = [name for name in stages if is_new or not stage_of(recipe, run, name).is_finished()]
    if not todo:
        return todo
    assemble.device_of(recipe)
    _check_judged(recipe)
    if recipe.teacher.is_given and "teacher" in todo:
        check_given(recipe)
    dataset = assemble.dataset_of(recipe)
    if {"supernet", "finetune"} & {*todo}:
        assemble.drawn_once(recipe, dataset)
    if arch is None and "teacher" not in todo and run.stage("teacher").is_finished():
        load_teacher(recipe, run)  # before a later stage is begun that could not go on
    sections = {"teacher": recipe.teacher, "supernet": recipe.supernet, "finetune": recipe.finetune}
    for name in takewhile(lambda name: name in TRAINED, stages):
        if name in todo:
            assemble.check_shares(recipe, sections[name], distributed.launched())
    if {*TRAINED} & {*todo}:
        check_sizes(recipe, teacher_arch(recipe, run) if arch is None else arch)
    check_budgets(recipe, run, arch)
    if "search" in todo:
        check_search(recipe, run)
    if {"search", "finetune", "export"} & {*todo}:
        assemble.features_of(recipe)
    if "export" in todo:
        for line in opened_code(recipe):
            say(line)
        assemble.segmentation_of(recipe)
        if any(METRICS[name].needs_classes for name in recipe.metrics.also):
            assemble.classifier_of(recipe)
    return todo


def _check_judged(recipe: Recipe) -> None:
    """Raises: RecipeError for images that no feature network takes."""
    channels = recipe.channels[1]
    if channels not in JUDGED_CHANNELS:
        raise RecipeError(
            f"{recipe.name}: data: found targets of {channels} channels; generators are judged on "
            "images of 1 or 3, give data.target_channels=3, and data.background if they are "
            "transparent"
        )
