"""The teacher stage where the recipe names a trained teacher: a packaged one, or a file of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import CheckpointError, RecipeError, RunError
from gancompress.project import Project
from gancompress.storage.checkpoint import load_tensors, save_tensors
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.weights import check_fits, part
from gancompress.teachers.files import SCRATCH, teacher_path, teacher_sha256, teacher_texts
from gancompress.training import distributed

Texts = dict[str, str]


def check_given(project: Project) -> None:
    """Raises: CheckpointError if the teacher's file cannot be read, or holds other networks than
    the recipe's; RecipeError if it was trained for something else.
    """
    given = project.recipe.teacher.from_
    _check_made_for(project, teacher_texts(given))
    tensors, task = _tensors_of(given), project.task
    with torch.device("meta"):
        generator = project.family.build(project.planned_arch)
        nets = {task.target: generator, **task.discriminators()}
    for name, net in nets.items():
        found = part(tensors, name)
        if name == task.target or found:  # A teacher may come without its discriminator.
            check_fits(net, found, f"{teacher_path(given)}, {name}")


def check_same(project: Project) -> None:
    """Raises: RunError if the run's teacher is another one than the recipe gives."""
    stage, given = project.run.stage("teacher"), project.recipe.teacher.from_
    made_of = stage.record().sections.get("teacher", {}).get("sha256")
    if made_of is not None and made_of != teacher_sha256(given):
        raise RunError(
            f"{stage.path}: made of another teacher than {given}; give another run=DIR, or --redo "
            "to set this one aside and begin again"
        )


def take_teacher(project: Project, stage: StageDir, say: Callable[[str], None]) -> None:
    """Makes the given teacher the stage's artefact, in float32. Raises: as `check_given`."""
    check_given(project)
    given, texts = project.recipe.teacher.from_, teacher_texts(project.recipe.teacher.from_)
    if "about" in texts:
        say(f"teacher {given}: {texts['about']}")
    if not distributed.current().is_main_process:
        return
    tensors = _tensors_of(given)
    wide = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    if not all(bool(t.isfinite().all()) for t in wide.values()):
        raise CheckpointError(f"{teacher_path(given)}: weights that are not finite; give others")
    save_tensors(stage.path / "model.safetensors", wide, {"arch": project.planned_arch.to_json()})
    origin = {"from": given, "sha256": teacher_sha256(given)}
    stage.finish("model.safetensors", {"given": origin})


def _tensors_of(given: str) -> dict[str, Tensor]:
    """The tensors of a teacher's file; discriminators are called critics in those of old runs."""
    tensors, _ = load_tensors(teacher_path(given))
    return {re.sub("^critic", "discriminator", name): t for name, t in tensors.items()}


def _check_made_for(project: Project, texts: Texts) -> None:
    """Raises: RecipeError with the first key whose value is not what the teacher was trained for.

    A file that a stage wrote does not say what for; a packaged one does.
    """
    ours = project.recipe.model_dump(mode="json", by_alias=True)
    for key, value in json.loads(texts.get("made_for", "{}")).items():
        found: Any = ours
        for name in key.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if found != value:
            raise RecipeError(
                f"{project.name}: {key}: found {found}; the teacher "
                f"{project.recipe.teacher.from_} was trained for {value}; give "
                f"teacher.from={SCRATCH} to train one for yours"
            )
