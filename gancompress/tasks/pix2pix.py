"""Paired image translation (Isola et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.critics import PatchCritic
from gancompress.nets.discriminators import Discriminator
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.halves import halves
from gancompress.tasks.losses import GAN_LOSSES
from gancompress.tasks.options import Pix2PixOptions
from gancompress.tasks.verdicts import VERDICTS, Verdict


@dataclass(frozen=True)
class Pix2Pix(ConditionalTask):
    """lambda_gan * GAN + lambda_l1 * L1, the critic seeing the input beside the image.

    Batches hold "input" and "target", (N, C, H, W) in [-1, 1].
    """

    options: Pix2PixOptions

    @property
    def target(self) -> str:
        return "generator"

    @property
    def verdict(self) -> Verdict:
        return VERDICTS[self.options.gan]

    @property
    def phases(self) -> tuple[Phase, ...]:
        # The generator goes first, so that the critic learns from the images just made.
        return Phase("generator", ("generator",)), Phase("critic", ("critic",))

    def critics(self) -> dict[str, nn.Module]:
        channels = self.in_channels + self.out_channels
        if self.is_named:
            name, norm = self.options.discriminator, self.options.discriminator_norm
            return {"critic": Discriminator(name, channels, self.size, norm)}
        return {
            "critic": PatchCritic(channels, self.options.critic_width, self.options.critic_layers)
        }

    def critic_inputs(self) -> dict[str, tuple[int, ...]]:
        return {"critic": (1, self.in_channels + self.out_channels, *self.size)}

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch["input"],)

    def truth(self, batch: Batch) -> Tensor | None:
        return batch["target"]

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "critic":
            return {"critic": self.critic_loss(nets, batch, step.kept["fake"], step)}
        fake = nets["generator"](*self.inputs(batch))
        step.kept["fake"] = fake.detach()
        return {
            "gan": self.options.lambda_gan * self.adversarial(nets, batch, fake),
            "l1": self.options.lambda_l1 * F.l1_loss(fake.float(), batch["target"]),
        }

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        logits = nets["critic"](torch.cat((batch["input"], fake), 1)).float()
        return GAN_LOSSES[self.options.gan][1](logits)

    def critic_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        real, made = (
            torch.cat((batch["input"], images), 1)
            for images in (batch["target"], fake.to(batch["target"].dtype))
        )
        found = halves(nets["critic"], real, made, apart=self.is_named)
        logits = found[0].float(), found[1].float()
        step.judged(*logits)
        return GAN_LOSSES[self.options.gan][0](*logits)
