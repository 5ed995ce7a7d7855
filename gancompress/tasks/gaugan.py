"""Photographs from maps of labels (Park et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import RecipeError
from gancompress.nets.discriminators.multiscale import MultiscaleDiscriminator
from gancompress.nets.discriminators.named import ScaleDiscriminators
from gancompress.nets.encoder import ImageEncoder, divergence, drawn_style
from gancompress.nets.families.spade import SpadeBlock
from gancompress.nets.layers.spectral import spectral
from gancompress.nets.vgg import Vgg19
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.options import GauGANOptions
from gancompress.tasks.passes import real_and_fake

Scales = list[list[Tensor]]  # for each scale of the discriminator its features, the logits last


@dataclass(frozen=True)
class GauGAN(ConditionalTask):
    """Hinge, matching of the discriminator's features; if asked for, a perceptual and an L1 loss.

    Batches hold "input" (N, in_channels, H, W), a channel of 0 or 1 for each label and what else is
    known of a pixel, and "target" (N, out_channels, H, W) in [-1, 1]. The discriminator sees both.
    `spectral`: whether a SPADE generator is trained as a teacher under spectral norm.

    With `style` the last channels of the input are a style code, drawn from N(0, 1). A teacher
    learns with that of the true image in their place, which "style" encodes; a student gets them as
    they are, like its teacher, and learns from its teacher's image.
    """

    options: GauGANOptions

    @property
    def gan(self) -> str:
        return "hinge"

    @property
    def init(self) -> str:
        return "xavier"

    @property
    def phases(self) -> tuple[Phase, ...]:
        encoder = ("style",) if self.context.style else ()
        return Phase("generator", ("generator", *encoder)), Phase(
            "discriminator", ("discriminator",)
        )

    @property
    def _label_channels(self) -> int:
        """Planes of the input without those of the style."""
        return self.in_channels - self.context.style

    @property
    def discriminator_channels(self) -> int:
        return self._label_channels + self.out_channels

    def own_discriminator(self, channels: int) -> nn.Module:
        options = self.options
        return MultiscaleDiscriminator(
            channels,
            options.discriminator_width,
            options.discriminator_layers,
            options.discriminator_scales,
        )

    def named_discriminator(self, name: str, channels: int) -> nn.Module:
        scales, norm = self.options.discriminator_scales, self.options.discriminator_norm
        return ScaleDiscriminators(name, channels, self.size, scales, norm)

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        """Raises: RecipeError or CheckpointError if there is no VGG-19 where it is asked for."""
        generator = make()
        blocks = [net for net in generator.modules() if isinstance(net, SpadeBlock)]
        for block in blocks if self.options.spectral else ():
            for conv in block.convolutions():
                spectral(conv)
        nets = {self.target: generator, **self.discriminators(), **self._perceptual()}
        if self.context.style:
            nets["style"] = ImageEncoder(self.out_channels, self.context.style, self.size)
        return nets

    def _perceptual(self) -> dict[str, nn.Module]:
        """The network that the perceptual loss is measured in, if there is one."""
        weight, path = self.options.lambda_vgg, self.options.vgg_weights
        if not weight:
            return {}
        assert path is not None, "the options ask for it"
        if self.out_channels != 3:
            raise RecipeError(
                f"task.lambda_vgg: found {weight:g} with vgg_weights {path} "
                f"and images of {self.out_channels} channels; a file of VGG-19's weights and 3 "
                "channels are needed, or 0"
            )
        return {"vgg": Vgg19(path)}

    def ground_truth(self, batch: Batch) -> Tensor | None:
        return None if self.context.style else batch["target"]

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "discriminator":
            return {"discriminator": self.discriminator_loss(nets, batch, step.kept["fake"], step)}
        inputs = batch["input"]
        divergences: dict[str, Tensor] = {}
        if self.context.style:
            inputs, divergences = self._encoded(nets["style"], batch)
        fake = nets[self.target](inputs)
        step.kept["fake"] = fake.detach()
        terms = self._generator_terms(nets, batch, fake) | divergences
        if self.options.lambda_vgg:
            terms["vgg"] = self.options.lambda_vgg * nets["vgg"](fake, batch["target"])
        if self.options.lambda_l1:
            terms["l1"] = self.options.lambda_l1 * F.l1_loss(fake.float(), batch["target"])
        return terms

    def _encoded(self, encoder: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The input with the true image's style, and the term that keeps styles near N(0, 1)."""
        mean, variance = encoder(batch["target"])
        mean, variance = mean.float(), variance.float()
        labels = batch["input"][:, : self._label_channels]
        code = drawn_style(mean, variance)[:, :, None, None]  # (N, style, 1, 1)
        channels = code.expand(-1, -1, *labels.shape[2:])
        term = {"style": self.options.lambda_style * divergence(mean, variance)}
        return torch.cat((labels, channels), 1), term

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        return torch.stack(list(self._generator_terms(nets, batch, fake).values())).sum()

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        real, made = self._outputs(nets, batch, fake)
        scales = zip(real, made, strict=True)
        return _mean([self.discriminator_gan_loss(a[-1], b[-1], step) for a, b in scales])

    def _generator_terms(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor
    ) -> dict[str, Tensor]:
        """Hinge and feature matching: means over scales, sums over the discriminator's layers."""
        real, made = self._outputs(nets, batch, fake)
        matching = [
            torch.stack(
                [
                    F.l1_loss(b.float(), a.detach().float())
                    for a, b in zip(wanted[:-1], features[:-1], strict=True)
                ]
            ).sum()
            for wanted, features in zip(real, made, strict=True)
        ]
        return {
            "gan": _mean([self.generator_loss(features[-1]) for features in made]),
            "features": self.options.lambda_features * _mean(matching),
        }

    def _outputs(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor
    ) -> tuple[Scales, Scales]:
        """What the discriminator makes of the true images, and of `fake`."""
        labels = batch["input"][:, : self._label_channels]
        real, made = (
            torch.cat((labels, images), 1)
            for images in (batch["target"], fake.to(batch["target"].dtype))
        )
        return real_and_fake(nets["discriminator"], real, made, separate=self.is_named)


def _mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()
