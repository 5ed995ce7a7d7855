"""The stages of a compression; each reads its parents' artefacts and writes one of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import takewhile

import torch

from gancompress.data.origin import summary
from gancompress.distill.supernet import train_supernet
from gancompress.distill.teacher import train_teacher
from gancompress.durations import duration
from gancompress.importers.publishedfile import take_published
from gancompress.process import release_memory
from gancompress.project import Project
from gancompress.project.files import files_of
from gancompress.project.training import (
    batches_of,
    drawn_once,
    draws_of,
    training_of,
)
from gancompress.recipe.reading import resolved_yaml
from gancompress.recipe.stagesections import changeable, stage_sections
from gancompress.recipe.trust import remember
from gancompress.stages.distilling import distilling_of
from gancompress.stages.estimates import estimate_text, estimates
from gancompress.stages.export import export_stage
from gancompress.stages.finetune import finetune_stage
from gancompress.stages.giventeacher import take_teacher
from gancompress.stages.preflight import preflight
from gancompress.stages.previews import Previews
from gancompress.stages.search import search_stage
from gancompress.storage.checkpoint import save_tensors
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.proving import told
from gancompress.supernet.weights import pack
from gancompress.training import distributed

Say = Callable[[str], None]
LONG_SECONDS = 30.0  # Shorter commands do not say how long they took.
# Networks of a project that evaluate for the final table alone, and need not be held in training.
FOR_THE_TABLE = ("segmentation", "classifier")

__all__ = ["STAGE_WORK", "preflight", "run_stage", "run_stages", "stages_of"]


def run_stages(
    project: Project, names: Sequence[str], say: Say = print, *, redo: bool = False
) -> None:
    """Does some stages in their order, after a look at what would stop them.

    Of the processes that torchrun started, all train; one does what comes after that, alone.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    run, shared = project.run, _shared(names)
    took: dict[str, float] = {}
    with distributed.processes(project.device) as ours:
        spoken = say if ours.is_main_process else _say_nothing
        if ours.is_main_process:
            run.clear()
        checked = distributed.together(lambda: preflight(project, names, spoken, redo=redo))
        if _unfinished(project, names, redo=redo):
            spoken(summary(project.recipe.data.name, project.files.origin))
        if ours.world == 1:  # Several processes would have to time their steps together.
            _say_how_long(project, names, say, redo=redo)
        with checked:
            for name in shared:
                took[name] = run_stage(project, name, spoken, redo=redo)
    for name in names if ours.is_main_process else ():
        if name not in shared or not project.stage(name).is_finished():
            started, again = time.monotonic(), redo and name not in shared
            with taken_up(project, name, say, redo=again) as stage:
                if stage is not None:
                    STAGE_WORK[name](project, stage, say)
            took[name] = took.get(name, 0.0) + time.monotonic() - started
    if ours.is_main_process and sum(took.values()) > LONG_SECONDS:
        each = ", ".join(f"{name} {duration(s)}" for name, s in took.items() if s >= 1)
        say(f"took {duration(sum(took.values()))} ({each})")


def _say_how_long(project: Project, names: Sequence[str], say: Say, *, redo: bool) -> None:
    """Says how long the stages will take here, if any of them takes long."""
    if project.recipe.threads:
        torch.set_num_threads(project.recipe.threads)
    found = estimates(project, names, redo=redo)
    if found:
        say(estimate_text(found, torch.get_num_threads()))


def stages_of(project: Project) -> tuple[str, ...]:
    """What `gancompress run` does, in order."""
    recipe = project.recipe
    left_out = {"finetune"} if not recipe.finetune.steps else set[str]()
    left_out |= {"teacher"} if recipe.teacher.is_absent else set()
    return tuple(name for name in STAGE_WORK if name not in left_out)


def _shared(names: Sequence[str]) -> list[str]:
    """The stages that several processes do together: those before the first that one does alone."""
    return list(takewhile(lambda name: name in TRAINED, names))


def _unfinished(project: Project, names: Sequence[str], *, redo: bool = False) -> list[str]:
    """The stages that are to be worked on."""
    return [name for name in names if redo or not project.stage(name).is_finished()]


def _say_nothing(text: str) -> None:
    """What processes say that do not write."""


