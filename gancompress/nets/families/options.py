"""What a recipe says of each family of generators; free of torch, as recipes are.

A new family is its options, its class, and a line in `nets.families.FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from gancompress.fields.types import Integer, Real
from gancompress.nets.families.familyoptions import FamilyOptions, Presets

if TYPE_CHECKING:
    from gancompress.nets.families.family import Family


class ResNetOptions(FamilyOptions):
    """The ResNet generator of CycleGAN and pix2pix."""

    size_multiple: ClassVar[int] = 4  # two stride-2 convolutions

    presets: ClassVar[Presets] = {
        "channels-48": ((48, 32),) * 2 + ((48, 40, 32),) * 4 + ((48, 32, 24, 16),) * 2,
        "channels-32": ((32, 24, 16),) * 8,
        "channels-64-cyclegan": ((64, 48, 32, 24, 16),) * 8,
        "channels-64-pix2pix": ((64, 56, 48, 40, 32, 24, 16),) * 8,
    }

    name: Literal["resnet"] = Field(
        default="resnet", description="residual trunk between two downs and two ups"
    )
    blocks: Integer = Field(default=9, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(default=0.0, ge=0, le=0.9, description="dropout in the residual blocks")
    norm: Literal["instance", "batch"] = Field(
        default="instance", description="of each image by itself, or of the batch"
    )

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.resnet import ResNet

        return ResNet


class StarGANFamilyOptions(FamilyOptions):
    """The ResNet generator of StarGAN: affine norms, no biases, 4x4 kernels where it scales."""

    size_multiple: ClassVar[int] = 4
    fixed: ClassVar[Mapping[str, Any]] = {"name": "stargan", "norm": "affine"}

    name: Literal["stargan"] = Field(
        default="stargan", description="StarGAN's generator: image and label channels in"
    )
    blocks: Integer = Field(default=6, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(default=0.0, ge=0, le=0.9, description="dropout in the residual blocks")

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.resnet import ResNet

        return ResNet


class SpadeOptions(FamilyOptions):
    """The SPADE generator of GauGAN: label channels in, batch norms that the labels scale."""

    presets: ClassVar[Presets] = {
        "channels-64-gaugan": ((64, 48, 40, 32),) * 5 + ((64, 48, 40, 32, 24),) * 3,
    }

    name: Literal["spade"] = Field(
        default="spade", description="GauGAN's generator: label channels in"
    )
    upsamplings: Literal[5, 6] = Field(
        default=5,
        description="doublings from the smallest map to the image: 5 (normal) or 6 (more)",
    )
    style: Integer = Field(
        default=0,
        ge=0,
        description="numbers of a style code, a channel each behind the labels; 0: none",
    )

    @property
    def style_channels(self) -> int:
        """Constant channels behind the input's, a style code for each image."""
        return self.style

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.upsamplings)

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.spade import Spade

        return Spade


class UNetOptions(FamilyOptions):
    """The U-Net generator of pix2pix."""

    name: Literal["unet"] = Field(
        default="unet", description="downs to a few pixels, and ups that see the downs"
    )
    levels: Integer = Field(
        default=8, ge=3, le=10, description="downs, and ups, of half the size each"
    )
    dropout: Real = Field(
        default=0.0, ge=0, le=0.9, description="dropout in the ups of most channels"
    )
    norm: Literal["batch", "instance"] = Field(
        default="batch", description="of the batch, or of each image by itself"
    )

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return int(2**self.levels)

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.unet import UNet

        return UNet


class MunitFamilyOptions(FamilyOptions):
    """The generator of MUNIT: image and style channels in."""

    size_multiple: ClassVar[int] = 4

    presets: ClassVar[Presets] = {
        "channels-64-munit": ((64, 56, 48, 40, 32, 24, 16),) * 9,
    }

    name: Literal["munit"] = Field(
        default="munit", description="content encoder, and decoder that a style steers"
    )
    style: Integer = Field(default=8, ge=1, description="numbers of the style code, a channel each")
    blocks: Integer = Field(
        default=4, ge=1, le=16, description="residual blocks in the encoder, as many in the decoder"
    )
    mlp: Integer = Field(default=256, ge=1, description="width of the layers behind the style code")

    @property
    def style_channels(self) -> int:
        """Constant channels behind the input's, a style code for each image."""
        return self.style

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.munit import Munit

        return Munit


class ProGANOptions(FamilyOptions):
    """The generator of progressive growing: a random vector in, a level for each doubling."""

    size_multiple: ClassVar[int] = 1  # see size_problems
    grows: ClassVar[bool] = True
    beside: ClassVar[frozenset[str]] = frozenset({"latent"})

    name: Literal["progan"] = Field(
        default="progan", description="images of random vectors, grown from 4x4"
    )
    latent: Integer = Field(default=512, ge=1, description="numbers of the random vector")

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

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.progan import ProGAN

        return ProGAN


class LSGANOptions(FamilyOptions):
    """A small generator of images of random vectors: two doublings behind a dense layer."""

    size_multiple: ClassVar[int] = 1  # see size_problems
    beside: ClassVar[frozenset[str]] = frozenset({"latent"})

    name: Literal["lsgan"] = Field(
        default="lsgan", description="images of random vectors, of 28 pixels or so"
    )
    latent: Integer = Field(default=64, ge=1, description="numbers of the random vector")
    norm: Literal["batch", "instance"] = Field(
        default="batch", description="of the batch, or of each image by itself"
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

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.lsgan import LSGAN

        return LSGAN


class SRResNetOptions(FamilyOptions):
    """The generator of SRGAN: makes images 2 or 4 times as large."""

    name: Literal["srresnet"] = Field(
        default="srresnet", description="residual trunk, then doublings of the size"
    )
    blocks: Integer = Field(default=16, ge=1, le=64, description="number of residual blocks")
    scale: Literal[2, 4] = Field(default=4, description="the output's side over the input's")
    skip: bool = Field(
        default=False,
        description="make what a bilinear enlargement lacks, not the whole image: far faster",
    )

    @property
    def enlargement(self) -> int:
        """The side of what it makes as a multiple of what it takes."""
        return self.scale

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return self.scale

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.srresnet import SRResNet

        return SRResNet
