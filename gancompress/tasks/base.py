"""What a task is: the protocol that the training loop, distillation and evaluation rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from gancompress.nets.discriminators.named import Discriminator
from gancompress.nets.discriminators.names import DEFAULT
from gancompress.tasks.losses import GAN_LOSSES
from gancompress.tasks.outputs import DISCRIMINATOR_OUTPUTS, DiscriminatorOutput
from gancompress.tasks.taskoptions import TaskContext, TaskOptions

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser's turn within a step: which networks it trains, and every how many steps.

    first, restarts: fractions of the training's steps, in [0, 1): before the one it has no turn; at
    the others its optimiser forgets what it knows of the gradients (progressive growing).
    """

    name: str
    trains: tuple[str, ...]
    every: int = 1
    first: float = 0.0
    restarts: tuple[float, ...] = ()

    def has_turn(self, index: int, total: int) -> bool:
        """Whether step `index` of `total` trains its networks."""
        return index % self.every == 0 and index >= step_at(self.first, total)

    def restarts_at(self, index: int, total: int) -> bool:
        """Whether its optimiser begins anew with step `index` of `total`."""
        return index in {step_at(fraction, total) for fraction in self.restarts}


def step_at(fraction: float, total: int) -> int:
    """The step of `total` that a fraction of them has gone before."""
    return round(fraction * total)


@dataclass
class Step:
    """What the phases of one training step share."""

    index: int
    rng: np.random.Generator  # seeded by the run's seed and the step's index
    kept: dict[str, Tensor] = field(default_factory=dict)  # What a phase leaves for the next.
    total: int = 1  # steps of the whole training
    outputs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def note_outputs(self, real: Tensor, fake: Tensor) -> None:
        """Notes a discriminator's outputs for real and fake images, for whoever watches.

        Of any shape, as the loss takes them; one call for each discriminator and each of its
        scales.
        """
        self.outputs.append((real.detach(), fake.detach()))


class Task(Protocol):
    """A kind of GAN. Stateless: it owns no weights, optimiser or device.

    Tasks inherit from this. What the last two say is for who watches the training alone.
    """

    @property
    def target(self) -> str:
        """The network that is compressed."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        """Weighted terms by name; the phase minimises their sum."""

    @property
    def discriminator_output(self) -> DiscriminatorOutput:
        """What the numbers are that `Step.note_outputs` is given."""
        return "score"

    def pictures(
        self, nets: Mapping[str, nn.Module], batch: Batch, step: Step
    ) -> tuple[Tensor, Tensor] | None:
        """What the target makes of a batch by then, and real images that it should vary as much as.

        Both (N, C, H, W). Draws no random numbers where the target is in evaluation. None: what it
        makes is not watched.
        """
        return None


@dataclass(frozen=True)
class ConditionalTask(Task, ABC):
    """A task whose generator maps inputs to one image; what distillation needs to know of it.

    Tasks inherit from this: most train a teacher as a generator beside its discriminator, which is
    the task's own or one that the options name.
    """

    options: TaskOptions
    context: TaskContext = TaskContext()

    @property
    @abstractmethod
    def gan(self) -> str:
        """The adversarial loss, a key of `losses.GAN_LOSSES`."""

    @abstractmethod
    def own_discriminator(self, channels: int) -> nn.Module:
        """A new discriminator of the task's own kind, of images of so many channels."""

    @property
    def in_channels(self) -> int:
        """Channels of what the generator takes."""
        return self.context.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of what the generator makes."""
        return self.context.out_channels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in training."""
        return self.context.size

    @property
    def target(self) -> str:
        return "generator"

    @property
    def phases(self) -> tuple[Phase, ...]:
        # The generator goes first, so that the discriminator learns from the images just made.
        return Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",))

    @property
    def discriminator_output(self) -> DiscriminatorOutput:
        return DISCRIMINATOR_OUTPUTS[self.gan]

    @property
    def init(self) -> str:
        """A key of `nets.blocks.INITS`: the first weights of all but named discriminators."""
        return "normal"

    def init_of(self, name: str) -> str:
        """The first weights of the network `name`, a key of `nets.blocks.INITS`.

        The usual N(0, 0.02^2) is for discriminators of 4x4 kernels and norms: through the four
        depthwise-separable blocks of a named one without them hardly anything would come.
        """
        return "kaiming" if self.is_named and name.startswith("discriminator") else self.init

    @property
    def discriminator_name(self) -> str | None:
        """The discriminators' name, as `discriminators.names` reads it; None: the task's own."""
        name = self.options.discriminator
        return None if name == DEFAULT else name

    @property
    def is_named(self) -> bool:
        """Whether the discriminators are named ones."""
        return self.discriminator_name is not None

    @property
    def discriminator_channels(self) -> int:
        """Channels of what a discriminator of the target's images takes: those of an image."""
        return self.out_channels

    def discriminators(self) -> dict[str, nn.Module]:
        """New discriminators of the target's images by name, weights as torch initialises them."""
        return {"discriminator": self.discriminator(self.discriminator_channels)}

    def discriminator(self, channels: int) -> nn.Module:
        """A new discriminator of images of so many channels, the named one or the task's own."""
        name = self.discriminator_name
        return (
            self.own_discriminator(channels)
            if name is None
            else self.named_discriminator(name, channels)
        )

    def named_discriminator(self, name: str, channels: int) -> nn.Module:
        """The discriminator of that name in the form that the task needs it in."""
        return Discriminator(name, channels, self.size, self.options.discriminator_norm)

    def discriminator_inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of what each discriminator takes, by its name: one image."""
        return {"discriminator": (1, self.discriminator_channels, *self.size)}

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        """All networks that a teacher is trained with, by name; `make` makes a new generator.

        What a phase trains may also be a module of buffers alone, such as a pool of images.
        """
        return {self.target: make(), **self.discriminators()}

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the generator takes from a batch."""
        return (batch["input"],)

    def ground_truth(self, batch: Batch) -> Tensor | None:
        """The image that the generator should make; None when unpaired."""
        return None

    def real(self, batch: Batch) -> Tensor:
        """The batch's real images of the generator's kind, paired with its inputs or not."""
        return batch["target"]

    def pictures(
        self, nets: Mapping[str, nn.Module], batch: Batch, step: Step
    ) -> tuple[Tensor, Tensor] | None:
        return nets[self.target](*self.inputs(batch)), self.real(batch)

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        """The generator's unweighted GAN loss of `fake` (N, C, H, W) in [-1, 1]."""
        return self.generator_loss(nets["discriminator"](fake))

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        """The discriminators' loss against `fake`, which carries no gradient."""
        discriminator, real = nets["discriminator"], batch["target"]
        # One pass each: a batch norm over both would tell the discriminator what it is to tell
        # apart.
        return self.discriminator_gan_loss(
            discriminator(real), discriminator(fake.to(real.dtype)), step
        )

    def generator_loss(self, fake: Tensor) -> Tensor:
        """The adversarial loss of a discriminator's outputs for generated images."""
        return GAN_LOSSES[self.gan][1](fake.float())

    def discriminator_gan_loss(self, real: Tensor, fake: Tensor, step: Step) -> Tensor:
        """The loss of a discriminator's outputs for real and fake images, which `step` notes."""
        outputs = real.float(), fake.float()
        step.note_outputs(*outputs)
        return GAN_LOSSES[self.gan][0](*outputs)
