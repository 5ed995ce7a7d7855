"""The options of the data sets that are made of a user's images.

A new data set is its options, in a module of such a name, its class, and a line in
`data.DATASETS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from gancompress.data.dataoptions import (
    CroppedOptions,
    DataOptions,
    FilesOptions,
    fraction_problems,
    layout_problems,
)
from gancompress.fields.types import FilePath, Fraction, Integer, Kind, LabelKind
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.domains import DomainImages
    from gancompress.data.idximages import IdxImages
    from gancompress.data.imagefolder import ImageFolder
    from gancompress.data.pairs import PairFolders
    from gancompress.data.unpaired import UnpairedFolders


class PairsOptions(CroppedOptions):
    """The user's own pairs of images."""

    newer: ClassVar[frozenset[str]] = FilesOptions.newer | {"input_name", "target_name"}

    name: Literal["pairs"] = Field(default="pairs", description="pairs of images from folders")
    layout: Literal["side-by-side", "two-folders", "cyclegan", "one-folder"] = Field(
        default="side-by-side",
        description="A|B in one file; two folders matched by file stem; one folder with trainA/, "
        "trainB/, testA/ …; or both files of a pair in one folder",
    )
    folder: FilePath | None = Field(
        default=None,
        description="side-by-side, one-folder: holds train/, search/ (or val/) and test/, or "
        "files; cyclegan: holds trainA/, trainB/, testA/ and testB/",
    )
    input_folder: FilePath | None = Field(default=None, description="two-folders: the input images")
    target_folder: FilePath | None = Field(
        default=None, description="two-folders: the target images"
    )
    input_name: str = Field(
        default="*",
        description="stems of input images, as *_A; what stands for the star makes the pair",
    )
    target_name: str = Field(default="*", description="stems of target images, as *_B")
    swap: bool = Field(default=False, description="learn B to A in place of A to B")
    input_channels: Integer = Field(default=3, ge=1, le=64, description="channels of the input")
    target_channels: Integer = Field(default=3, ge=1, le=64, description="channels of the target")

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

    def open(self, digests: Digests | None = None) -> PairFolders:
        from gancompress.data.pairs import PairFolders

        return PairFolders(self, digests)


class DomainsOptions(FilesOptions):
    """The user's own images of several labelled domains."""

    kind: ClassVar[Kind] = "domains"

    name: Literal["domains"] = Field(
        default="domains", description="images of several domains, unpaired"
    )
    layout: Literal["folders", "attributes"] = Field(
        default="folders", description="a sub-folder for each domain, or labels in a text file"
    )
    folder: FilePath = Field(
        description="folders: holds the domains' folders, or train/, search/ (or val/) and test/ "
        "that hold them; attributes: holds the images"
    )
    domains: tuple[str, ...] = Field(
        default=(),
        description="folders: the sub-folders to use, in the order of the label channels",
    )
    attribute_file: FilePath | None = Field(
        default=None, description="attributes: file as CelebA's list_attr_celeba, .txt or .csv"
    )
    attributes: tuple[str, ...] = Field(
        default=(), description="attributes: the names to use, in the order of the label channels"
    )
    crop: Integer = Field(
        default=0, ge=0, description="side of the square taken from the middle; 0: the largest"
    )
    size: Integer = Field(
        default=128, ge=4, multiple_of=4, description="side in pixels that the square is resized to"
    )

    @property
    def labels(self) -> LabelKind:
        """Whether an image has one label, or any number of them."""
        return "exclusive" if self.layout == "folders" else "independent"

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the label channels behind the input's image."""
        return self.domains if self.layout == "folders" else self.attributes

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input, an image and a channel for each domain, and of target."""
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

    def open(self, digests: Digests | None = None) -> DomainImages:
        from gancompress.data.domains import DomainImages

        return DomainImages(self, digests)


class UnpairedOptions(CroppedOptions):
    """The user's own images of two kinds that are no pairs."""

    kind: ClassVar[Kind] = "unpaired"
    newer: ClassVar[frozenset[str]] = FilesOptions.newer | {"image_channels"}

    name: Literal["unpaired"] = Field(
        default="unpaired", description="images of two kinds from folders, unpaired"
    )
    layout: Literal["two-folders", "cyclegan"] = Field(
        default="two-folders",
        description="a folder for each kind, or one with trainA/, trainB/, testA/ …",
    )
    folder: FilePath | None = Field(
        default=None, description="cyclegan: holds trainA/, trainB/, testA/ and testB/"
    )
    input_folder: FilePath | None = Field(
        default=None, description="two-folders: holds train/, search/ (or val/) and test/, or files"
    )
    target_folder: FilePath | None = Field(
        default=None, description="two-folders: the same of the target kind"
    )
    image_channels: Literal[1, 3] = Field(default=3, description="1 for gray images, 3 for colours")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.image_channels, self.image_channels

    def problems(self) -> list[str]:
        wanted = {"two-folders": ["input_folder", "target_folder"], "cyclegan": ["folder"]}
        return [*layout_problems(self, self.layout, wanted), *super().problems()]

    def open(self, digests: Digests | None = None) -> UnpairedFolders:
        from gancompress.data.unpaired import UnpairedFolders

        return UnpairedFolders(self, digests)


class ImagesOptions(FilesOptions):
    """The user's own images, without anything beside them."""

    kind: ClassVar[Kind] = "images"

    name: Literal["images"] = Field(default="images", description="images from a folder")
    folder: FilePath = Field(description="holds train/, search/ (or val/) and test/, or files")
    crop: Integer = Field(
        default=0, ge=0, description="side of the square taken from the middle; 0: the largest"
    )
    size: Integer = Field(
        default=64, ge=4, description="side in pixels that the square is resized to"
    )
    image_channels: Literal[1, 3] = Field(default=3, description="1 for gray images, 3 for colours")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target, which are the same images."""
        return self.image_channels, self.image_channels

    def open(self, digests: Digests | None = None) -> ImageFolder:
        from gancompress.data.imagefolder import ImageFolder

        return ImageFolder(self, digests)


class IdxOptions(DataOptions):
    """Gray images in IDX files, the form of MNIST and of the sets made after it."""

    kind: ClassVar[Kind] = "images"

    name: Literal["idx"] = Field(
        default="idx", description="gray images in IDX files, such as digits"
    )
    images: FilePath = Field(
        description="folder with train-images-idx3-ubyte[.gz] and t10k-images-…, or one such file"
    )
    size: Integer = Field(default=28, ge=1, description="side in pixels that the images have")
    pad: Integer = Field(
        default=0, ge=0, description="side that black is added up to; 0: none is added"
    )
    search_fraction: Fraction = Field(
        default=0.1, gt=0, description="fraction of train-images split off"
    )
    test_fraction: Fraction = Field(
        default=0.1, description="fraction split off where no t10k-images are"
    )
    split_seed: Integer = Field(
        default=0, ge=0, description="another one makes another seeded split"
    )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, with what is added."""
        side = self.pad or self.size
        return side, side

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target, which are the same images."""
        return 1, 1

    def problems(self) -> list[str]:
        found = []
        if self.pad and self.pad < self.size:
            found.append(f"pad: found {self.pad}; 0, or at least size, {self.size}, is allowed")
        return [*found, *fraction_problems(self.search_fraction, self.test_fraction)]

    def open(self, digests: Digests | None = None) -> IdxImages:
        from gancompress.data.idximages import IdxImages

        return IdxImages(self)
