"""Translation between several domains by one generator (Choi et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.discriminators.named import LabelDiscriminator
from gancompress.nets.discriminators.patch import StarGANDiscriminator
from gancompress.nets.layers.features import Bands
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.losses import LABEL_LOSSES, gradient_penalty
from gancompress.tasks.options import StarGANOptions
from gancompress.tasks.passes import real_and_fake


@dataclass(frozen=True)
class StarGAN(ConditionalTask):
    """WGAN-GP, classification of labels by the same network, and reconstruction of the source.

    Batches hold "input" (N, 3+D, H, W), a source image in [-1, 1] and a constant channel of 0 or 1
    for each of the D target labels, and "labels" (N, D, 1, 1), the source's own. Every step trains
    the discriminator, every `discriminator_steps`-th the generator before it: steps count the
    discriminator's.
    """

    options: StarGANOptions

    @property
    def phases(self) -> tuple[Phase, ...]:
        every = self.options.discriminator_steps
        return Phase("generator", ("generator",), every), Phase("discriminator", ("discriminator",))

    @property
    def gan(self) -> str:
        return "wgan-gp"

    @property
    def _labels(self) -> int:
        """How many labels there are."""
        return self.in_channels - self.out_channels

    def own_discriminator(self, channels: int) -> nn.Module:
        options = self.options
        return StarGANDiscriminator(
            channels,
            self._labels,
            self.size,
            width=options.discriminator_width,
            layers=options.discriminator_layers,
            bands=Bands(*options.discriminator_bands),
        )

    def named_discriminator(self, name: str, channels: int) -> nn.Module:
        norm = self.options.discriminator_norm
        return LabelDiscriminator(name, channels, self.size, self._labels, norm)

    def real(self, batch: Batch) -> Tensor:
        return self._source(batch)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        generator = nets[self.target]
        if phase == "discriminator":
            if "fake" not in step.kept:  # a step without the generator's turn
                with torch.no_grad():
                    step.kept["fake"] = generator(*self.inputs(batch))
            return self._discriminator_terms(nets, batch, step.kept["fake"], step)
        fake = generator(*self.inputs(batch))
        step.kept["fake"] = fake.detach()
        source = self._source(batch)
        channels = batch["labels"].expand(-1, -1, *source.shape[2:])  # (N, D, H, W)
        again = generator(torch.cat((fake, channels), 1))
        reconstruction = self.options.lambda_rec * F.l1_loss(again.float(), source)
        return {**self._generator_terms(nets, batch, fake), "rec": reconstruction}

    def adversarial(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        return torch.stack(list(self._generator_terms(nets, batch, fake).values())).sum()

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        return torch.stack(list(self._discriminator_terms(nets, batch, fake, step).values())).sum()

    def _generator_terms(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor
    ) -> dict[str, Tensor]:
        """Choi et al. 2018, eq. 6 without its last term: realism, and the labels asked for."""
        logits, classes = nets["discriminator"](fake)
        asked = batch["input"][:, self.out_channels :, 0, 0]  # (N, D)
        classification = self.options.lambda_cls * self._classification(classes, asked)
        return {"gan": self.generator_loss(logits), "cls": classification}

    def _discriminator_terms(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> dict[str, Tensor]:
        """Choi et al. 2018, eq. 5 with eq. 8; only real images teach it the labels."""
        discriminator, real = nets["discriminator"], self._source(batch)
        both = real_and_fake(discriminator, real, fake.to(real.dtype), separate=self.is_named)
        (real_logits, fake_logits), (classes, _) = zip(*both, strict=True)
        real_logits, fake_logits = real_logits.float(), fake_logits.float()
        step.note_outputs(real_logits, fake_logits)
        known = self._classification(classes, batch["labels"].flatten(1))
        penalty = gradient_penalty(lambda images: discriminator(images)[0], real, fake)
        return {
            "wasserstein": fake_logits.mean() - real_logits.mean(),
            "discriminator_cls": self.options.lambda_cls * known,
            "gp": self.options.lambda_gp * penalty,
        }

    def _classification(self, classes: Tensor, labels: Tensor) -> Tensor:
        assert self.context.labels is not None, "this task takes labelled images alone"
        return LABEL_LOSSES[self.context.labels](classes.float().flatten(1), labels)

    def _source(self, batch: Batch) -> Tensor:
        return batch["input"][:, : self.out_channels]
