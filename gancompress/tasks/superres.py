"""Large images from small ones (Ledig et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import RecipeError
from gancompress.nets.discriminators.srgan import SRGANDiscriminator
from gancompress.nets.layers.features import pooled
from gancompress.nets.vgg import VggContent
from gancompress.tasks.base import Batch, ConditionalTask, Phase, Step, step_at
from gancompress.tasks.options import SuperresOptions

# What pixels are compared by: name -> loss of two images in [-1, 1], both (N, C, H, W).
PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss}


@dataclass(frozen=True)
class Superres(ConditionalTask):
    """SRGAN in one training of two stages: pixels alone, then content and a discriminator.

    Batches hold "input" (N, C, H / s, W / s) and "target" (N, C, H, W), both in [-1, 1]. Up to
    `pixel_share` of the steps the generator learns lambda_pixel * the pixel loss (SRResNet). Then
    its optimiser begins anew, the discriminator begins, and it learns lambda_content * the content
    loss + lambda_gan * -log D (SRGAN) + lambda_kept * the pixel loss.

    The content loss is that of VGG-19's relu5_4 where `vgg_weights` names its file. Without, it is
    the mean squared difference of both images averaged over 2x2 pixels: it holds the coarser
    scales, and leaves the finest, which a small image says least of, to the discriminator.
    """

    options: SuperresOptions

    @property
    def gan(self) -> str:
        return "bce"

    @property
    def init(self) -> str:
        return "kaiming"

    @property
    def phases(self) -> tuple[Phase, ...]:
        begins = self.options.pixel_share
        return (
            Phase("generator", ("generator",), restarts=(begins,)),
            Phase("discriminator", ("discriminator",), first=begins),
        )

    def own_discriminator(self, channels: int) -> nn.Module:
        return SRGANDiscriminator(channels, self.size, self.options.discriminator_width)

    def teacher_nets(self, make: Callable[[], nn.Module]) -> dict[str, nn.Module]:
        """Raises: RecipeError or CheckpointError if VGG-19's file cannot be used."""
        nets = {self.target: make(), **self.discriminators()}
        if self.options.vgg_weights is not None:
            if self.out_channels != 3:
                raise RecipeError(
                    f"task.vgg_weights: given with images of {self.out_channels} channels; 3 are "
                    "needed, or leave it out"
                )
            nets["vgg"] = VggContent(self.options.vgg_weights)
        return nets

    def ground_truth(self, batch: Batch) -> Tensor | None:
        return batch["target"]

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "discriminator":
            return {"discriminator": self.discriminator_loss(nets, batch, step.kept["fake"], step)}
        fake = nets[self.target](*self.inputs(batch))
        step.kept["fake"] = fake.detach()
        pixel = PIXEL_LOSSES[self.options.pixel](fake.float(), batch["target"])
        if step.index < step_at(self.options.pixel_share, step.total):
            return {"pixel": self.options.lambda_pixel * pixel}
        return {
            "content": self.options.lambda_content * self._content(nets, batch, fake),
            "gan": self.options.lambda_gan * self.adversarial(nets, batch, fake),
            **({"pixel": self.options.lambda_kept * pixel} if self.options.lambda_kept else {}),
        }

    def _content(self, nets: Mapping[str, nn.Module], batch: Batch, fake: Tensor) -> Tensor:
        if "vgg" in nets:
            loss: Tensor = nets["vgg"](fake, batch["target"])
            return loss
        return F.mse_loss(pooled(fake.float()), pooled(batch["target"]))
