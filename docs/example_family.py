"""A family as `gancompress/nets/families/` holds them: the example of docs/add-a-family.md.

A stem that halves the image, residual blocks, and a head that brings the size back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.fields.types import Integer
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.nets.layers.blocks import OPERATORS, Conv, ResidualBlock, Stage


class HourglassGenerator(nn.Module):
    """(N, in_channels, H, W) in [-1, 1] -> (N, out_channels, H, W) in [-1, 1]."""

    def __init__(self, family: Hourglass, arch: Arch) -> None:
        super().__init__()
        stem = arch.width("stem.width")
        self.stem = Stage(arch.op("stem.op"), Conv(family.in_channels, stem, stride=2))
        self.body = nn.Sequential(
            *(
                ResidualBlock(arch.op("body.op"), Conv(stem, arch.width("body.width")))
                for _ in range(family.blocks)
            )
        )
        head = Conv(stem, family.out_channels, 4, stride=2, transposed=True)
        self.head = OPERATORS[arch.op("head.op")](head)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(self.stem(x))  # (N, stem, H/2, W/2)
        return torch.tanh(self.head(features))


class HourglassOptions(FamilyOptions):
    """What a recipe says of it: `family: {name: hourglass, blocks: 3}`."""

    size_multiple: ClassVar[int] = 2

    name: Literal["hourglass"] = Field(
        default="hourglass", description="a stem that halves, residual blocks, a head"
    )
    blocks: Integer = Field(default=2, ge=1, description="number of residual blocks")

    @classmethod
    def made(cls) -> type[Family]:
        return Hourglass


@dataclass(frozen=True, kw_only=True)
class Hourglass(Family):
    """The family of these generators. Equal options make equal networks of equal archs."""

    in_channels: int = 3
    out_channels: int = 3
    blocks: int

    name: ClassVar[str] = "hourglass"
    size_multiple: ClassVar[int] = 2

    @property
    def stages(self) -> tuple[str, ...]:
        return ("stem", "body", "head")

    @property
    def body(self) -> tuple[str, ...]:
        return ("body",)

    @property
    def width_slots(self) -> tuple[str, ...]:
        return ("stem.width", "body.width")

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that the cost of each needs."""
        body = ("body.op", "body.width", "stem.width")
        return (
            Part("stem", ("stem.op", "stem.width")),
            Part("body.0", body),  # not of the others' kind: its input is an activation's output
            *(Part(f"body.{i}", body, kind="body") for i in range(1, self.blocks)),
            Part("head", ("head.op", "stem.width")),
        )

    def distilled_layers(self) -> tuple[str, ...]:
        return ("stem", *(f"body.{i}" for i in range(self.blocks)))

    def build(self, arch: Arch) -> HourglassGenerator:
        check_arch(self, arch)
        return HourglassGenerator(self, arch)