def run_stage(project: Project, name: str, say: Say = print, *, redo: bool = False) -> float:
    """Does one stage, or goes on with it, or says that it is done; returns seconds.

    redo: sets an earlier result of the stage aside and begins anew.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    started = time.monotonic()
    with taken_up(project, name, say, redo=redo) as stage:
        if stage is not None:
            STAGE_WORK[name](project, stage, say)
    return time.monotonic() - started


@contextmanager
def taken_up(project: Project, name: str, say: Say, *, redo: bool) -> Iterator[StageDir | None]:
    """The folder of a stage for as long as it is worked on; None if the stage is done already.

    redo: as `run_stage`. Raises: as `StageDir.begin`.
    """
    recipe, run, stage = project.recipe, project.run, project.stage(name)
    take_published(recipe.teacher.from_, say)
    is_main_process = distributed.current().is_main_process
    if recipe.threads:
        torch.set_num_threads(recipe.threads)

    def take_up() -> str:
        if redo and (aside := stage.set_aside()) is not None:
            say(f"{name}: earlier result kept as {aside}")
        sections = stage_sections(recipe, name)
        return stage.begin(
            sections,
            parents_of(project, name),
            changeable=changeable(name),
            shared=name == "search",
            files=files_of(project, sections),
            accepts=redo,
        )

    with stage:
        is_done = distributed.broadcast_from_main(take_up) == "done"
        if is_main_process:
            remember(recipe)
        if not is_done:
            if is_main_process:
                if stage.changes:
                    say(f"{name}: goes on with another {', '.join(stage.changes)}")
                run.keep_recipe(resolved_yaml(recipe))
            if name in TRAINED:
                project.drop(*FOR_THE_TABLE)
            release_memory()
        yield None if is_done else stage
        if is_main_process and stage.is_finished():
            say(f"{name}: {'done already, ' if is_done else ''}{stage.artefact()}")


def parents_of(project: Project, name: str) -> tuple[str, ...]:
    """The stages that this one reads; for export the fine-tuned generators too, if there are."""
    has_finetuned = project.run.stage("finetune").is_up_to_date()
    further = ("finetune",) if name == "export" and has_finetuned else ()
    absent = "teacher" if project.recipe.teacher.is_absent else ""
    return (*(parent for parent in PARENTS[name] if parent != absent), *further)


def teacher_stage(project: Project, stage: StageDir, say: Say) -> None:
    if project.recipe.teacher.is_given:
        take_teacher(project, stage, say)
        return
    arch = project.planned_arch
    dataset = project.dataset
    nets = train_teacher(
        project.task,
        partial(project.family.build, arch),
        batches_of(project, dataset, project.recipe.teacher),
        training_of(project, project.recipe.teacher, stage),
    )
    if distributed.current().is_main_process:
        save_tensors(stage.path / "model.safetensors", pack(nets), {"arch": arch.to_json()})
        stage.finish("model.safetensors")


def supernet_stage(project: Project, stage: StageDir, say: Say) -> None:
    family, section = project.family, project.recipe.supernet
    dataset = drawn_once(project)
    teacher = distributed.together(lambda: project.teacher)
    supernet = project.untrained_supernet(teacher.arch, is_proven=True)
    say(f"  {told(supernet.channels)}")
    nets = train_supernet(
        project.task,
        supernet,
        family.build,
        teacher,
        batches_of(project, dataset, section),
        replace(
            training_of(project, section, stage),
            preview=Previews(project, stage.path, "supernet", section.steps),
        ),
        distilling=distilling_of(project),
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        draws=draws_of(project, dataset),
        small_layers=family.small_layers(),
    )
    if distributed.current().is_main_process:
        save_tensors(stage.path / "shared_weights.safetensors", pack(nets), {})
        stage.finish("shared_weights.safetensors")


PARENTS: dict[str, tuple[str, ...]] = {
    "teacher": (),
    "supernet": ("teacher",),
    "search": ("supernet",),
    "finetune": ("search", "supernet", "teacher"),
    "export": ("search", "supernet", "teacher"),
}
TRAINED = {"teacher", "supernet", "finetune"}  # the stages that several processes can do together
STAGE_WORK: dict[str, Callable[[Project, StageDir, Say], None]] = {
    "teacher": teacher_stage,
    "supernet": supernet_stage,
    "search": search_stage,
    "finetune": finetune_stage,
    "export": export_stage,
}
