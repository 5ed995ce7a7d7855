"""The stage between search and export: chosen generators, each trained further alone, evaluated.

finetune/finetune.json names them and says how they were evaluated before and after, on the images
that the search evaluates by; NAME.safetensors are their weights, NAME/ holds a training's state
and log. A row's winner is found among its finalists, see `finalists`; each has a folder in NAME/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.bars import progress
from gancompress.distill.answers import Answers, ask
from gancompress.distill.finetune import train_alone
from gancompress.distill.options import FinetuneSection
from gancompress.distill.results import FINETUNING, HALVING, Finetuning, Halving, TunedGenerator
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
from gancompress.search.results import Measured
from gancompress.stages.archevaluation import values_of
from gancompress.stages.finalists import SuccessiveHalving, finalists_of, told
from gancompress.stages.learntimages import LearntImages
from gancompress.stages.previews import Previews
from gancompress.storage.checkpoint import (
    file_hash,
    load_texts,
    remove_leftovers,
    save_tensors,
)
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.supernet import Supernet
from gancompress.supernet.weights import pack
from gancompress.training import distributed

# A supernet, and the tensors of the networks trained beside it, by network.
Begun = tuple[Supernet, Mapping[str, Mapping[str, Tensor]]]


@dataclass(frozen=True)
class Choice:
    """A generator to train further; `name` is its row in the table or its place in the front.

    finalists: of a row, those that its generator is found among; `arch` is the first of them.
    """

    name: str
    arch: Arch
    finalists: tuple[Measured, ...] = ()

    @property
    def has_finalists(self) -> bool:
        return len(self.finalists) > 1

    def folder(self, stage: StageDir, finalist: int = 0) -> StageDir:
        """Where state and log of its training are, or of the finalist's of that number."""
        own = StageDir(stage.path, self.name.replace(" ", "-"))
        return StageDir(own.path, f"finalist-{finalist}") if finalist else own

    def folders(self, stage: StageDir) -> list[StageDir]:
        """Those of all that are trained."""
        numbers = range(1, len(self.finalists) + 1) if self.has_finalists else [0]
        return [self.folder(stage, number) for number in numbers]

    def weights(self, stage: StageDir) -> Path:
        return stage.path / f"{self.folder(stage).name}.safetensors"

    def halving(self, stage: StageDir) -> Path:
        """The file that says how its finalists came to be one."""
        return self.folder(stage).path / "halving.json"


def check_finetune(project: Project) -> None:
    """Raises: RecipeError if the recipe asks for no training."""
    if not project.recipe.finetune.steps:
        raise RecipeError(
            f"{project.name}: finetune.steps: found 0; give finetune.steps=500, say, to train "
            "the chosen generators further"
        )


def finetune_stage(project: Project, stage: StageDir, say: Callable[[str], None]) -> None:
    """Trains what was chosen, one after the other; one process then evaluates."""
    section = project.recipe.finetune
    chosen = distributed.together(lambda: choices(project.run, section.archs, section.finalists))
    trainer = Trainer(project)
    for number, one in enumerate(chosen, 1):
        if not distributed.broadcast_from_main(partial(_is_trained, one, stage)):
            _train(project, trainer, one, stage, f"finetune {number} of {len(chosen)}")
    if distributed.current().world > 1:
        return  # batch norms, once together, would wait for the others; see pipeline.run_stages
    _evaluate(project, chosen, stage, say)


def choices(run: Run, count: int, finalists: int = 1) -> list[Choice]:
    """The rows' winners, the one to export first, then others spread evenly over the front.

    At most `count`, each arch once. finalists: so many of each row. Raises: RunError,
    CheckpointError.
    """
    found: dict[Arch, Choice] = {}
    front = front_of(run)
    for winner in front.winners:
        found.setdefault(winner.arch, Choice(winner.row, winner.arch))
    points = [Choice(f"front {n}", one.arch) for n, one in enumerate(front.points, 1)]
    others = [point for point in points if point.arch not in found]
    rows = list(found.values())[:count]
    if finalists > 1:
        rows = [replace(one, finalists=finalists_of(run, one.name, finalists)) for one in rows]
    return [*rows, *(others[i] for i in evenly(len(others), max(0, count - len(found))))]


def _is_trained(one: Choice, stage: StageDir) -> bool:
    """Whether an earlier command came to the end of this one; clears what it left behind."""
    for folder in (one.folder(stage), *one.folders(stage)):
        remove_leftovers(folder.path)
    archs = [finalist.arch for finalist in one.finalists] or [one.arch]
    if not one.weights(stage).exists() or _arch_of(one, stage) not in archs:
        return False
    _forget_states(one, stage)
    return True


def _arch_of(one: Choice, stage: StageDir) -> Arch:
    """The arch that was trained to the end. Raises: CheckpointError."""
    path = one.weights(stage)
    return Arch.from_json(load_texts(path).get("arch", ""), str(path))


