"""The data sets without pairs that a recipe chooses by `name`: those of CycleGAN and MUNIT."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gancompress.recipesections import CroppedSection, Kind, WorldSection, layout_problems
from gancompress.recipetypes import FilePath


class UnpairedData(CroppedSection):
    """The user's own images of two kinds that are no pairs."""

    kind: ClassVar[Kind] = "unpaired"

    name: Literal["unpaired"] = Field(description="images of two kinds from folders, unpaired")
    layout: Literal["two-folders", "cyclegan"] = Field(
        "two-folders", description="a folder for each kind, or one with trainA/, trainB/, testA/ …"
    )
    folder: FilePath | None = Field(
        None, description="cyclegan: holds trainA/, trainB/, testA/ and testB/"
    )
    input_folder: FilePath | None = Field(
        None, description="two-folders: holds train/, search/ (or val/) and test/, or files"
    )
    target_folder: FilePath | None = Field(
        None, description="two-folders: the same of the target kind"
    )
    image_channels: Literal[1, 3] = Field(3, description="1 for gray images, 3 for colours")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.image_channels, self.image_channels

    def problems(self) -> list[str]:
        wanted = {"two-folders": ["input_folder", "target_folder"], "cyclegan": ["folder"]}
        return [*layout_problems(self, self.layout, wanted), *super().problems()]


class MapsUnpairedData(WorldSection):
    """Tiles of the built-in world maps, relief and photograph of different ground."""

    kind: ClassVar[Kind] = "unpaired"

    name: Literal["maps-unpaired"] = Field(description="the built-in world maps without pairs")
    source: Literal["shadedrelief", "etopo1"] = Field(
        "shadedrelief", description="the map to start from"
    )

    @property
    def has_truth(self) -> bool:
        """Whether every input has one true answer: the same ground, where it is judged."""
        return True
