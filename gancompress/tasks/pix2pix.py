"""Paired image translation (Isola et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.tasks.base import Batch, ConditionalTask, Step
from gancompress.tasks.options import Pix2PixOptions
from gancompress.tasks.passes import real_and_fake


@dataclass(frozen=True)
class Pix2Pix(ConditionalTask):
    """lambda_gan * GAN + lambda_l1 * L1, the discriminator seeing the input beside the image.

    Batches hold "input" and "target", (N, C, H, W) in [-1, 1].
    """

    options: Pix2PixOptions

    @property
    def gan(self) -> str:
        return self.options.gan

    @property
    def discriminator_channels(self) -> int:
        return self.in_channels + self.out_channels

    def own_discriminator(self, channels: int) -> nn.Module:
        return PatchDiscriminator(
            channels, self.options.discriminator_width, self.options.discriminator_layers
        )

    def ground_truth(self, batch: Batch) -> Tensor | None:
        return batch["target"]

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "discriminator":
            return {"discriminator": self.discriminator_loss(nets, batch, step.kept["fake"], step)}
        fake = nets["generator"](*self.inputs(batch))
        step.kept["fake"] = fake.detach()
        return {
            "gan": self.options.lambda_gan * self.adversarial(nets, batch, fake),
            "l1": self.options.lambda_l1 * F.l1_loss(fake.float(), batch["target"]),
        }

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        return self.generator_loss(nets["discriminator"](torch.cat((batch["input"], fake), 1)))

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        real, made = (
            torch.cat((batch["input"], images), 1)
            for images in (batch["target"], fake.to(batch["target"].dtype))
        )
        found = real_and_fake(nets["discriminator"], real, made, separate=self.is_named)
        return self.discriminator_gan_loss(*found, step)