def _forget_states(one: Choice, stage: StageDir) -> None:
    for folder in one.folders(stage):
        folder.state.unlink(missing_ok=True)


class Trainer:
    """Trains generators of a project alone, by the recipe's section finetune."""

    def __init__(self, project: Project) -> None:
        self._project = project
        # The answers of a teacher that stands alone are kept with their draws; others are drawn
        # anew.
        self._dataset = drawn_once(project, again=0 if project.recipe.task.imitates else 1)

    @cached_property
    def answers(self) -> Answers | None:
        """The teacher's to all draws, with its channels in the order that students have."""
        project = self._project
        draws = draws_of(project, self._dataset)
        if draws is None:
            return None
        teacher = distributed.together(lambda: project.teacher)
        channels = project.channels(teacher.arch, is_proven=False)
        taught = sorted_teacher(project.family.build, teacher, project.task.target, channels)
        device = project.device
        layers = project.distilled_layers
        return ask(taught.to(device), project.task.inputs, layers, draws, device)

    def __call__(
        self,
        arch: Arch,
        folder: StageDir,
        title: str,
        *,
        until: int | None = None,
        begun: Begun | None = None,
        seed: int | None = None,
    ) -> nn.Module:
        """The network of `arch`, trained in `folder` from where it stands there.

        until: after so many steps, more of which may follow. begun: the supernet that it begins
        as, and the tensors of the networks beside it; those of the run by default. seed: of what
        steps draw; the recipe's by default.
        """
        project = self._project
        section, task, supernets = project.recipe.finetune, project.task, project.recipe.supernet
        teacher, (supernet, companions) = distributed.together(
            lambda: (project.teacher, begun or (project.supernet, project.companions()))
        )
        how = training_of(project, with_rates(project), folder)
        return train_alone(
            task,
            supernet,
            arch,
            project.family.build,
            teacher,
            trained=companions,
            batches=batches_of(project, self._dataset, section),
            how=replace(
                how,
                until=until,
                seed=how.seed if seed is None else seed,
                preview=Previews(project, folder.path, title, section.steps),
            ),
            losses={str(name): weight for name, weight in losses_of(project).items()},
            reference=supernets.target,
            layers=project.distilled_layers,
            input_shape=project.input_shape,
            answers=self.answers,
            discriminator_every=section.discriminator_every or supernets.discriminator_every,
            title=title,
        )


def _train(project: Project, trainer: Trainer, one: Choice, stage: StageDir, title: str) -> None:
    """Trains one to the end, found among its finalists first if it has any."""
    arch, finalist = one.arch, 0
    halving: Halving | None = None
    if one.has_finalists:

        def train(number: int, arch: Arch, until: int) -> nn.Module:
            named = f"{title}, finalist {number}"
            return trainer(arch, one.folder(stage, number), named, until=until)

        finalist, halving = SuccessiveHalving(project, stage).run(
            one.name, one.finalists, train, project.recipe.finetune.steps
        )
        arch = one.finalists[finalist - 1].arch
    net = trainer(arch, one.folder(stage, finalist), title)
    if distributed.current().is_main_process:
        if halving is not None:
            HALVING.write(one.halving(stage), halving)
        save_tensors(one.weights(stage), pack({project.task.target: net}), {"arch": arch.to_json()})
        _forget_states(one, stage)


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
    learnt_images = LearntImages(project, evaluator.n)
    generators: list[TunedGenerator] = []
    halvings = [HALVING.read(one.halving(stage)) for one in chosen if one.has_finalists]
    for halving in halvings:
        say(f"  {halving.row}: {told(halving)}")
    for one in progress(chosen, "evaluating", unit="generator", leave=False):
        path, arch = one.weights(stage), _arch_of(one, stage)
        digest = file_hash(path)
        nets = subnets.plain(arch), subnets.finetuned(Finetuned(one.name, arch, path, digest))
        before, after = (values_of(evaluator.score(net)) for net in nets)
        known = learnt_images.score(nets[1])
        generators.append(TunedGenerator(one.name, arch, path.name, digest, before, after, known))
        text = f"{before[objective]:.4g} before, {after[objective]:.4g} after (n={evaluator.n})"
        more = learnt_images.told(known, after[objective])
        say(f"  {one.name}: {objective} {text}{more}")
    before_all = [one.before[objective] for one in generators]
    after_all = [one.after[objective] for one in generators]
    result = Finetuning(
        steps=project.recipe.finetune.steps,
        objective=objective,
        images=evaluator.n,
        split="search",
        rank_agreement=rank_agreement(before_all, after_all),
        generators=tuple(generators),
        halvings=tuple(halvings),
    )
    FINETUNING.write(stage.path / "finetune.json", result)
    about = {"steps": result.steps, "objective": objective, "images": result.images}
    names, files = [one.name for one in generators], [one.file for one in generators]
    stage.finish("finetune.json", {**about, "names": names}, files)
