"""The generator of MUNIT (Huang et al. 2018): content of one domain, style of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.adain import AdaptiveBlock, Enlarging
from gancompress.nets.layers.blocks import OPERATORS, Conv, ResidualBlock, Stage
from gancompress.nets.layers.plain import PaddingMode

REFLECT: PaddingMode = "reflect"  # everywhere


class MunitGenerator(nn.Module):
    """Content encoder of one domain, and decoder of the other, steered by a style code.

    (N, in_channels, H, W), an image in [-1, 1] and a constant channel for each number of the style
    code, -> (N, out_channels, H, W) in [-1, 1]; H and W multiples of 4.
    """

    def __init__(self, family: Munit, arch: Arch) -> None:
        super().__init__()
        self.image_channels = family.in_channels - family.style
        channels = {s: family.unit(s) * arch.width(f"{s}.width") for s in family.stages[:-1]}
        trunk = channels["down.1"]

        def staged(made: Callable[..., nn.Module], stage: str, conv: Conv, *more: int) -> nn.Module:
            return made(arch.op(f"{stage}.op"), conv, *more)

        def conv(a: int, stage: str, kernel: int, stride: int, padding: int) -> Conv:
            return Conv(a, channels[stage], kernel, stride, padding, REFLECT)

        def group(kind: str, block: int) -> str:
            return f"{kind}.{group_of(block, family.blocks)}"

        self.stem = staged(Stage, "stem", conv(self.image_channels, "stem", 7, 1, 3))
        self.down = nn.ModuleList()
        for stage, a in (("down.0", channels["stem"]), ("down.1", channels["down.0"])):
            self.down.append(staged(Stage, stage, conv(a, stage, 4, 2, 1)))
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for i in range(family.blocks):
            stage = group("encoder", i)
            self.encoder.append(staged(ResidualBlock, stage, conv(trunk, stage, 3, 1, 1)))
            stage = group("decoder", i)
            inner = conv(trunk, stage, 3, 1, 1)
            self.decoder.append(staged(AdaptiveBlock, stage, inner, family.mlp))
        layers = nn.Linear(family.style, family.mlp), nn.Linear(family.mlp, family.mlp)
        self.mlp = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU())
        self.up = nn.ModuleList()
        for stage, a in (("up.0", trunk), ("up.1", channels["up.0"])):
            self.up.append(staged(Enlarging, stage, conv(a, stage, 5, 1, 2)))
        last = Conv(channels["up.1"], family.out_channels, 7, 1, 3, REFLECT)
        self.head = OPERATORS[arch.op("head.op")](last)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x), x[:, self.image_channels :, 0, 0])

    def encode(self, x: Tensor) -> Tensor:
        """The content of images (N, C, H, W), with or without style channels: (N, C', H/4, W/4)."""
        content: Tensor = self.stem(x[:, : self.image_channels])
        for stage in (*self.down, *self.encoder):
            content = stage(content)
        return content

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of content (N, C', H/4, W/4) in a style (N, style)."""
        code = self.mlp(style)  # (N, mlp)
        for block in self.decoder:
            content = block(content, code)
        for stage in self.up:
            content = stage(content)
        return torch.tanh(self.head(content))


def group_of(block: int, blocks: int) -> int:
    """Which half of the encoder's or decoder's blocks number `block` belongs to."""
    return block * min(2, blocks) // blocks


@dataclass(frozen=True, kw_only=True)
class Munit(Family):
    """The family of MUNIT's generators: what its slots are and how an arch becomes a network.

    Widths are in the base unit of the literature: a stage at resolution 1/2 has 2x, one at 1/4 has
    4x that many channels. `blocks` residual blocks in the encoder, as many in the decoder, fall
    into two halves of equal inner width and operator. in_channels counts the channels of the style
    code of `style` numbers; `mlp` is the width of the layers between it and the norms' weights.
    """

    in_channels: int = 11
    out_channels: int = 3
    style: int
    blocks: int
    mlp: int

    name: ClassVar[str] = "munit"
    size_multiple: ClassVar[int] = 4

    @property
    def _halves(self) -> tuple[str, ...]:
        halves = range(min(2, self.blocks))
        return tuple(f"{kind}.{half}" for kind in ("encoder", "decoder") for half in halves)

    @property
    def stages(self) -> tuple[str, ...]:
        return ("stem", "down.0", "down.1", *self._halves, "up.0", "up.1", "head")

    @property
    def body(self) -> tuple[str, ...]:
        """The stages that the literature's separable form has so."""
        return (*self._halves, "up.0", "up.1")

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order of the literature's string, whose first is the style
        encoder's: that one is no part of what is compressed."""
        return tuple(f"{stage}.width" for stage in self.stages[:-1])

    def unit(self, stage: str) -> int:
        """The channels of a stage per unit of its width."""
        return {"stem": 1, "down.0": 2, "up.0": 2, "up.1": 1}.get(stage, 4)

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        chain = (("stem", ""), ("down.0", "stem"), ("down.1", "down.0"))
        found = [Part(stage, self._slots(stage, before)) for stage, before in chain]
        for kind in ("encoder", "decoder"):
            if kind == "decoder":
                found.append(Part("mlp", ()))
            for i in range(self.blocks):
                half = f"{kind}.{group_of(i, self.blocks)}"
                found.append(Part(f"{kind}.{i}", self._slots(half, "down.1")))
        chain = (("up.0", "down.1"), ("up.1", "up.0"), ("head", "up.1"))
        return (*found, *(Part(stage, self._slots(stage, before)) for stage, before in chain))

    def _slots(self, stage: str, before: str) -> tuple[str, ...]:
        """What a stage depends on that is given what the stage `before` made."""
        widths = [name for name in (stage, before) if name not in ("", "head")]
        return (*(f"{name}.width" for name in widths), f"{stage}.op")

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: down.1 and the last block of every half."""
        halves = [group_of(i, self.blocks) for i in range(self.blocks)]
        ends = [i for i, h in enumerate(halves) if i + 1 == self.blocks or halves[i + 1] != h]
        return ("down.1", *(f"{kind}.{i}" for kind in ("encoder", "decoder") for i in ends))

    def build(self, arch: Arch) -> MunitGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator, a width below 1, or
        channels of the input that the style channels leave no image of.
        """
        check_arch(self, arch)
        if self.in_channels <= self.style:
            raise ArchError(
                f"munit: {self.in_channels} channels in; an image and {self.style} channels of its "
                "style are needed"
            )
        return MunitGenerator(self, arch)
