"""The stage between search and export: chosen generators, each trained further alone, evaluated.

finetune/finetune.json names them and says how they were evaluated before and after, on the images
that the search evaluates by; NAME.safetensors are their weights, NAME/ holds a training's state
and log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gancompress.archs.arch import Arch
from gancompress.bars import progress
from gancompress.data.dataset import Dataset
from gancompress.distill.answers import Answers, Draws, ask
from gancompress.distill.finetune import train_alone
from gancompress.distill.options import FinetuneSection
from gancompress.distill.results import FINETUNING, Finetuning, TunedGenerator
from gancompress.distill.supernet import sorted_teacher
from gancompress.errors import RecipeError
from gancompress.evenly import evenly
from gancompress.fields.types import LossName
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.results import Finetuned, front_of
from gancompress.project.subnets import Subnets
from gancompress.project.training import batches_of, drawn_once, draws_of, training_of
from gancompress.ranks import rank_agreement
from gancompress.stages.archevaluation import values_of
from gancompress.storage.checkpoint import (
    file_hash,
    load_tensors,
    remove_leftovers,
    save_tensors,
)
from gancompress.storage.runs import Run, StageDir
from gancompress.supernet.weights import pack
from gancompress.training import distributed


@dataclass(frozen=True)
class Choice:
    """A generator to train further; `name` is its row in the table or its place in the front."""

    name: str
    arch: Arch

    def folder(self, stage: StageDir) -> StageDir:
        """Where state and log of its training are."""
        return StageDir(stage.path, self.name.replace(" ", "-"))

    def weights(self, stage: StageDir) -> Path:
        return stage.path / f"{self.folder(stage).name}.safetensors"


def check_finetune(project: Project) -> None:
    """Raises: RecipeError if the recipe asks for no training."""
    if not project.recipe.finetune.steps:
        raise RecipeError(
            f"{project.name}: finetune.steps: found 0; give finetune.steps=500, say, to train "
            "the chosen generators further"
        )


def finetune_stage(project: Project, stage: StageDir, say: Callable[[str], None]) -> None:
    """Trains what was chosen, one after the other; one process then evaluates."""
    chosen = distributed.together(lambda: choices(project.run, project.recipe.finetune.archs))
    # The answers of a teacher that stands alone are kept with their draws; others are drawn anew.
    dataset = drawn_once(project, again=0 if project.recipe.task.imitates else 1)
    answers: Answers | None = None
    for number, one in enumerate(chosen, 1):
        if not distributed.broadcast_from_main(partial(_is_trained, one, stage)):
            draws = draws_of(project, dataset)
            if draws is not None and answers is None:
                answers = _ask(project, draws)
            title = f"finetune {number} of {len(chosen)}"
            _train(project, one, stage, dataset=dataset, answers=answers, title=title)
    if distributed.current().world > 1:
        return  # batch norms, once together, would wait for the others; see pipeline.run_stages
    _evaluate(project, chosen, stage, say)


def choices(run: Run, count: int) -> list[Choice]:
    """The rows' winners, the one to export first, then others spread evenly over the front.

    At most `count`, each arch once. Raises: RunError, CheckpointError.
    """
    found: dict[Arch, Choice] = {}
    front = front_of(run)
    for winner in front.winners:
        found.setdefault(winner.arch, Choice(winner.row, winner.arch))
    points = [Choice(f"front {n}", one.arch) for n, one in enumerate(front.points, 1)]
    others = [point for point in points if point.arch not in found]
    spread = [others[i] for i in evenly(len(others), max(0, count - len(found)))]
    return [*found.values(), *spread][:count]


def _is_trained(one: Choice, stage: StageDir) -> bool:
    """Whether an earlier command came to the end of this one; clears what it left behind."""
    path, folder = one.weights(stage), one.folder(stage)
    remove_leftovers(folder.path)
    if not path.exists():
        return False
    folder.state.unlink(missing_ok=True)
    return load_tensors(path)[1].get("arch") == one.arch.to_json()


def _ask(project: Project, draws: Draws) -> Answers:
    """The teacher's answers to all draws, with its channels in the order that students have."""
    family, task = project.family, project.task
    teacher = distributed.together(lambda: project.teacher)
    device = project.device
    channels = project.channels(teacher.arch, is_proven=False)
    taught = sorted_teacher(family.build, teacher, task.target, channels).to(device)
    return ask(taught, task.inputs, project.distilled_layers, draws, device)


def _train(
    project: Project,
    one: Choice,
    stage: StageDir,
    *,
    dataset: Dataset,
    answers: Answers | None,
    title: str,
) -> None:
    family, section, task = project.family, project.recipe.finetune, project.task
    folder, supernets = one.folder(stage), project.recipe.supernet
    supernet, teacher, companions = distributed.together(
        lambda: (
            project.supernet,
            project.teacher,
            project.companions(),
        )
    )
    net = train_alone(
        task,
        supernet,
        one.arch,
        family.build,
        teacher,
        trained=companions,
        batches=batches_of(project, dataset, section),
        how=training_of(project, with_rates(project), folder),
        losses={str(name): weight for name, weight in losses_of(project).items()},
        reference=supernets.target,
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        answers=answers,
        discriminator_every=section.discriminator_every or supernets.discriminator_every,
        title=title,
    )
    if distributed.current().is_main_process:
        meta = {"arch": one.arch.to_json()}
        save_tensors(one.weights(stage), pack({task.target: net}), meta)
        folder.state.unlink(missing_ok=True)


def losses_of(project: Project) -> Mapping[LossName, float]:
    """The weights of the losses: the supernet's where the section names none itself."""
    own = project.recipe.finetune.losses
    return project.recipe.supernet.losses if own is None else own


def with_rates(project: Project) -> FinetuneSection:
    """The recipe's section with rates above 0: the supernet's where it names none itself."""
    section, supernet = project.recipe.finetune, project.recipe.supernet
    if section.lr:
        return section
    discriminator = (
        supernet.lr_discriminator if section.lr_discriminator is None else section.lr_discriminator
    )
    return section.model_copy(update={"lr": supernet.lr, "lr_discriminator": discriminator})


def _evaluate(
    project: Project,
    chosen: Sequence[Choice],
    stage: StageDir,
    say: Callable[[str], None],
) -> None:
    """Evaluates all as in the supernet and as they are now, and finishes the stage."""
    subnets, objective = Subnets(project), project.recipe.search.objective
    evaluator = evaluator_of(project, "search", images=project.recipe.search.images)
    generators: list[TunedGenerator] = []
    for one in progress(chosen, "evaluating", unit="generator", leave=False):
        path = one.weights(stage)
        now = Finetuned(one.name, one.arch, path, file_hash(path))
        nets = subnets.plain(one.arch), subnets.finetuned(now)
        scores = [values_of(evaluator.score(net)) for net in nets]
        generators.append(TunedGenerator(one.name, one.arch, path.name, now.sha256, *scores))
        before, after = (of[objective] for of in scores)
        say(f"  {one.name}: {objective} {before:.4g} before, {after:.4g} after (n={evaluator.n})")
    before_all = [one.before[objective] for one in generators]
    after_all = [one.after[objective] for one in generators]
    result = Finetuning(
        steps=project.recipe.finetune.steps,
        objective=objective,
        images=evaluator.n,
        split="search",
        rank_agreement=rank_agreement(before_all, after_all),
        generators=tuple(generators),
    )
    FINETUNING.write(stage.path / "finetune.json", result)
    about = {"steps": result.steps, "objective": objective, "images": result.images}
    names, files = [one.name for one in generators], [one.file for one in generators]
    stage.finish("finetune.json", {**about, "names": names}, files)
