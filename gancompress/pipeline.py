"""The stages of a compression; each reads its parents' artefacts and writes one of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile

import torch

from gancompress import assemble, distributed
from gancompress.artefacts import load_teacher, stage_of
from gancompress.checkpoint import save_tensors
from gancompress.data.origin import summary
from gancompress.distill.supernet import train_supernet
from gancompress.distill.teacher import train_teacher
from gancompress.durations import duration
from gancompress.estimates import estimate_text, estimates
from gancompress.exporting import export_stage
from gancompress.finetuning import finetune_stage
from gancompress.giventeacher import take_teacher
from gancompress.preflight import preflight
from gancompress.process import release_memory
from gancompress.proving import supernet_of, told
from gancompress.recipe import Recipe, changeable, stage_sections
from gancompress.recipefile import resolved_yaml
from gancompress.recipetrust import remember
from gancompress.rehearsal import distilling_of
from gancompress.runs import Run, StageDir
from gancompress.searching import search_stage
from gancompress.sources import files_of, origin_of
from gancompress.weights import pack

Say = Callable[[str], None]
LONG_SECONDS = 30.0  # Shorter commands do not say how long they took.

__all__ = ["STAGE_WORK", "preflight", "run_stage", "run_stages", "stages_of"]


def run_stages(
    recipe: Recipe, names: Sequence[str], say: Say = print, *, redo: bool = False
) -> None:
    """Does some stages in their order, after a look at what would stop them.

    Of the processes that torchrun started, all train; one does what comes after that, alone.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    run, shared = Run(recipe.run_dir), _shared(names)
    took: dict[str, float] = {}
    with distributed.processes(assemble.device_of(recipe)) as ours:
        spoken = say if ours.is_writer else _say_nothing
        if ours.is_writer:
            run.clear()
        checked = distributed.together(lambda: preflight(recipe, names, spoken, redo=redo))
        if _unfinished(recipe, run, names, redo=redo):
            spoken(summary(recipe.data.name, origin_of(recipe)))
        if ours.world == 1:  # Several processes would have to time their steps together.
            _say_how_long(recipe, run, names, say, redo=redo)
        with checked:
            for name in shared:
                took[name] = run_stage(recipe, name, spoken, redo=redo)
    for name in names if ours.is_writer else ():
        if name not in shared or not stage_of(recipe, run, name).is_finished():
            again = run_stage(recipe, name, say, redo=redo and name not in shared)
            took[name] = took.get(name, 0.0) + again
    if ours.is_writer and sum(took.values()) > LONG_SECONDS:
        each = ", ".join(f"{name} {duration(s)}" for name, s in took.items() if s >= 1)
        say(f"took {duration(sum(took.values()))} ({each})")


def _say_how_long(recipe: Recipe, run: Run, names: Sequence[str], say: Say, *, redo: bool) -> None:
    """Says how long the stages will take here, if any of them takes long."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    found = estimates(recipe, run, names, redo=redo)
    if found:
        say(estimate_text(found, torch.get_num_threads()))


def stages_of(recipe: Recipe) -> tuple[str, ...]:
    """What `gancompress run` does, in order."""
    return tuple(n for n in STAGE_WORK if n != "finetune" or recipe.finetune.steps)


def _shared(names: Sequence[str]) -> list[str]:
    """The stages that several processes do together: those before the first that one does alone."""
    return list(takewhile(lambda name: name in TRAINED, names))


def _unfinished(recipe: Recipe, run: Run, names: Sequence[str], *, redo: bool = False) -> list[str]:
    """The stages that are to be worked on."""
    return [name for name in names if redo or not stage_of(recipe, run, name).is_finished()]


def _say_nothing(text: str) -> None:
    """What processes say that do not write."""


def run_stage(recipe: Recipe, name: str, say: Say = print, *, redo: bool = False) -> float:
    """Does one stage of `recipe`, or goes on with it, or says that it is done; returns seconds.

    redo: sets an earlier result of the stage aside and begins anew.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    started, run = time.monotonic(), Run(recipe.run_dir)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    stage = stage_of(recipe, run, name)

    def take_up() -> str:
        if redo and (aside := stage.set_aside()) is not None:
            say(f"{name}: earlier result kept as {aside}")
        sections = stage_sections(recipe, name)
        return stage.begin(
            sections,
            parents_of(run, name),
            changeable=changeable(name),
            shared=name == "search",
            files=files_of(recipe, run, sections),
            accepts=redo,
        )

    with stage:
        status = distributed.from_writer(take_up)
        if distributed.current().is_writer:
            remember(recipe)
        if status != "done":
            if distributed.current().is_writer:
                if stage.changes:
                    say(f"{name}: goes on with another {', '.join(stage.changes)}")
                run.keep_recipe(resolved_yaml(recipe))
            release_memory()
            STAGE_WORK[name](recipe, run, stage, say)
            done = ""
        else:
            done = "done already, "
        if distributed.current().is_writer and stage.is_finished():
            say(f"{name}: {done}{stage.artefact()}")
    return time.monotonic() - started


def parents_of(run: Run, name: str) -> tuple[str, ...]:
    """The stages that this one reads; for export the fine-tuned generators too, if there are."""
    has_finetuned = run.stage("finetune").is_up_to_date()
    further = ("finetune",) if name == "export" and has_finetuned else ()
    return (*PARENTS[name], *further)


def teacher_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    if recipe.teacher.is_given:
        take_teacher(recipe, stage, say)
        return
    arch = assemble.teacher_arch_of(recipe)
    dataset = assemble.dataset_of(recipe)
    nets = train_teacher(
        assemble.task_of(recipe),
        partial(assemble.family_of(recipe).build, arch),
        assemble.batches_of(recipe, dataset, recipe.teacher),
        assemble.training_of(recipe, recipe.teacher, stage),
    )
    if distributed.current().is_writer:
        save_tensors(stage.path / "model.safetensors", pack(nets), {"arch": arch.to_json()})
        stage.finish("model.safetensors")


def supernet_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    family, section = assemble.family_of(recipe), recipe.supernet
    dataset = assemble.drawn_once(recipe, assemble.dataset_of(recipe))
    teacher = distributed.together(lambda: load_teacher(recipe, run))
    supernet = supernet_of(recipe, teacher.arch, is_proven=True)
    say(f"  {told(supernet.channels)}")
    nets = train_supernet(
        assemble.task_of(recipe),
        supernet,
        family.build,
        teacher,
        assemble.batches_of(recipe, dataset, section),
        assemble.training_of(recipe, section, stage),
        distilling=distilling_of(recipe),
        taps=family.taps(),
        input_shape=assemble.input_shape_of(recipe),
        draws=assemble.draws_of(recipe, dataset),
    )
    if distributed.current().is_writer:
        save_tensors(stage.path / "bank.safetensors", pack(nets), {})
        stage.finish("bank.safetensors")


PARENTS: dict[str, tuple[str, ...]] = {
    "teacher": (),
    "supernet": ("teacher",),
    "search": ("supernet",),
    "finetune": ("search", "supernet", "teacher"),
    "export": ("search", "supernet", "teacher"),
}
TRAINED = {"teacher", "supernet", "finetune"}  # the stages that several processes can do together
STAGE_WORK: dict[str, Callable[[Recipe, Run, StageDir, Say], None]] = {
    "teacher": teacher_stage,
    "supernet": supernet_stage,
    "search": search_stage,
    "finetune": finetune_stage,
    "export": export_stage,
}
