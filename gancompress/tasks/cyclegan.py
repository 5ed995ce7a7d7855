"""Unpaired image translation with a way back (Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.options import CycleGANOptions
from gancompress.tasks.pool import ImagePool


@dataclass(frozen=True)
class CycleGAN(ConditionalTask):
    """GAN both ways, L1 of each image to where the way there and back leads, and identity.

    Batches hold "input", images of A, and "target", images of B that have nothing to do with them,
    (N, C, H, W) in [-1, 1]. "generator" leads from A to B and is compressed; "backward" leads from
    B to A. The student learns from the teacher's image.
    """

    options: CycleGANOptions

    @property
    def gan(self) -> str:
        return self.options.gan

    @property
    def phases(self) -> tuple[Phase, ...]:
        discriminators = ("discriminator", "discriminator_backward", "pool", "pool_backward")
        return Phase("generator", ("generator", "backward")), Phase("discriminator", discriminators)

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        return {
            "generator": make(),
            "backward": make(),
            "discriminator": self.discriminator(self.out_channels),
            "discriminator_backward": self.discriminator(self.in_channels),
            "pool": ImagePool(self.options.pool, (self.out_channels, *self.size)),
            "pool_backward": ImagePool(self.options.pool, (self.in_channels, *self.size)),
        }

    def own_discriminator(self, channels: int) -> nn.Module:
        return PatchDiscriminator(
            channels, self.options.discriminator_width, self.options.discriminator_layers
        )

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "discriminator":
            real, kept = (batch["target"], batch["input"]), step.kept
            there = nets["pool"](kept["fake"].to(real[0].dtype), step.rng)
            back = nets["pool_backward"](kept["fake_backward"].to(real[1].dtype), step.rng)
            discriminator, discriminator_backward = (
                nets["discriminator"],
                nets["discriminator_backward"],
            )
            return {
                "discriminator": self.discriminator_gan_loss(
                    discriminator(real[0]), discriminator(there), step
                ),
                "discriminator_backward": self.discriminator_gan_loss(
                    discriminator_backward(real[1]), discriminator_backward(back), step
                ),
            }
        generator, backward = nets["generator"], nets["backward"]
        a, b = batch["input"], batch["target"]
        fake_b, fake_a = generator(a), backward(b)
        step.kept |= {"fake": fake_b.detach(), "fake_backward": fake_a.detach()}
        cycle = _l1(backward(fake_b), a) + _l1(generator(fake_a), b)
        terms = {
            "gan": self.adversarial(nets, batch, fake_b),
            "gan_backward": self.generator_loss(nets["discriminator_backward"](fake_a)),
            "cycle": self.options.lambda_cycle * cycle,
        }
        if self.options.lambda_identity:  # Zhu et al. 2017, section 5.2: it keeps the colours
            identity = _l1(generator(b), b) + _l1(backward(a), a)
            terms["identity"] = self.options.lambda_cycle * self.options.lambda_identity * identity
        return terms


def _l1(ours: Tensor, theirs: Tensor) -> Tensor:
    return F.l1_loss(ours.float(), theirs)
