"""The ResNet generator of CycleGAN and pix2pix (Johnson et al. 2016; Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gancompress.arch import Arch, SearchSpace
from gancompress.errors import ArchError
from gancompress.nets.blocks import OPERATORS, ResidualBlock, Stage, dense_conv
from gancompress.nets.family import Widths, arch_of, space_of


class ResNetGenerator(nn.Module):
    """Stem, two downs, residual blocks, two ups, head.

    (N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1]; H and W multiples of 4.
    """

    def __init__(
        self, arch: Arch, in_channels: int, out_channels: int, blocks: int, dropout: float
    ) -> None:
        super().__init__()
        stem, mid = arch.width("stem.width"), 2 * arch.width("down.0.width")
        trunk = 4 * arch.width("down.1.width")
        up0, up1 = 2 * arch.width("up.0.width"), arch.width("up.1.width")
        self.stem = Stage(dense_conv(in_channels, stem, kernel=7), stem)
        self.down = nn.ModuleList(
            Stage(nn.Conv2d(a, b, 3, stride=2, padding=1), b)
            for a, b in ((stem, mid), (mid, trunk))
        )
        groups = [group_of(i, blocks) for i in range(blocks)]
        self.body = nn.ModuleList(
            ResidualBlock(
                trunk, 4 * arch.width(f"body.{g}.width"), arch.op(f"body.{g}.op"), dropout
            )
            for g in groups
        )
        self.up = nn.ModuleList(
            Stage(nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1), b)
            for a, b in ((trunk, up0), (up0, up1))
        )
        self.head = dense_conv(up1, out_channels, kernel=7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (N, c0, H, W)
        for stage in (*self.down, *self.body, *self.up):
            x = stage(x)  # (N, 4 c2, H/4, W/4) through the body
        return torch.tanh(self.head(x))


def group_of(block: int, blocks: int) -> int:
    """Which of the (at most three) groups residual block number `block` belongs to."""
    return block * min(3, blocks) // blocks


# Slot-by-slot choice lists as published (Li et al. 2020), in the order of `ResNet.width_slots`.
PRESETS: dict[str, tuple[tuple[int, ...], ...]] = {
    "channels-48": ((48, 32),) * 2 + ((48, 40, 32),) * 4 + ((48, 32, 24, 16),) * 2,
    "channels-32": ((32, 24, 16),) * 8,
    "channels-64-cyclegan": ((64, 48, 32, 24, 16),) * 8,
    "channels-64-pix2pix": ((64, 56, 48, 40, 32, 24, 16),) * 8,
}


@dataclass(frozen=True)
class ResNet:
    """The family of ResNet generators: what its slots are and how an arch becomes a network.

    Widths are in the base unit of the literature: a stage at resolution 1/2 has 2x, one at 1/4 has
    4x that many channels. `blocks` residual blocks fall into three groups of equal width and
    operator (fewer groups below three blocks).
    """

    in_channels: int = 3
    out_channels: int = 3
    blocks: int = 9
    dropout: float = 0.0

    name: ClassVar[str] = "resnet"
    size_multiple: ClassVar[int] = 4
    presets: ClassVar[dict[str, tuple[tuple[int, ...], ...]]] = PRESETS

    @property
    def options(self) -> dict[str, int | float]:
        """What rebuilds this family: `ResNet(**family.options) == family`."""
        return asdict(self)

    @property
    def groups(self) -> int:
        return min(3, self.blocks)

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order of the literature's `c0_c1_…_c7`."""
        body = tuple(f"body.{g}.width" for g in range(self.groups))
        return ("stem.width", "down.0.width", "down.1.width", *body, "up.0.width", "up.1.width")

    @property
    def op_slots(self) -> tuple[str, ...]:
        return tuple(f"body.{g}.op" for g in range(self.groups))

    def arch(self, widths: Sequence[int], op: str) -> Arch:
        """See `arch_of`."""
        return arch_of(self, widths, op)

    def uniform(self, width: int, op: str = "dense") -> Arch:
        """The arch with the same base width in every slot."""
        return arch_of(self, [width] * len(self.width_slots), op)

    def space(self, widths: Widths, ops: Sequence[str]) -> SearchSpace:
        """See `space_of`."""
        return space_of(self, widths, ops)

    def taps(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: down.1 and the last block of every group."""
        groups = [group_of(i, self.blocks) for i in range(self.blocks)]
        ends = [i for i, g in enumerate(groups) if i + 1 == self.blocks or groups[i + 1] != g]
        return ("down.1", *(f"body.{i}" for i in ends))

    def build(self, arch: Arch) -> ResNetGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator or a width below 1.
        """
        if arch.family != self.name:
            raise ArchError(f"arch: family is {arch.family!r}; expected {self.name!r}")
        for slot in self.width_slots:
            if arch.width(slot) < 1:
                raise ArchError(f"arch: {slot}={arch[slot]}; a width is at least 1")
        for slot in self.op_slots:
            if arch.op(slot) not in OPERATORS:
                raise ArchError(f"arch: {slot}={arch[slot]!r}; one of {', '.join(OPERATORS)}")
        return ResNetGenerator(arch, self.in_channels, self.out_channels, self.blocks, self.dropout)
