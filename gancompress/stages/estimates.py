"""How long the stages of a recipe will take on this machine: what they do, times a measured step.

Steps are timed on the networks, images and losses of the recipe itself, with weights as they come:
what a step costs does not depend on them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from gancompress.data.dataset import Split
from gancompress.data.fixeddraws import DRAW
from gancompress.distill.answers import Answers, Draws, ask
from gancompress.distill.supernet import Teacher, student_of
from gancompress.durations import duration
from gancompress.project import Project
from gancompress.project.training import (
    batches_of,
    drawn_once,
    draws_of,
    optimisation_of,
)
from gancompress.search.rungs import PROBES
from gancompress.search.samplers import WIDENED
from gancompress.stages.budgets import rows_of
from gancompress.stages.distilling import distilling_of, of_mean_cost
from gancompress.stages.finetuningcost import (
    steps_of_finetuning,
    supernet_steps_of_finetuning,
)
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.supernet import Supernet, named_tensors
from gancompress.tasks.base import Task
from gancompress.training.options import TrainingSection
from gancompress.training.precisions import AUTO, candidates, fastest
from gancompress.training.steps import Training
from gancompress.training.steptimes import batch_times, precision_times

FEW = 50  # Stages of fewer training steps, or candidates, are not worth an estimate.
WHOLE_SECONDS = 1.0  # A whole batch is timed where it takes at most about as long.
FORMAT_SECONDS = 6.0  # Writing and proving one file takes 1 to 10 s for generators of some 100 ms.


@dataclass(frozen=True)
class Estimate:
    """How long one stage will take, and what that is made of."""

    stage: str
    seconds: float
    text: str


def estimates(project: Project, names: Sequence[str], *, redo: bool = False) -> list[Estimate]:
    """One for each of the stages `names` that is to be done, if any of them takes long.

    Steps that an earlier command has made are counted in. redo: finished ones are done again.
    Raises: GanCompressError where the recipe's objects cannot be made.
    """
    recipe = project.recipe
    todo = [n for n in names if redo or not project.stage(n).is_finished()]
    counts = {
        "teacher": recipe.teacher.steps if recipe.teacher.is_trained else 0,
        "supernet": recipe.supernet.steps,
        "finetune": steps_of_finetuning(project),
        "search": recipe.search.candidates,
    }
    if sum(counts[name] for name in todo if name in counts) < FEW:
        return []
    return list(_Timer(project).estimates(todo))


def student_seconds(project: Project) -> tuple[float, float]:
    """Seconds of a step of the supernet, and of an answer of the teacher, measured here."""
    timer = _Timer(project)
    step, _ = timer._student_step
    return step, timer._seconds_of_an_answer


def estimate_text(found: Sequence[Estimate], threads: int) -> str:
    """For reading, before the stages begin."""
    total = sum(one.seconds for one in found)
    wide = max(len(one.stage) for one in found)
    lines = [f"  {one.stage:<{wide}}  {duration(one.seconds):>12}  {one.text}" for one in found]
    return "\n".join([f"will take about {duration(total)} here ({threads} threads):", *lines])


class _Timer:
    """Times what the stages do again and again, each thing once."""

    def __init__(self, project: Project) -> None:
        self._project, self._recipe = project, project.recipe
        self._device = project.device
        self._dataset = drawn_once(project)
        self._family, self._task = project.family, project.task

    def estimates(self, todo: Sequence[str]) -> Iterator[Estimate]:
        makers = {
            "teacher": self._teacher_stage,
            "supernet": self._supernet_stage,
            "search": self._search_stage,
            "finetune": self._finetune_stage,
            "export": self._export_stage,
        }
        for name in todo:
            yield makers[name]()

    def _teacher_stage(self) -> Estimate:
        section = self._recipe.teacher
        if section.is_given:
            return Estimate("teacher", 1.0, f"taken as it is: {section.from_}")
        arch = self._project.planned_arch
        nets = self._task.teacher_nets(lambda: self._family.build(arch))
        step, precision = self._step(self._task, nets, section)
        return _trained("teacher", section.steps, step, precision)

    def _supernet_stage(self) -> Estimate:
        section = self._recipe.supernet
        step, precision = self._student_step
        asking = section.kept_answers * self._seconds_of_an_answer
        found = _trained("supernet", section.steps, step, precision)
        if not asking:
            return found
        text = f"{found.text}, {duration(asking)} for the teacher's answers"
        return replace(found, seconds=found.seconds + asking, text=text)

    def _finetune_stage(self) -> Estimate:
        step, precision = self._student_step
        steps = steps_of_finetuning(self._project)
        whole = self._recipe.finetune.steps * supernet_steps_of_finetuning(self._project)
        found = _trained("finetune", steps, step * whole / max(1, steps), precision)
        asking = self._recipe.supernet.kept_answers * self._seconds_of_an_answer
        if self._recipe.task.imitates:  # The answers are kept since the supernet's training.
            return found
        return replace(found, seconds=found.seconds + asking)

    def _search_stage(self) -> Estimate:
        section, count = self._recipe.search, self._dataset.count("search")
        full = min(section.images or count, count)
        first = min(section.first_images or full, full)
        rows = len(rows_of(self._project))
        searches = 2 if section.baseline else 1
        probes = PROBES if first < full else 0
        archs = searches * (section.candidates + WIDENED * rows)
        again = section.survivors * archs + probes + 2 * rows
        images = archs * first + (again * full if first < full else 0)
        images += 2 * rows * full if section.baseline else 0  # Each row's lead over random archs.
        text = f"{archs} generators, {round(images)} images"
        return Estimate("search", images * self._seconds_of_an_image("search"), text)

    def _export_stage(self) -> Estimate:
        section, count = self._recipe.export, self._dataset.count("test")
        full = min(self._recipe.metrics.images or count, count)
        evaluated = 2 + len(rows_of(self._project)) + len(section.formats)
        seconds = evaluated * full * self._seconds_of_an_image("test")
        text = f"{len(section.formats)} formats, {evaluated * full} images"
        return Estimate("export", seconds + FORMAT_SECONDS * len(section.formats), text)

    def _step(
        self, task: Task, nets: Mapping[str, nn.Module], section: TrainingSection
    ) -> tuple[float, str]:
        """Seconds of one training step, and the precision that it has then."""
        for net in nets.values():
            net.to(self._device).train()
        how = self._training(section)
        batch = next(iter(batches_of(self._project, self._dataset, section)(0)))
        if DRAW in batch:  # The answers to the first draws are there, whichever these are.
            batch = {**batch, DRAW: torch.arange(len(batch[DRAW])).reshape(-1, 1, 1, 1)}
        known = candidates(self._device) if how.precision == AUTO else (how.precision,)
        seconds = batch_times(task, nets, batch, how, known)
        chosen = fastest(seconds) if how.precision == AUTO else how.precision
        whole = seconds[chosen]
        if whole < WHOLE_SECONDS:  # What a step costs beside its arithmetic weighs less then.
            whole = precision_times(task, nets, batch, how, (chosen,))[chosen]
        return whole, chosen

    def _training(self, section: TrainingSection) -> Training:
        nowhere = Path("unused")  # Nothing is saved or logged.
        return Training(
            steps=max(1, section.steps),
            optimisation=optimisation_of(section),
            seed=self._recipe.seed,
            device=self._device,
            precision=self._recipe.precision,
            state_path=nowhere,
            log=MetricsLog(nowhere),
        )

    @cached_property
    def _teacher(self) -> nn.Module:
        net = self._family.build(self._project.planned_arch)
        return net.to(self._device).eval()

    @cached_property
    def _supernet(self) -> Supernet:
        arch = self._project.planned_arch
        return self._project.untrained_supernet(arch).to(self._device)

    @cached_property
    def _answered(self) -> tuple[Answers, float] | None:
        """The teacher's answers to some draws, if the recipe keeps them, and the seconds of one."""
        draws = draws_of(self._project, self._dataset)
        if draws is None:
            return None
        few = Draws(draws.batch_size, draws.batch, draws.batch_size)  # No file keeps them.
        layers = self._project.distilled_layers
        ask(self._teacher, self._task.inputs, layers, few, self._device)  # makes kernels ready
        started = time.monotonic()
        answers = ask(self._teacher, self._task.inputs, layers, few, self._device)
        return answers, (time.monotonic() - started) / draws.batch_size

    @property
    def _seconds_of_an_answer(self) -> float:
        return 0.0 if self._answered is None else self._answered[1]

    @cached_property
    def _student_step(self) -> tuple[float, str]:
        how = distilling_of(self._project, self._project.planned_arch)
        student, nets = student_of(
            self._task,
            self._supernet,
            self._family.build,
            self._untrained_teacher,
            distilling=replace(of_mean_cost(self._project, how), init="random"),
            layers=self._project.distilled_layers,
            input_shape=self._project.input_shape,
            seed=self._recipe.seed,
        )
        if self._answered is not None:
            student = student.answered_by(self._answered[0])
        return self._step(student, nets, self._recipe.supernet)

    @property
    def _untrained_teacher(self) -> Teacher:
        arch = self._project.planned_arch
        if self._recipe.teacher.is_absent:
            return Teacher(arch, {})
        tensors = {name: t.detach() for name, t in named_tensors(self._teacher)}
        return Teacher(arch, {self._task.target: tensors})

    def _seconds_of_an_image(self, split: Split) -> float:
        """To make an image by a small generator and to evaluate it: the mean over a few archs."""
        size = min(self._recipe.metrics.batch_size, self._dataset.count(split), 16)
        batch = self._dataset.batch(split, range(size), None)
        features = self._project.features.to(self._device)
        inputs = tuple(x.to(self._device) for x in self._task.inputs(batch))
        supernet, space = self._supernet.eval(), self._supernet.space
        nets = [supernet.subnet(arch) for arch in (space.largest, space.smallest)]

        @torch.no_grad()
        def evaluate() -> None:
            for net in nets:
                features(net(*inputs).float())

        evaluate()  # makes kernels ready
        started = time.monotonic()
        evaluate()
        return (time.monotonic() - started) / (len(nets) * size)


def _trained(stage: str, steps: int, seconds: float, precision: str) -> Estimate:
    text = f"{steps} steps of {duration(seconds)}, {precision}"
    return Estimate(stage, steps * seconds, text)
