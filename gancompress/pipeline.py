"""The four stages of a compression; each reads its parent's artefact and writes one of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from gancompress import assemble, distributed
from gancompress.arch import Arch
from gancompress.artefacts import Subnets, cost_of, evaluator_of, load_teacher, teacher_arch
from gancompress.board import open_log
from gancompress.checkpoint import save_tensors, write_text
from gancompress.distill.supernet import Distilling, train_supernet
from gancompress.distill.teacher import train_teacher
from gancompress.errors import BudgetError
from gancompress.exporting import export_stage
from gancompress.loop import Training
from gancompress.metrics.evaluate import Evaluator
from gancompress.recipe import Recipe, TrainingSection, stage_sections
from gancompress.recipefile import resolved_yaml
from gancompress.runs import Run, StageDir
from gancompress.search.feasible import floor
from gancompress.search.front import front_json
from gancompress.search.run import search
from gancompress.search.study import Measured
from gancompress.supernet import Supernet
from gancompress.weights import pack

Say = Callable[[str], None]

OBJECTIVE = "fd"  # what candidates are ranked by, lower being better


def run_stages(
    recipe: Recipe, names: Sequence[str], say: Say = print, *, redo: bool = False
) -> None:
    """Does some stages in their order, after a look at what would stop them.

    Of the processes that torchrun started, all train; one does the stages after that, alone.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    with distributed.processes(assemble.device_of(recipe)) as ours:
        distributed.together(lambda: preflight(recipe, names, redo=redo))
        for name in names:
            if name in TRAINED:
                run_stage(recipe, name, say if ours.is_writer else _say_nothing, redo=redo)
    for name in names:
        if name not in TRAINED and ours.is_writer:
            run_stage(recipe, name, say, redo=redo)


def _say_nothing(text: str) -> None:
    """What processes say that do not write."""


def run_stage(recipe: Recipe, name: str, say: Say = print, *, redo: bool = False) -> None:
    """Does one stage of `recipe`, or goes on with it, or says that it is done.

    redo: sets an earlier result of the stage aside and begins anew.
    Raises: GanCompressError of the kind that fits what is wrong.
    """
    run = Run(recipe.run_dir)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    stage = run.stage(name)

    def take_up() -> str:
        if redo and (aside := stage.set_aside()) is not None:
            say(f"{name}: earlier result kept as {aside}")
        return stage.begin(stage_sections(recipe, name), PARENTS[name])

    with stage:
        if distributed.from_writer(take_up) != "done":
            if distributed.current().is_writer:
                run.keep_recipe(resolved_yaml(recipe))
            STAGE_WORK[name](recipe, run, stage, say)
            done = ""
        else:
            done = "done already, "
        if distributed.current().is_writer:
            say(f"{name}: {done}{stage.artefact()}")


def preflight(recipe: Recipe, stages: Sequence[str], *, redo: bool = False) -> None:
    """Finds what would stop a stage, before hours of training: device, images, budgets, packages.

    Raises: GanCompressError of the kind that fits what is wrong.
    """
    run = Run(recipe.run_dir)
    todo = [name for name in stages if redo or not run.stage(name).is_finished()]
    if not todo:
        return
    assemble.device_of(recipe)
    assemble.dataset_of(recipe)
    for name in (name for name in todo if name in TRAINED):
        section = recipe.teacher if name == "teacher" else recipe.supernet
        assemble.check_shares(recipe, section, distributed.launched())
    convention = recipe.search.convention
    model = assemble.cost_model_of(recipe)
    arch, smallest = floor(assemble.space_of(recipe), lambda arch: model(arch).macs(convention))
    for row, budget in budgets_of(recipe, run).items():
        if budget < smallest:
            raise BudgetError(
                f"search: the budget of row {row!r}, {budget:,} {convention} MACs, is below the "
                f"smallest generator of the space, {smallest:,} ({arch.compact}); raise it or "
                "admit smaller widths"
            )
    if "search" in todo or "export" in todo:
        assemble.features_of(recipe)
    if "export" in todo:
        assemble.segmentation_of(recipe)


