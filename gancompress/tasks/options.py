"""What a recipe says of each task, with its defaults; free of torch, as recipes are.

A new task is one model here, its class, and a line in `tasks.TASKS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gancompress.fields.types import FilePath, Integer, Kind, Real, Weight, refuse
from gancompress.nets.discriminators.names import DEFAULT
from gancompress.tasks.taskoptions import TaskContext, TaskOptions

if TYPE_CHECKING:
    from gancompress.tasks.base import ConditionalTask

DiscriminatorWidth = Annotated[
    Integer, Field(ge=1, description="channels after the discriminator's first layer")
]


class Pix2PixOptions(TaskOptions):
    """Paired translation: a conditional PatchGAN discriminator beside L1."""

    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "label maps")
    learns_pairs: ClassVar[bool] = True

    name: Literal["pix2pix"] = Field(default="pix2pix", description="paired image to image")
    gan: Literal["hinge", "lsgan"] = Field(default="hinge", description="adversarial loss")
    lambda_gan: Weight = Field(default=1.0, description="weight of the adversarial loss")
    lambda_l1: Weight = Field(default=100.0, description="weight of L1 to the ground truth")
    discriminator_width: DiscriminatorWidth = 64
    discriminator_layers: Integer = Field(
        default=3, ge=1, le=6, description="stride-2 layers of the discriminator"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.pix2pix import Pix2Pix

        return Pix2Pix(self, context)


class ImitationOptions(TaskOptions):
    """A student of a trained generator that stands alone, by its answers to inputs."""

    takes: ClassVar[tuple[Kind, ...]] = ("inputs",)
    imitates: ClassVar[bool] = True

    name: Literal["imitation"] = Field(
        default="imitation", description="a trained generator's answers to inputs"
    )
    gan: Literal["hinge", "lsgan"] = Field(
        default="hinge", description="adversarial loss, where supernet.losses weighs one"
    )
    discriminator_width: DiscriminatorWidth = 32
    discriminator_layers: Integer = Field(
        default=3, ge=1, le=6, description="stride-2 layers of the discriminator"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.imitation import Imitation

        return Imitation(self, context)


class CycleGANOptions(TaskOptions):
    """Unpaired translation between two domains, learnt both ways."""

    takes: ClassVar[tuple[Kind, ...]] = ("unpaired", "pairs")

    name: Literal["cyclegan"] = Field(default="cyclegan", description="unpaired image to image")
    gan: Literal["lsgan", "hinge"] = Field(default="lsgan", description="adversarial loss")
    lambda_cycle: Weight = Field(
        default=10.0, description="weight of L1 between image and way back"
    )
    lambda_identity: Weight = Field(
        default=0.5,
        description="weight of L1 to an image of the wanted domain already, as a fraction of "
        "lambda_cycle",
    )
    pool: Integer = Field(
        default=50,
        ge=0,
        description="earlier images of each side that discriminators are shown again",
    )
    discriminator_width: DiscriminatorWidth = 64
    discriminator_layers: Integer = Field(
        default=3, ge=1, le=6, description="stride-2 layers of the discriminator"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.cyclegan import CycleGAN

        return CycleGAN(self, context)


class StarGANOptions(TaskOptions):
    """Translation between labelled domains by one generator: WGAN-GP, labels, reconstruction."""

    takes: ClassVar[tuple[Kind, ...]] = ("domains",)

    name: Literal["stargan"] = Field(
        default="stargan", description="several domains, unpaired, by one generator"
    )
    lambda_cls: Weight = Field(default=1.0, description="weight of the labels' classification")
    lambda_rec: Weight = Field(default=10.0, description="weight of L1 between source and way back")
    lambda_gp: Weight = Field(
        default=10.0, description="weight of the discriminator's gradient penalty"
    )
    discriminator_steps: Integer = Field(
        default=5,
        ge=1,
        description="turns of the discriminator to one of the generator; steps count the former",
    )
    discriminator_width: DiscriminatorWidth = 64
    discriminator_layers: Integer = Field(
        default=6, ge=1, le=8, description="stride-2 layers of the discriminator"
    )
    discriminator_bands: tuple[Weight, Weight] = Field(
        default=(0.0, 0.0),
        description="fractions of the discriminator's channels at half and quarter resolution",
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.stargan import StarGAN

        return StarGAN(self, context)

    def like_generator(self, op: str | None, bands: tuple[float, float] | None) -> Self:
        return self if bands is None else self.model_copy(update={"discriminator_bands": bands})

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.discriminator_layers) if self.discriminator == DEFAULT else 1

    @model_validator(mode="after")
    def _slope_is_of_each_image(self) -> Self:
        refuse(self.penalty_problems("lambda_gp") if self.lambda_gp else [])
        return self

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        (alpha, beta), layers = self.discriminator_bands, self.discriminator_layers
        if alpha + beta > 1 or (beta > 0 and alpha == 0):
            refuse(
                [
                    f"discriminator_bands: found {[alpha, beta]}; together at most 1, the "
                    "second only beside the first, is allowed"
                ]
            )
        needed = 4 if beta > 0 else 2 if alpha > 0 else 1
        if layers < needed:
            refuse(
                [
                    f"discriminator_layers: found {layers}; at least {needed} is allowed with "
                    f"discriminator_bands {[alpha, beta]}"
                ]
            )
        return self


class GauGANOptions(TaskOptions):
    """Photographs from label maps: hinge, feature matching, a discriminator at several scales."""

    takes: ClassVar[tuple[Kind, ...]] = ("label maps", "pairs")
    learns_pairs: ClassVar[bool] = True
    styled: ClassVar[bool] = True

    name: Literal["gaugan"] = Field(
        default="gaugan", description="label channels to photograph, paired"
    )
    lambda_features: Weight = Field(
        default=10.0, description="weight of L1 between the discriminator's features"
    )
    lambda_vgg: Weight = Field(
        default=0.0, description="weight of the perceptual loss; needs vgg_weights"
    )
    lambda_l1: Weight = Field(default=0.0, description="weight of L1 to the ground truth")
    lambda_style: Weight = Field(
        default=0.05,
        description="weight of the divergence of styles from N(0, 1), with family.style",
    )
    vgg_weights: FilePath | None = Field(
        default=None, description="file of torchvision's weights of VGG-19"
    )
    spectral: bool = Field(default=True, description="train the teacher under spectral norm")
    discriminator_width: DiscriminatorWidth = 64
    discriminator_layers: Integer = Field(
        default=4, ge=1, le=8, description="layers of the discriminator at each scale"
    )
    discriminator_scales: Integer = Field(
        default=2, ge=1, le=4, description="resolutions that the discriminator sees"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.gaugan import GauGAN

        return GauGAN(self, context)

    @model_validator(mode="after")
    def _weights_are_named(self) -> Self:
        if self.lambda_vgg and self.vgg_weights is None:
            refuse([f"vgg_weights: missing; lambda_vgg {self.lambda_vgg:g} needs it, or be 0"])
        return self


class MunitOptions(TaskOptions):
    """Unpaired translation to many images each, learnt both ways, content and style apart."""

    takes: ClassVar[tuple[Kind, ...]] = ("unpaired", "pairs")
    styled: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("munit",)

    name: Literal["munit"] = Field(
        default="munit", description="unpaired, an image for every style"
    )
    gan: Literal["lsgan", "hinge"] = Field(default="lsgan", description="adversarial loss")
    lambda_gan: Weight = Field(default=1.0, description="weight of the adversarial loss")
    lambda_image: Weight = Field(
        default=10.0, description="weight of L1 of images with their own style"
    )
    lambda_style: Weight = Field(
        default=1.0, description="weight of L1 of styles, once drawn into images"
    )
    lambda_content: Weight = Field(
        default=1.0, description="weight of L1 of contents, there and back"
    )
    lambda_cycle: Weight = Field(default=0.0, description="weight of L1 between image and way back")
    style_width: Integer = Field(
        default=64, ge=1, description="channels after the style encoders' first"
    )
    discriminator_width: DiscriminatorWidth = 64
    discriminator_layers: Integer = Field(
        default=4, ge=1, le=6, description="stride-2 layers of the discriminator"
    )
    discriminator_scales: Integer = Field(
        default=3, ge=1, le=4, description="sizes at which it sees an image"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.munit import MUNIT

        return MUNIT(self, context)


class SuperresOptions(TaskOptions):
    """Large images from small ones: pixels alone, then content and a discriminator (SRGAN)."""

    takes: ClassVar[tuple[Kind, ...]] = ("superres",)
    learns_pairs: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("psnr", "ssim", "ms-ssim-target")
    families: ClassVar[tuple[str, ...]] = ("srresnet",)

    name: Literal["superres"] = Field(
        default="superres", description="small image to large, paired"
    )
    pixel: Literal["mse", "l1"] = Field(default="mse", description="what pixels are compared by")
    pixel_share: Annotated[Real, Field(ge=0, le=1)] = Field(
        default=0.5,
        description="fraction of the teacher's steps from pixels alone, without a discriminator",
    )
    lambda_pixel: Weight = Field(default=1.0, description="weight of the pixel loss in those steps")
    lambda_kept: Weight = Field(default=0.0, description="weight of the pixel loss in the others")
    lambda_content: Weight = Field(
        default=1.0,
        description="weight of the content loss: MSE of VGG-19's relu5_4, or without vgg_weights "
        "of images averaged over 2x2 pixels",
    )
    lambda_gan: Weight = Field(default=0.001, description="weight of the adversarial loss")
    vgg_weights: FilePath | None = Field(
        default=None, description="file of torchvision's weights of VGG-19"
    )
    discriminator_width: DiscriminatorWidth = 64

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.superres import Superres

        return Superres(self, context)
