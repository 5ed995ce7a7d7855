"""The options of a user's own images that are made small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from gancompress.data.dataoptions import FilesOptions
from gancompress.fields.types import FilePath, Integer, Kind
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.superres import SuperresFolder

Scale = Annotated[Literal[2, 4], Field(description="the target's side over the input's")]
Filter = Annotated[
    Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"],
    Field(description="Pillow's filter that makes targets small"),
]


class SuperresFolderOptions(FilesOptions):
    """The user's own images, made small."""

    kind: ClassVar[Kind] = "superres"
    newer: ClassVar[frozenset[str]] = FilesOptions.newer | {"small_folder"}
    size_key: ClassVar[str] = "crop_size"

    name: Literal["superres"] = Field(
        default="superres", description="images from a folder, to be made small"
    )
    folder: FilePath = Field(description="holds train/, search/ (or val/) and test/, or files")
    small_folder: FilePath | None = Field(
        default=None,
        description="your own small images, of equal stems; default: made of the large ones",
    )
    crop_size: Integer = Field(
        default=96, ge=16, description="side of the random crops in training"
    )
    test_size: Integer = Field(
        default=0,
        ge=0,
        description="side of the middles that generators are evaluated on; 0: crop_size",
    )
    load_size: Integer = Field(
        default=0, ge=0, description="pixels that the shorter side is resized to first; 0: as it is"
    )
    scale: Scale = 4
    filter: Filter = "bicubic"

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """Height and width of the images that scores and costs of generators are of."""
        side = self.test_size or self.crop_size
        return side, side

    @property
    def enlargement(self) -> int:
        """The target's side as a multiple of the input's."""
        return self.scale

    def problems(self) -> list[str]:
        allowed = f"multiples of the scale, {self.scale}, are allowed"
        sides = {"crop_size": self.crop_size, "test_size": self.test_size}
        found = [
            f"{key}: found {side}; {allowed}" for key, side in sides.items() if side % self.scale
        ]
        if self.load_size and self.small_folder is not None:
            found.append(f"load_size: found {self.load_size}; with small_folder, 0 is allowed")
        least = max(self.crop_size, self.test_size)
        if 0 < self.load_size < least:
            found.append(f"load_size: found {self.load_size}; at least {least}, the crop, or 0")
        return [*found, *super().problems()]

    def open(self, digests: Digests | None = None) -> SuperresFolder:
        from gancompress.data.superres import SuperresFolder

        return SuperresFolder(self, digests)