def teacher_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    arch = assemble.teacher_arch_of(recipe)
    dataset = assemble.dataset_of(recipe)
    nets = train_teacher(
        assemble.task_of(recipe),
        partial(assemble.family_of(recipe).build, arch),
        assemble.batches_of(recipe, dataset, recipe.teacher),
        _training(recipe, recipe.teacher, stage),
    )
    if distributed.current().is_writer:
        save_tensors(stage.path / "model.safetensors", pack(nets), {"arch": arch.to_json()})
        stage.finish("model.safetensors")


def supernet_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    family, section = assemble.family_of(recipe), recipe.supernet
    dataset = assemble.dataset_of(recipe)
    nets = train_supernet(
        assemble.task_of(recipe),
        Supernet(family.build, assemble.space_of(recipe)),
        family.build,
        distributed.together(lambda: load_teacher(recipe, run)),
        assemble.batches_of(recipe, dataset, section),
        _training(recipe, section, stage),
        distilling=Distilling(
            section.init,
            section.archs,
            section.target,
            {str(name): weight for name, weight in section.losses.items()},
        ),
        taps=family.taps(),
        input_shape=assemble.input_shape_of(recipe),
    )
    if distributed.current().is_writer:
        save_tensors(stage.path / "bank.safetensors", pack(nets), {})
        stage.finish("bank.safetensors")


def _training(recipe: Recipe, section: TrainingSection, stage: StageDir) -> Training:
    return Training(
        steps=section.steps,
        optimisation=assemble.optimisation_of(section),
        seed=recipe.seed,
        device=assemble.device_of(recipe),
        precision=recipe.precision,
        state_path=stage.state,
        log=open_log(stage, recipe.tensorboard),
        save_seconds=recipe.save_seconds,
        accumulate=section.accumulate,
    )


def search_stage(recipe: Recipe, run: Run, stage: StageDir, say: Say) -> None:
    subnets, section = Subnets(recipe, run), recipe.search
    judge = evaluator_of(recipe, "search", run, images=section.images)
    model = assemble.cost_model_of(recipe)

    def score(arch: Arch) -> Mapping[str, float]:
        figures = judge.score(subnets.plain(arch))
        return {name: figure.value for name, figure in figures.items()}

    trials: list[Measured] = []
    winners = []
    for label, budget in budgets_of(recipe, run).items():
        result = search(
            subnets.supernet.space,
            lambda arch: model(arch).macs(section.convention),
            score,
            budget,
            objective=OBJECTIVE,
            candidates=section.candidates,
            seed=recipe.seed,
            storage=stage.path / "study.db",
            study_name=label,
            context=_search_context(recipe, run, judge),
            algorithm=section.algorithm,
            population=section.population,
            mutation=section.mutation,
            unit=f"{section.convention} MACs",
        )
        trials += result.trials
        arch = json.loads(result.best.arch.to_json())
        winners.append({"row": label, "budget_macs": budget, "arch": arch})
    about = {"winners": winners, "convention": section.convention, "images": judge.n}
    write_text(
        stage.path / "front.json",
        front_json(trials, objective=OBJECTIVE, better="min", about=about),
    )
    stage.finish("front.json")


def _search_context(recipe: Recipe, run: Run, judge: Evaluator) -> str:
    """What a candidate's figures depend on beside its arch."""
    settings = [run.stage("supernet").hash(), judge.content_hash, judge.n]
    return hashlib.sha256(json.dumps([*settings, recipe.metrics.features]).encode()).hexdigest()


def budgets_of(recipe: Recipe, run: Run) -> dict[str, int]:
    """The row of the final table -> most MACs, in the recipe's convention; the winner's first."""
    section = recipe.search
    teacher = cost_of(recipe, teacher_arch(recipe, run)).macs(section.convention)
    if section.budget_macs is not None:
        budgets = {"compressed": section.budget_macs}
    else:
        assert section.reduction is not None, "the recipe has exactly one of the two"
        budgets = {"compressed": int(teacher / section.reduction)}
    return budgets | {f"{r:g}x smaller": int(teacher / r) for r in section.more_reductions}


PARENTS: dict[str, tuple[str, ...]] = {
    "teacher": (),
    "supernet": ("teacher",),
    "search": ("supernet",),
    "export": ("search", "supernet", "teacher"),
}
TRAINED = {"teacher", "supernet"}  # the stages that several processes do together
STAGE_WORK: dict[str, Callable[[Recipe, Run, StageDir, Say], None]] = {
    "teacher": teacher_stage,
    "supernet": supernet_stage,
    "search": search_stage,
    "export": export_stage,
}
