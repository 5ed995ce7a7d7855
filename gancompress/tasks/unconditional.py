"""Images of random vectors: the generator is given nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.discriminators.progressive import ProgressiveDiscriminator
from gancompress.nets.families.progan import ProGANGenerator, levels_of
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step
from gancompress.tasks.growth import Growth, grown_evenly
from gancompress.tasks.losses import gradient_penalty
from gancompress.tasks.unconditionaloptions import UnconditionalOptions


@dataclass(frozen=True)
class Unconditional(ConditionalTask):
    """A GAN whose generator takes a random vector, trained at full size or level by level.

    Batches hold "input" (N, in_channels, 1, 1) from N(0, 1) and "target", real images
    (N, out_channels, H, W) in [-1, 1], of no relation to it.

    grows: whether both networks are grown (Karras et al. 2018): `growth` says how long each level
    is trained relative to the others, `fade` in which fraction of that it is faded in, in both
    networks and in the real images. Each level begins with optimisers that know nothing. `gan`
    wgan-gp adds the gradient penalty and `drift` times the squared scores of real images.
    """

    options: UnconditionalOptions

    @property
    def init(self) -> str:
        return "equalised" if self.context.grows else "normal"

    @property
    def discriminator_name(self) -> str | None:
        """A discriminator that does not grow is a named one, `plain` where none is asked for."""
        return None if self.context.grows else super().discriminator_name or "plain"

    @property
    def plan(self) -> Growth:
        """When which level is trained, of networks that grow."""
        return grown_evenly(levels_of(self.size[0]), self.options.growth, self.options.fade)

    @property
    def phases(self) -> tuple[Phase, ...]:
        restarts = self.plan.starts[1:] if self.context.grows else ()
        return (
            Phase("generator", ("generator",), restarts=restarts),
            Phase("discriminator", ("discriminator",), restarts=restarts),
        )

    def own_discriminator(self, channels: int) -> nn.Module:
        options = self.options
        return ProgressiveDiscriminator(
            channels, self.size[0], options.discriminator_width, options.discriminator_op
        )

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        generator = make()
        if isinstance(generator, ProGANGenerator):
            generator.equalise()
        return {self.target: generator, **self.discriminators()}

    @property
    def gan(self) -> str:
        return self.options.gan

    def pictures(
        self, nets: Mapping[str, nn.Module], batch: Batch, step: Step
    ) -> tuple[Tensor, Tensor]:
        """Those of the level that the step trains."""
        if not self.context.grows:
            return nets[self.target](*self.inputs(batch)), batch["target"]
        stage = self.plan.at(step.index, step.total)
        made = _grown(nets[self.target], batch["input"], stage)
        return made, shrunk(batch["target"], *stage)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        stage = self.plan.at(step.index, step.total) if self.context.grows else None
        if phase == "discriminator":
            return self._discriminator_terms(nets["discriminator"], batch["target"], step, stage)
        (z,) = self.inputs(batch)
        fake = _grown(nets[self.target], z, stage)
        step.kept["fake"] = fake.detach()
        return {"gan": self.generator_loss(_grown(nets["discriminator"], fake, stage))}

    def discriminator_loss(
        self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor, step: Step
    ) -> Tensor:
        step.kept["fake"] = fake
        terms = self._discriminator_terms(nets["discriminator"], batch["target"], step, None)
        return torch.stack(list(terms.values())).sum()

    def _discriminator_terms(
        self, discriminator: nn.Module, images: Tensor, step: Step, stage: tuple[int, float] | None
    ) -> dict[str, Tensor]:
        """Karras et al. 2018, appendix A.1: Wasserstein, penalty and drift."""
        real = images if stage is None else shrunk(images, *stage)
        fake = step.kept["fake"].to(real.dtype)
        scores = (
            _grown(discriminator, real, stage).float(),
            _grown(discriminator, fake, stage).float(),
        )
        terms = {"discriminator": self.discriminator_gan_loss(*scores, step)}
        if self.gan == "wgan-gp":
            penalty = gradient_penalty(lambda x: _grown(discriminator, x, stage), real, fake)
            terms["gp"] = self.options.lambda_gp * penalty
            terms["drift"] = self.options.drift * scores[0].square().mean()
        return terms


def _grown(net: nn.Module, x: Tensor, stage: tuple[int, float] | None) -> Tensor:
    """What a network that has grown to `stage` answers; as a whole where there is none."""
    if stage is None:
        whole: Tensor = net(x)
        return whole
    assert isinstance(net, ProGANGenerator | ProgressiveDiscriminator)
    return net.grown(x, *stage)


def shrunk(images: Tensor, level: int, fade: float) -> Tensor:
    """Real images (N, C, H, W) as a level of 4 * 2^level pixels sees them.

    While the level is faded in, so are its details: the rest is of the level below, enlarged
    (Karras et al. 2018, figure 2).
    """
    factor = images.shape[-1] // (4 * 2**level)
    small = F.avg_pool2d(images, factor) if factor > 1 else images
    if fade < 1:
        coarse = F.interpolate(F.avg_pool2d(small, 2), scale_factor=2.0)
        small = torch.lerp(coarse, small, fade)
    return small
