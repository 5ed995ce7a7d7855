"""The generator families that a recipe chooses by `name`.

A new one is one model here and one entry in the union at the end.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from gancompress.fields.types import Integer, Real
from gancompress.nets.families.familyoptions import FamilySection
from gancompress.nets.families.ownoptions import OwnFamily, named_own


class ResNetFamily(FamilySection):
    """The ResNet generator of CycleGAN and pix2pix."""

    size_multiple: ClassVar[int] = 4  # two stride-2 convolutions

    name: Literal["resnet"] = Field(description="residual trunk between two downs and two ups")
    blocks: Integer = Field(9, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the residual blocks")
    norm: Literal["instance", "batch"] = Field(
        "instance", description="of each image by itself, or of the batch"
    )


class StarGANFamily(FamilySection):
    """The ResNet generator of StarGAN: affine norms, no biases, 4x4 kernels where it scales."""

    size_multiple: ClassVar[int] = 4

    name: Literal["stargan"] = Field(description="StarGAN's generator: image and label planes in")
    blocks: Integer = Field(6, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the residual blocks")


class SpadeFamily(FamilySection):
    """The SPADE generator of GauGAN: label planes in, batch norms that the labels scale."""

    name: Literal["spade"] = Field(description="GauGAN's generator: label planes in")
    upsamplings: Literal[5, 6] = Field(
        5, description="doublings from the smallest map to the image: 5 (normal) or 6 (more)"
    )
    style: Integer = Field(
        0, ge=0, description="numbers of a style code, a plane each behind the labels; 0: none"
    )

    @property
    def style_planes(self) -> int:
        """Constant planes behind the input's, a style code for each image."""
        return self.style

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.upsamplings)


class UNetFamily(FamilySection):
    """The U-Net generator of pix2pix."""

    name: Literal["unet"] = Field(description="downs to a few pixels, and ups that see the downs")
    levels: Integer = Field(8, ge=3, le=10, description="downs, and ups, of half the size each")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the ups of most channels")
    norm: Literal["batch", "instance"] = Field(
        "batch", description="of the batch, or of each image by itself"
    )

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.levels)


class MunitFamily(FamilySection):
    """The generator of MUNIT: image and style planes in."""

    size_multiple: ClassVar[int] = 4

    name: Literal["munit"] = Field(description="content encoder, and decoder that a style steers")
    style: Integer = Field(8, ge=1, description="numbers of the style code, a plane each")
    blocks: Integer = Field(
        4, ge=1, le=16, description="residual blocks in the encoder, as many in the decoder"
    )
    mlp: Integer = Field(256, ge=1, description="width of the layers behind the style code")

    @property
    def style_planes(self) -> int:
        """Constant planes behind the input's, a style code for each image."""
        return self.style


class ProGANFamily(FamilySection):
    """The generator of progressive growing: a random vector in, a level for each doubling."""

    size_multiple: ClassVar[int] = 1  # see size_problems
    grows: ClassVar[bool] = True

    name: Literal["progan"] = Field(description="images of random vectors, grown from 4x4")
    latent: Integer = Field(512, ge=1, description="numbers of the random vector")

    @property
    def latent_size(self) -> int:
        """Numbers of the random vector."""
        return self.latent

    def size_problems(self, size: tuple[int, int]) -> list[str]:
        """Why it cannot make images of that height and width."""
        height, width = size
        levels = (height // 4).bit_length()
        if height == width and height == 4 * 2 ** (levels - 1) and levels > 1:
            return []
        return [
            f"found {list(size)}; sides of 4 * 2^k from 8 on, alike, are allowed with family "
            "progan, whose levels double the 4x4 that they begin with"
        ]


class LSGANFamily(FamilySection):
    """A small generator of images of random vectors: two doublings behind a dense layer."""

    size_multiple: ClassVar[int] = 1  # see size_problems

    name: Literal["lsgan"] = Field(description="images of random vectors, of 28 pixels or so")
    latent: Integer = Field(64, ge=1, description="numbers of the random vector")
    norm: Literal["batch", "instance"] = Field(
        "batch", description="of the batch, or of each image by itself"
    )

    @property
    def latent_size(self) -> int:
        """Numbers of the random vector."""
        return self.latent

    def size_problems(self, size: tuple[int, int]) -> list[str]:
        """Why it cannot make images of that height and width."""
        height, width = size
        if height == width and height % 4 == 0 and height >= 8:
            return []
        return [f"found {list(size)}; multiples of 4 from 8 on, alike, are allowed with lsgan"]


class SRResNetFamily(FamilySection):
    """The generator of SRGAN: makes images 2 or 4 times as large."""

    name: Literal["srresnet"] = Field(description="residual trunk, then doublings of the size")
    blocks: Integer = Field(16, ge=1, le=64, description="number of residual blocks")
    scale: Literal[2, 4] = Field(4, description="the output's side over the input's")
    skip: bool = Field(
        False, description="make what a bilinear enlargement lacks, not the whole image: far faster"
    )

    @property
    def enlargement(self) -> int:
        """The side of what it makes as a multiple of what it takes."""
        return self.scale

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return self.scale


Family = Annotated[
    ResNetFamily
    | StarGANFamily
    | SpadeFamily
    | UNetFamily
    | MunitFamily
    | ProGANFamily
    | LSGANFamily
    | SRResNetFamily
    | OwnFamily,
    Field(discriminator="name"),
    BeforeValidator(named_own),
]
