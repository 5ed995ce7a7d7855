"""The data sets of images alone that a recipe chooses by `name`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from gancompress.recipesections import DataSection, FilesSection, Kind
from gancompress.recipetypes import FilePath, Integer, Share


class IdxData(DataSection):
    """Gray images in IDX files, the form of MNIST and of the sets made after it."""

    kind: ClassVar[Kind] = "images"

    name: Literal["idx"] = Field(description="gray images in IDX files, such as digits")
    images: FilePath = Field(
        description="folder with train-images-idx3-ubyte[.gz] and t10k-images-…, or one such file"
    )
    size: Integer = Field(28, ge=1, description="side in pixels that the images have")
    pad: Integer = Field(0, ge=0, description="side that black is added up to; 0: none is added")
    search_fraction: Share = Field(0.1, gt=0, description="share of train-images split off")
    test_fraction: Share = Field(0.1, description="share split off where no t10k-images are")
    split_seed: Integer = Field(0, ge=0, description="another one makes another seeded split")

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
        total = self.search_fraction + self.test_fraction
        if total >= 1:
            found.append(
                f"search_fraction: {total:g} with test_fraction; together below 1 is allowed"
            )
        return found


class ImagesData(FilesSection):
    """The user's own images, without anything beside them."""

    kind: ClassVar[Kind] = "images"

    name: Literal["images"] = Field(description="images from a folder")
    folder: FilePath = Field(description="holds train/, search/ (or val/) and test/, or files")
    crop: Integer = Field(
        0, ge=0, description="side of the square taken from the middle; 0: the largest"
    )
    size: Integer = Field(64, ge=4, description="side in pixels that the square is resized to")
    image_channels: Literal[1, 3] = Field(3, description="1 for gray images, 3 for colours")

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target, which are the same images."""
        return self.image_channels, self.image_channels
