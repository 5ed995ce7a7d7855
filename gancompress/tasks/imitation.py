"""Imitation of a trained generator that stands alone: its answers are what is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.tasks.base import Batch, ConditionalTask, Step
from gancompress.tasks.options import ImitationOptions
from gancompress.tasks.passes import real_and_fake


@dataclass(frozen=True)
class Imitation(ConditionalTask):
    """A student learns its teacher's answers to inputs; there is no ground truth.

    Batches hold "input" (N, C, H, W) in [-1, 1]; distillation adds "target", the teacher's answers.
    Where an adversarial loss is weighed, a PatchGAN tells these from the student's.
    """

    options: ImitationOptions

    @property
    def gan(self) -> str:
        return self.options.gan

    @property
    def init(self) -> str:
        return "kaiming"

    def own_discriminator(self, channels: int) -> nn.Module:
        return PatchDiscriminator(
            channels, self.options.discriminator_width, self.options.discriminator_layers
        )

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        raise AssertionError("a teacher of this task is never trained")

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        real = batch["target"]
        found = real_and_fake(
            nets["discriminator"], real, fake.to(real.dtype), separate=self.is_named
        )
        return self.discriminator_gan_loss(*found, step)
