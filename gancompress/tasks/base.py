"""What a task is: the protocol that the training loop, distillation and evaluation rely on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor, nn

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser's turn within a step: which networks it trains, and every how many steps."""

    name: str
    trains: tuple[str, ...]
    every: int = 1


@dataclass
class Step:
    """What the phases of one training step share."""

    index: int
    rng: np.random.Generator  # seeded by the run's seed and the step's index
    kept: dict[str, Tensor] = field(default_factory=dict)  # what one phase leaves for the next


class Task(Protocol):
    """A kind of GAN. Stateless: it owns no weights, optimiser or device."""

    @property
    def target(self) -> str:
        """The network that is compressed."""

    @property
    def phases(self) -> tuple[Phase, ...]: ...

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        """Weighted terms by name; the phase minimises their sum."""


class ConditionalTask(Task, Protocol):
    """A task whose generator maps inputs to one image; what distillation needs to know of it.

    Tasks inherit from this: most train a teacher as a generator beside its critics.
    """

    @property
    def init(self) -> str:
        """The first weights of all networks, a key of `nets.blocks.INITS`."""
        return "normal"

    def critics(self) -> dict[str, nn.Module]:
        """New discriminators of the target's images by name, weights as torch initialises them."""

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        """All networks that a teacher is trained with, by name; `make` makes a new generator.

        What a phase trains may also be a module of buffers alone, such as a pool of images.
        """
        return {self.target: make(), **self.critics()}

    def critic_inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of what each critic takes, by its name: one image."""

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the generator takes from a batch."""

    def truth(self, batch: Batch) -> Tensor | None:
        """The image that the generator should make; None when unpaired."""

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        """The generator's unweighted GAN loss of `fake` (N, C, H, W) in [-1, 1]."""

    def critic_loss(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        """The critics' loss against `fake`, which carries no gradient."""
