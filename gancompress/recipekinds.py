"""The generator families and tasks that a recipe chooses by `name`.

A new kind is one model here and one entry in the union at the end of its part.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gancompress.recipetypes import STRICT, Integer, Real, Weight, refuse

# Generator families


class ResNetFamily(BaseModel):
    """The ResNet generator of CycleGAN and pix2pix."""

    model_config = STRICT

    size_multiple: ClassVar[int] = 4  # two stride-2 convolutions

    name: Literal["resnet"] = Field(description="residual trunk between two downs and two ups")
    blocks: Integer = Field(9, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the residual blocks")


class StarGANFamily(BaseModel):
    """The ResNet generator of StarGAN: affine norms, no biases, 4x4 kernels where it scales."""

    model_config = STRICT

    size_multiple: ClassVar[int] = 4

    name: Literal["stargan"] = Field(description="StarGAN's generator: image and label planes in")
    blocks: Integer = Field(6, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the residual blocks")


Family = Annotated[ResNetFamily | StarGANFamily, Field(discriminator="name")]


# Tasks


class Pix2pixTask(BaseModel):
    """Paired translation: a conditional PatchGAN critic beside L1."""

    model_config = STRICT

    labelled: ClassVar[bool] = False  # whether it needs images with labels
    size_multiple: ClassVar[int] = 1

    name: Literal["pix2pix"] = Field(description="paired image to image")
    gan: Literal["hinge", "lsgan"] = Field("hinge", description="adversarial loss")
    lambda_gan: Weight = Field(1.0, description="weight of the adversarial loss")
    lambda_l1: Weight = Field(100.0, description="weight of L1 to the ground truth")
    critic_width: Integer = Field(64, ge=1, description="channels after the critic's first layer")
    critic_layers: Integer = Field(3, ge=1, le=6, description="stride-2 layers of the critic")


class StarGANTask(BaseModel):
    """Translation between labelled domains by one generator: WGAN-GP, labels, reconstruction."""

    model_config = STRICT

    labelled: ClassVar[bool] = True

    name: Literal["stargan"] = Field(description="several domains, unpaired, by one generator")
    lambda_cls: Weight = Field(1.0, description="weight of the labels' classification")
    lambda_rec: Weight = Field(10.0, description="weight of L1 between source and way back")
    lambda_gp: Weight = Field(10.0, description="weight of the critic's gradient penalty")
    critic_steps: Integer = Field(
        5, ge=1, description="turns of the critic to one of the generator; steps count the critic's"
    )
    critic_width: Integer = Field(64, ge=1, description="channels after the critic's first layer")
    critic_layers: Integer = Field(6, ge=1, le=8, description="stride-2 layers of the critic")
    critic_bands: tuple[Weight, Weight] = Field(
        (0.0, 0.0), description="shares of the critic's channels at half and quarter resolution"
    )

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.critic_layers)

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        (alpha, beta), layers = self.critic_bands, self.critic_layers
        if alpha + beta > 1 or (beta > 0 and alpha == 0):
            refuse(
                [
                    f"critic_bands: found {[alpha, beta]}; together at most 1, the second only "
                    "beside the first, is allowed"
                ]
            )
        needed = 4 if beta > 0 else 2 if alpha > 0 else 1
        if layers < needed:
            refuse(
                [
                    f"critic_layers: found {layers}; at least {needed} is allowed with "
                    f"critic_bands {[alpha, beta]}"
                ]
            )
        return self


Task = Annotated[Pix2pixTask | StarGANTask, Field(discriminator="name")]
