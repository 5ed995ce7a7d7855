"""The U-Net generator of pix2pix (Isola et al. 2017; Ronneberger et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.blocks import OPERATORS, Conv
from gancompress.nets.layers.norms import NORMS

DEEPEST = 8  # channels per base unit at most: they double down to 1/16 of the resolution


class Down(nn.Module):
    """Leaky ReLU but at the image, a 4x4 convolution of stride 2, and a norm but at either end.

    (N, a, H, W) -> (N, b, H/2, W/2).
    """

    def __init__(self, op: str, conv: Conv, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.slope = 1.0 if is_first else 0.2
        self.conv = OPERATORS[op](conv)
        self.norm = nn.Identity() if is_first or is_last else NORMS[conv.norm](conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.slope != 1.0:
            x = F.leaky_relu(x, self.slope)
        out: Tensor = self.norm(self.conv(x))
        return out


class Up(nn.Module):
    """ReLU, a transposed 4x4 convolution of stride 2, and a norm but at the image.

    Takes what comes from below (N, a, H, W), and but for the innermost what skipped the stages
    below (N, b, H, W) -> (N, c, 2H, 2W). The convolution of both together is the sum of one of
    each, so that channels keep their place however many the other has.
    """

    def __init__(
        self, op: str, below: Conv, skipped: int, *, dropout: float = 0.0, is_head: bool = False
    ) -> None:
        super().__init__()
        self.below = OPERATORS[op](below)
        self.skip: nn.Module | None = None
        if skipped:
            self.skip = OPERATORS[op](_grown(skipped, below.out_channels, False, below.norm))
        self.norm = nn.Identity() if is_head else NORMS[below.norm](below.out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, skipped: Tensor | None = None) -> Tensor:
        out: Tensor = self.below(torch.relu(x))
        if self.skip is not None:
            assert skipped is not None
            # The published program's skip is what its in-place leaky ReLU left: to ReLU the same.
            out = out + self.skip(torch.relu(skipped))
        out = self.dropout(self.norm(out))
        return out


def _grown(a: int, b: int, bias: bool, norm: str) -> Conv:
    return Conv(a, b, 4, stride=2, padding=1, bias=bias, norm=norm, transposed=True)


class UNetGenerator(nn.Module):
    """Downs to the innermost features, and ups with skips from the downs of equal size.

    (N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1]; H and W multiples of 2^levels.
    """

    def __init__(self, family: UNet, arch: Arch) -> None:
        super().__init__()
        levels, norm = family.levels, family.norm
        bias = norm != "batch"  # which has it; where no norm is, the published program has none too
        channels = {s: family.unit(s) * arch.width(f"{s}.width") for s in family.sized}
        ops = {s: arch.op(f"{s}.op") for s in family.stages}
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = family.in_channels
        for i in range(levels):
            stage, ends = f"down.{i}", {"is_first": i == 0, "is_last": i == levels - 1}
            conv = Conv(before, channels[stage], 4, stride=2, padding=1, bias=bias, norm=norm)
            self.down.append(Down(ops.get(stage, "dense"), conv, **ends))
            before = channels[stage]
        for i in range(levels - 1):
            stage = f"up.{i}"
            below = _grown(before, channels[stage], bias, norm)
            skipped = channels[f"down.{levels - 1 - i}"] if i else 0
            dropout = family.dropout if i and family.unit(stage) == DEEPEST else 0.0
            self.up.append(Up(ops.get(stage, "dense"), below, skipped, dropout=dropout))
            before = channels[stage]
        last = _grown(before, family.out_channels, True, norm)
        self.head = Up(ops["head"], last, channels["down.0"], is_head=True)

    def forward(self, x: Tensor) -> Tensor:
        passed: list[Tensor] = []
        for stage in self.down:
            x = stage(x)  # (N, C, H / 2^(i + 1), W / 2^(i + 1))
            passed.append(x)
        x = self.up[0](passed.pop())
        for stage in self.up[1:]:
            x = stage(x, passed.pop())
        return torch.tanh(self.head(x, passed.pop()))


@dataclass(frozen=True, kw_only=True)
class UNet(Family):
    """The family of U-Nets: `levels` downs, as many ups, the last of which is the head.

    Widths are in the base unit of the literature: `down.i` has min(2^i, 8) times as many channels,
    and `up.i`, counted from the innermost, as many as the down at its resolution. Dropout follows
    the norms of the ups of full depth but the innermost, as published. The innermost down and up
    have a width but no operator to choose: of features of one pixel, which images of 2^levels
    pixels come to, the instance norm inside of a separable convolution leaves nothing. `norm` is
    one of NORMS.
    """

    in_channels: int = 3
    out_channels: int = 3
    levels: int
    dropout: float
    norm: str

    name: ClassVar[str] = "unet"

    @property
    def size_multiple(self) -> int:
        return int(2**self.levels)

    @property
    def sized(self) -> tuple[str, ...]:
        """The stages with a width, from input to output."""
        downs = [f"down.{i}" for i in range(self.levels)]
        return (*downs, *(f"up.{i}" for i in range(self.levels - 1)))

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages with an operator, from input to output: all but the innermost two."""
        innermost = f"down.{self.levels - 1}", "up.0"
        return (*(stage for stage in self.sized if stage not in innermost), "head")

    @property
    def body(self) -> tuple[str, ...]:
        """The stages between features."""
        return self.stages[1:-1]

    @property
    def width_slots(self) -> tuple[str, ...]:
        return tuple(f"{stage}.width" for stage in self.sized)

    def unit(self, stage: str) -> int:
        """The channels of a stage per unit of its width."""
        kind, _, number = stage.partition(".")
        depth = int(number) if kind == "down" else self.levels - 2 - int(number)
        return int(min(2**depth, DEEPEST))

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found: list[Part] = []
        before: tuple[str, ...] = ()  # the width of what the stage is given
        for stage in (*self.sized, "head"):
            own = () if stage == "head" else (f"{stage}.width",)
            slots = (*own, *((f"{stage}.op",) if stage in self.stages else ()), *before)
            if stage == "head":
                slots = (*slots, "down.0.width")
            elif stage.startswith("up.") and stage != "up.0":
                slots = (*slots, f"down.{self.levels - 1 - int(stage[3:])}.width")
            found.append(Part(stage, slots))
            before = own
        return tuple(found)

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: the four innermost ups, those of full depth."""
        return tuple(f"up.{i}" for i in range(min(4, self.levels - 1)))

    def build(self, arch: Arch) -> UNetGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator or a width below 1.
        """
        check_arch(self, arch)
        return UNetGenerator(self, arch)
