"""What the trainings of a project are given: batches, draws, options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gancompress.data.batches import step_loader
from gancompress.data.dataset import Dataset
from gancompress.data.fixeddraws import FixedDraws
from gancompress.distill.answers import ANSWERS, Draws
from gancompress.errors import RecipeError
from gancompress.project.project import Project
from gancompress.storage.stagedir import StageDir
from gancompress.tasks.base import Batch
from gancompress.teachers.files import teacher_sha256
from gancompress.training.board import open_log
from gancompress.training.distributed import current
from gancompress.training.options import TrainingSection
from gancompress.training.steps import Optimisation, Training


def batches_of(
    project: Project, dataset: Dataset, section: TrainingSection
) -> Callable[[int], Iterable[Batch]]:
    """First step -> the training batches of a section from that step on, this process's share.

    Raises: RecipeError if the processes cannot share them equally.
    """
    recipe, ours = project.recipe, current()
    check_shares(project, section, ours.world)

    def from_step(start: int) -> Iterable[Batch]:
        return step_loader(
            dataset,
            "train",
            section.batch_size,
            seed=recipe.seed,
            start=start,
            steps=section.steps,
            workers=recipe.workers,
            rank=ours.rank,
            world=ours.world,
        )

    return from_step


def drawn_once(project: Project, *, again: int = 0) -> Dataset:
    """The data set that students learn from: of fixed draws where the teacher's answers are kept.

    again: a stage with another number than one before it has other draws.
    Raises: RecipeError if there are fewer draws than a batch has images.
    """
    recipe = project.recipe
    count = recipe.supernet.kept_answers
    if not count:
        return project.dataset
    most = max(recipe.supernet.batch_size, recipe.finetune.batch_size)
    if count < most:
        raise RecipeError(
            f"{recipe.name}: supernet.kept_answers: found {count}; at least a batch, {most}, is "
            "allowed, or 0"
        )
    return FixedDraws(project.dataset, count, recipe.seed, again)


def draws_of(project: Project, dataset: Dataset) -> Draws | None:
    """The draws of `drawn_once`, for the teacher to be asked about; None where it is not asked."""
    section, rng = project.recipe.supernet, np.random.default_rng(0)  # which draws do not use
    if not section.kept_answers:
        return None
    return Draws(
        section.kept_answers,
        lambda numbers: dataset.batch("train", numbers, rng),
        section.batch_size,
        _answers_file(project, dataset) if project.recipe.task.imitates else None,
    )


def _answers_file(project: Project, dataset: Dataset) -> Path:
    """Where the answers of a teacher that stands alone are kept for all stages of a run."""
    recipe = project.recipe
    facts = (
        dataset.content_hash("train"), teacher_sha256(recipe.teacher.from_), recipe.seed,
        recipe.supernet.kept_answers, recipe.family.model_dump(mode="json", exclude={"file"}),
        project.distilled_layers,
    )  # fmt: skip
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return project.run.root / "cache" / f"{ANSWERS}-{digest}.safetensors"


def check_shares(project: Project, section: TrainingSection, processes: int) -> None:
    """Raises: RecipeError if a batch cannot be shared equally by the processes, in equal parts."""
    recipe, multiple = project.recipe, processes * section.accumulate
    if section.batch_size % multiple:
        sections = {n: getattr(recipe, n) for n in ("teacher", "supernet", "finetune")}
        name = next(n for n, one in sections.items() if one is section)
        raise RecipeError(
            f"{recipe.name}: {name}.batch_size: found {section.batch_size}; multiples of "
            f"{multiple} are allowed with {processes} processes and accumulate {section.accumulate}"
        )


def optimisation_of(section: TrainingSection) -> Optimisation:
    return Optimisation(
        lr=section.lr,
        lr_discriminator=section.lr_discriminator,
        beta1=section.beta1,
        beta2=section.beta2,
        decay_from=section.decay_from,
        ema=section.ema,
        optimiser=section.optimiser,
        warmup=section.warmup,
    )


def training_of(project: Project, section: TrainingSection, stage: StageDir) -> Training:
    """How networks are trained, with state and log in the folder of `stage`."""
    recipe = project.recipe
    return Training(
        steps=section.steps,
        optimisation=optimisation_of(section),
        seed=recipe.seed,
        device=project.device,
        precision=recipe.precision,
        state_path=stage.state,
        log=open_log(stage, recipe.tensorboard),
        save_seconds=recipe.save_seconds,
        accumulate=section.accumulate,
        stops_unhealthy=recipe.on_unhealthy == "stop",
    )
