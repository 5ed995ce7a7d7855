"""The options of inputs alone: what a trained generator is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from gancompress.data.dataoptions import FilesOptions
from gancompress.fields.types import FilePath, Integer, Kind, Load, Size, short_side
from gancompress.storage.digests import Digests

if TYPE_CHECKING:
    from gancompress.data.inputs import InputFolder


Variation = Literal["turn", "colour", "mix"]
AnswerScale = Annotated[
    Integer, Field(ge=1, le=16, description="the answer's side over the input's")
]


class InputsOptions(FilesOptions):
    """The user's own inputs, whose targets are a trained generator's answers."""

    kind: ClassVar[Kind] = "inputs"
    size_key: ClassVar[str] = "crop_size"

    name: Literal["inputs"] = Field(
        default="inputs", description="inputs from a folder, which a trained generator answers"
    )
    folder: FilePath = Field(description="holds train/, search/ (or val/) and test/, or files")
    load_size: Load = Field(
        default="short:160",
        description="[height, width] that images are resized to; short:256 keeps their shape, "
        "with that shorter side (short:256-512: drawn between these in training), and none their "
        "size",
    )
    crop_size: Size = Field(
        default=(128, 128), description="[height, width] of the random crops in training"
    )
    test_size: Size | None = Field(
        default=None,
        description="[height, width] of the middles that generators are evaluated on; default: "
        "crop_size",
    )
    input_channels: Integer = Field(default=3, ge=1, le=64, description="channels of the input")
    target_channels: Integer = Field(
        default=3, ge=1, le=64, description="channels of the generator's answer"
    )
    scale: AnswerScale = 1
    vary: tuple[Variation, ...] = Field(
        default=(),
        description="what training inputs are varied by before they are answered, so that few "
        "images teach more: turn (quarters), colour (contrast and brightness of each channel), mix "
        "(another image blended in)",
    )

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return self.input_channels, self.target_channels

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the answers in training."""
        height, width = self.crop_size
        return height * self.scale, width * self.scale

    @property
    def evaluated_size(self) -> tuple[int, int]:
        """Height and width of the answers that scores and costs of generators are of."""
        height, width = self.test_size or self.crop_size
        return height * self.scale, width * self.scale

    @property
    def enlargement(self) -> int:
        """The answer's side as a multiple of the input's."""
        return self.scale

    def problems(self) -> list[str]:
        found = []
        test = self.test_size or self.crop_size
        least = tuple(map(max, self.crop_size, test))
        if isinstance(self.load_size, str):
            short = short_side(self.load_size)
            if short and short < min(least):
                found.append(
                    f"load_size: found {self.load_size}; at least the crop, {min(least)}, or none "
                    "is allowed"
                )
        elif any(crop > load for crop, load in zip(least, self.load_size, strict=True)):
            found.append(
                f"crop_size: found {list(least)}; at most load_size, {list(self.load_size)}, is "
                "allowed"
            )
        return [*found, *super().problems()]

    def open(self, digests: Digests | None = None) -> InputFolder:
        from gancompress.data.inputs import InputFolder

        return InputFolder(self, digests)
