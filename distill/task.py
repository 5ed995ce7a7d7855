"""Distillation as a task: it wraps another task and a teacher, and adds terms."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gancompress.distill.answers import Answers, Taught, pooled
from gancompress.distill.draws import ArchDraw
from gancompress.distill.hooks import hooked
from gancompress.distill.losses import DISTILL_LOSSES, Comparison
from gancompress.supernet.reestimation import batch_norms
from gancompress.supernet.supernet import Subnet, Supernet
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step, Task
from gancompress.tasks.outputs import DiscriminatorOutput


class Distillation(Task):
    """Trains a supernet's subnets, drawn per step, to answer as a teacher does.

    Networks: the wrapped task's, with a `Supernet` as its target, and "teacher" (never trained) and
    "adapters" (one per distilled layer). Without a "teacher" the images of a batch take the place
    of its answers, and there are no distilled layers. `losses` are weights by name; `reference` is
    what the student's image is compared with: "ground-truth", "teacher" or "both". `draw` says
    which subnets a step trains, see `gancompress.distill.draws`. `answers` are the teacher's to all
    that batches will hold; without them it is asked anew at every step. The discriminators learn at
    every `discriminator_every`-th step.
    """

    def __init__(
        self,
        task: ConditionalTask,
        *,
        layers: Sequence[str],
        losses: Mapping[str, float],
        draw: ArchDraw,
        reference: str,
        answers: Answers | None = None,
        discriminator_every: int = 1,
    ) -> None:
        self._task = task
        self._layers = tuple(layers)
        self._losses = {name: weight for name, weight in losses.items() if weight > 0}
        self._draw = draw
        self._reference = reference
        self._answers = answers
        self._discriminator_every = discriminator_every

    def answered_by(self, answers: Answers) -> Distillation:
        """The same task, its teacher not asked any more; see `answers`."""
        student = copy.copy(self)
        student._answers = answers
        return student

    @property
    def target(self) -> str:
        return self._task.target

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The student's turn at every step, and the discriminators' at every step or more seldom.

        A task may give its discriminators more turns than its generator (WGAN-GP); a student has
        its teacher's image to follow and does not wait. Discriminators rest when no adversarial
        loss is asked for.
        """
        student = Phase(self.target, (self.target, "adapters"))
        discriminators = Phase(
            "discriminator", tuple(self._task.discriminators()), self._discriminator_every
        )
        return (student, *([discriminators] if "gan" in self._losses else []))

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase != self.target:
            if "target" not in batch:
                batch = {**batch, "target": step.kept["taught"]}
            return {phase: self._task.discriminator_loss(nets, batch, step.kept["fake"], step)}
        supernet = nets[self.target]
        assert isinstance(supernet, Supernet)
        image, taught = self._taught(nets, batch)
        step.kept["taught"] = image  # the target of batches that have none
        references = self._references(batch, image)
        terms: list[dict[str, Tensor]] = []
        largest: Tensor | None = None
        for arch in self._draw(supernet.space, step.rng):
            narrow = largest is not None and arch != supernet.space.largest
            shown = [*references, largest] if narrow and largest is not None else references
            subnet = supernet.subnet(arch)
            term, fake = self._compare(nets, batch, subnet, shown, taught)
            terms.append(term)
            if arch == supernet.space.largest:
                largest = fake
            step.kept["fake"] = fake
        return {name: torch.stack([t[name] for t in terms]).mean() for name in self._losses}

    @property
    def discriminator_output(self) -> DiscriminatorOutput:
        return self._task.discriminator_output

    def pictures(
        self, nets: Mapping[str, nn.Module], batch: Batch, step: Step
    ) -> tuple[Tensor, Tensor] | None:
        """Those of the largest subnet.

        None with batch norms: their statistics are a mixture over all subnets and fit none.
        """
        supernet = nets[self.target]
        assert isinstance(supernet, Supernet)
        largest = supernet.subnet(supernet.space.largest)
        if batch_norms(largest.skeleton):
            return None
        if "target" not in batch:
            batch = {**batch, "target": self._taught(nets, batch)[0]}
        return largest(*self._task.inputs(batch)), self._task.real(batch)

    def _taught(self, nets: Mapping[str, nn.Module], batch: Batch) -> Taught:
        if self._answers is not None:
            return self._answers.of(batch)
        if "teacher" not in nets:
            wanted = self._task.ground_truth(batch)
            assert wanted is not None, "recipes without a teacher have data with true answers"
            return wanted, {}
        with torch.no_grad(), hooked(nets["teacher"], self._layers) as taught:
            return nets["teacher"](*self._task.inputs(batch)), taught

    def _references(self, batch: Batch, image: Tensor) -> list[Tensor]:
        wanted = self._task.ground_truth(batch)
        if wanted is None or self._reference == "teacher":
            return [image]
        return [wanted] if self._reference == "ground-truth" else [wanted, image]

    def _compare(
        self,
        nets: Mapping[str, nn.Module],
        batch: Batch,
        subnet: Subnet,
        references: Sequence[Tensor],
        taught: Mapping[str, Tensor],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The weighted terms of one subnet, and its image without gradient."""
        with hooked(subnet.skeleton, self._layers) as taken:
            fake = subnet(*self._task.inputs(batch))
        adapters = nets["adapters"]
        assert isinstance(adapters, nn.ModuleList)
        pairs = [(a(taken[n]), taught[n]) for n, a in zip(self._layers, adapters, strict=True)]
        if self._answers is not None:  # which are kept so
            pairs = [(pooled(student), teacher) for student, teacher in pairs]
        at = Comparison(fake, references, pairs, lambda x: self._task.adversarial(nets, batch, x))
        return {n: w * DISTILL_LOSSES[n](at) for n, w in self._losses.items()}, fake.detach()
