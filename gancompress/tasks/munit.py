"""Unpaired translation to many images each, content and style apart (Huang et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.discriminators.munit import MunitDiscriminator, StyleEncoder
from gancompress.nets.discriminators.named import ScaleDiscriminators, ScaleOutputs
from gancompress.nets.families.munit import MunitGenerator
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.options import MunitOptions
from gancompress.tasks.passes import real_and_fake


@dataclass(frozen=True)
class MUNIT(ConditionalTask):
    """GAN both ways, and L1 of images, contents and styles to themselves after a way through.

    Batches hold "input" (N, C+S, H, W), images of A in [-1, 1] and a constant channel for each
    number of a style code of B, drawn from N(0, 1), and "target" (N, C, H, W), images of B that
    have nothing to do with them. "generator", which is compressed, leads from A to B: it has A's
    content encoder and B's decoder; "backward" has the other two. "style" encodes the styles of B,
    "style_backward" those of A; no student needs them.

    Terms and weights are the paper's. Of its program are left out: Adam's weight decay of 1e-4, and
    first weights of the discriminators other than the generators'. Its discriminators' loss is
    twice this one.
    """

    options: MunitOptions

    @property
    def gan(self) -> str:
        return self.options.gan

    @property
    def init(self) -> str:
        return "kaiming"

    @property
    def phases(self) -> tuple[Phase, ...]:
        generators = ("generator", "backward", "style", "style_backward")
        return Phase("generator", generators), Phase(
            "discriminator", ("discriminator", "discriminator_backward")
        )

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        return {
            "generator": make(),
            "backward": make(),
            "style": self._style_encoder(),
            "style_backward": self._style_encoder(),
            "discriminator": self.discriminator(self.out_channels),
            "discriminator_backward": self.discriminator(self.out_channels),
        }

    def own_discriminator(self, channels: int) -> nn.Module:
        options = self.options
        return MunitDiscriminator(
            channels,
            self.size,
            width=options.discriminator_width,
            layers=options.discriminator_layers,
            scales=options.discriminator_scales,
        )

    def named_discriminator(self, name: str, channels: int) -> nn.Module:
        scales, norm = self.options.discriminator_scales, self.options.discriminator_norm
        return ScaleOutputs(ScaleDiscriminators(name, channels, self.size, scales, norm))

    def _style_encoder(self) -> nn.Module:
        style = self.context.style
        return StyleEncoder(self.out_channels, style, self.options.style_width)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        a, b = batch["input"][:, : self.out_channels], batch["target"]
        if phase == "discriminator":
            fake_b, fake_a = step.kept["fake"], step.kept["fake_backward"]
            return {
                "discriminator": self._discriminator_loss(nets["discriminator"], b, fake_b, step),
                "discriminator_backward": self._discriminator_loss(
                    nets["discriminator_backward"], a, fake_a, step
                ),
            }
        wanted_b = batch["input"][:, self.out_channels :, 0, 0]  # (N, S)
        wanted_a = torch.randn_like(wanted_b)  # from torch's numbers, which `fit` seeds
        there, back = _Way(nets, ""), _Way(nets, "_backward")
        content_a, content_b = there.encode(a), back.encode(b)
        style_a, style_b = back.style(a), there.style(b)
        fake_b, fake_a = there.decode(content_a, wanted_b), back.decode(content_b, wanted_a)
        step.kept |= {"fake": fake_b.detach(), "fake_backward": fake_a.detach()}
        again_a, again_b = back.encode(fake_b), there.encode(fake_a)  # the contents of a and of b
        images = _l1(back.decode(content_a, style_a), a) + _l1(there.decode(content_b, style_b), b)
        styles = _l1(there.style(fake_b), wanted_b) + _l1(back.style(fake_a), wanted_a)
        terms = {
            "gan": self.options.lambda_gan * self.adversarial(nets, batch, fake_b),
            "gan_backward": self.options.lambda_gan
            * self._gan_loss(nets["discriminator_backward"], fake_a),
            "image": self.options.lambda_image * images,
            "style": self.options.lambda_style * styles,
            "content": self.options.lambda_content
            * (_l1(again_a, content_a) + _l1(again_b, content_b)),
        }
        if self.options.lambda_cycle:
            cycled = back.decode(again_a, style_a), there.decode(again_b, style_b)
            terms["cycle"] = self.options.lambda_cycle * (_l1(cycled[0], a) + _l1(cycled[1], b))
        return terms

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        return self._gan_loss(nets["discriminator"], fake)

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        return self._discriminator_loss(nets["discriminator"], batch["target"], fake, step)

    def _gan_loss(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        """The sum over the discriminator's scales."""
        return torch.stack([self.generator_loss(logits) for logits in discriminator(fake)]).sum()

    def _discriminator_loss(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, step: Step
    ) -> Tensor:
        found = real_and_fake(discriminator, real, fake.to(real), separate=self.is_named)
        scales = zip(*found, strict=True)
        return torch.stack([self.discriminator_gan_loss(*both, step) for both in scales]).sum()


class _Way:
    """One direction: "" from A to B, "_backward" from B to A."""

    def __init__(self, nets: Mapping[str, nn.Module], suffix: str) -> None:
        self._generator = nets[suffix.removeprefix("_") or "generator"]
        self.style = nets[f"style{suffix}"]  # image of the domain that it leads to -> (N, S)

    @property
    def _net(self) -> MunitGenerator:
        assert isinstance(self._generator, MunitGenerator)
        return self._generator

    def encode(self, image: Tensor) -> Tensor:
        """The content of an image of the domain that it leads from."""
        return self._net.encode(image)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """The image with that content and style in the domain that it leads to."""
        return self._net.decode(content, style)


def _l1(ours: Tensor, theirs: Tensor) -> Tensor:
    return F.l1_loss(ours.float(), theirs.float())
