"""What would stop a command, found before its first training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import takewhile

import torch

from gancompress.archs.arch import Arch
from gancompress.errors import RecipeError
from gancompress.importers.publishedfile import take_published
from gancompress.metrics import metric_named
from gancompress.project import Project
from gancompress.project.training import check_shares, drawn_once
from gancompress.recipe.trust import opened_code
from gancompress.stages.budgets import check_budgets
from gancompress.stages.filecheck import FileCheck
from gancompress.stages.finetune import check_finetune
from gancompress.stages.giventeacher import check_given, check_same
from gancompress.stages.rehearsal import rehearse
from gancompress.stages.search import check_search
from gancompress.stages.sizes import check_sizes
from gancompress.training import distributed

TRAINED = ("teacher", "supernet", "finetune")
EVALUATED_CHANNELS = (1, 3)  # The channel counts that feature networks take: grey and colour.


def preflight(
    project: Project,
    stages: Sequence[str],
    say: Callable[[str], None] = lambda text: None,
    *,
    redo: bool = False,
) -> FileCheck:
    """Finds what would stop a stage, before hours of training, and says what was looked at.

    Device, images, budgets and packages are checked; every file is opened; and one batch of each
    split goes through what the stages do later, see `stages.rehearsal`. What is finished is
    not looked at. Where opening the files takes long, the answer goes on with it: train inside of
    it as a context manager.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    started = time.monotonic()
    todo = check(project, stages, say, redo=redo)
    trains = [name for name in TRAINED if name in todo]
    if not (trains and distributed.current().is_main_process):
        return FileCheck(None)
    is_built_in = project.recipe.data.is_built_in
    files = FileCheck(None if is_built_in else project.files)
    if project.recipe.threads:
        torch.set_num_threads(project.recipe.threads)
    with torch.random.fork_rng(devices=[]):  # Later draws are those of a run without this.
        found = rehearse(project, todo)
    if not is_built_in:
        opened = files.wait()
        found.insert(0, "every file opened" if opened else "files are opened as it trains")
    say(f"checked beforehand, {time.monotonic() - started:.1f} s:")
    for line in found:
        say(f"  {line}")
    return files


def check(
    project: Project,
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
    recipe, teacher = project.recipe, project.run.stage("teacher")
    if "teacher" in stages:
        _check_has_teacher(project)
    take_published(recipe.teacher.from_, say)
    if "finetune" in stages:
        check_finetune(project)
    is_new = redo or arch is not None
    todo = [name for name in stages if is_new or not project.stage(name).is_finished()]
    if not todo:
        return todo
    project.open("device")
    _check_evaluated(project)
    if recipe.teacher.is_given and "teacher" in todo:
        check_given(project)
    elif recipe.teacher.is_given and teacher.is_finished():
        check_same(project)
    project.open("dataset")
    if {"supernet", "finetune"} & {*todo}:
        drawn_once(project)
    if arch is None and "teacher" not in todo and teacher.is_finished():
        project.open("teacher")  # before a later stage is begun that could not go on
    sections = {"teacher": recipe.teacher, "supernet": recipe.supernet, "finetune": recipe.finetune}
    for name in takewhile(lambda name: name in TRAINED, stages):
        if name in todo:
            check_shares(project, sections[name], distributed.launched())
    if {*TRAINED} & {*todo}:
        check_sizes(project, project.teacher_arch if arch is None else arch)
    check_budgets(project, arch)
    if "search" in todo:
        check_search(project)
    if {"search", "finetune", "export"} & {*todo}:
        project.open("features", "perceptual")
        if "depths" in (recipe.search.objective, *recipe.metrics.also):
            project.open("depths")
    if "export" in todo:
        _check_table(project, say)
    return todo


def _check_has_teacher(project: Project) -> None:
    """Raises: RecipeError for a recipe without a teacher, which none can be trained of."""
    if project.recipe.teacher.is_absent:
        raise RecipeError(
            f"{project.name}: teacher.from: found none; there is no teacher to train, begin with "
            "`gancompress train-supernet`"
        )


def _check_table(project: Project, say: Callable[[str], None]) -> None:
    """Opens what evaluates for the final table alone. Raises: as `preflight`."""
    for line in opened_code(project.recipe):
        say(line)
    project.open("segmentation")
    if any("classes" in metric_named(name).needs for name in project.recipe.metrics.also):
        project.open("classifier")


def _check_evaluated(project: Project) -> None:
    """Raises: RecipeError for images that no feature network takes."""
    channels = project.recipe.channels[1]
    if channels not in EVALUATED_CHANNELS:
        raise RecipeError(
            f"{project.name}: data: found targets of {channels} channels; generators are evaluated "
            "on images of 1 or 3, give data.target_channels=3, and data.background if they are "
            "transparent"
        )
