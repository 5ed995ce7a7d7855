"""The ResNet generators of CycleGAN and pix2pix, and of StarGAN.

Johnson et al. 2016; Zhu et al. 2017; Choi et al. 2018.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.blocks import OPERATORS, Conv, ResidualBlock, Stage, entered
from gancompress.nets.layers.features import ONE, Bands, Features, converted
from gancompress.nets.layers.plain import PaddingMode


@dataclass(frozen=True)
class Style:
    """In what the published ResNet generators differ."""

    padding_mode: PaddingMode = "reflect"  # The padding of stem, body and head.
    kernel: int = 3  # The kernel side where the resolution changes.
    bias: bool = True

    def shape(self, stage: str, norm: str) -> dict[str, Any]:
        """What a stage's convolution is beside its channels and bands, as arguments of `Conv`."""
        # A batch norm behind a convolution has the bias; behind the head there is none.
        bias = self.bias and (norm != "batch" or stage == "head")
        found: dict[str, Any] = {"bias": bias, "norm": norm}
        match stage.split(".")[0]:
            case "stem" | "head":
                found |= {"kernel": 7, "padding": 3, "padding_mode": self.padding_mode}
            case "body":
                found |= {"padding_mode": self.padding_mode}
            case "down":
                found |= {"kernel": self.kernel, "stride": 2}
            case "up":
                grown = {"transposed": True, "output_padding": self.kernel % 2}
                found |= {"kernel": self.kernel, "stride": 2, **grown}
        return found


class ResNetGenerator(nn.Module):
    """Stem, two downs, residual blocks, two ups, head.

    (N, in_channels, H, W) -> (N, out_channels, H, W) in [-1, 1]; H and W multiples of 4.
    """

    def __init__(
        self,
        arch: Arch,
        style: Style,
        in_channels: int,
        out_channels: int,
        *,
        blocks: int,
        dropout: float,
        norm: str,
        known: Collection[str] = (),
    ) -> None:
        """known: see `Family.sketch`."""
        super().__init__()
        stem, mid = arch.width("stem.width"), 2 * arch.width("down.0.width")
        trunk = 4 * arch.width("down.1.width")
        up0, up1 = 2 * arch.width("up.0.width"), arch.width("up.1.width")
        at = ONE  # The bands of the features built so far.

        def conv(stage: str, a: int, b: int) -> Conv:
            nonlocal at
            before, at = at, bands_in(arch, stage)
            return Conv(a, b, bands_in=before, bands_out=at, **style.shape(stage, norm))

        def stage_of(stage: str, a: int, b: int) -> nn.Module:
            form = conv(stage, a, b)
            return nn.Identity() if stage in known else Stage(arch.op(f"{stage}.op"), form)

        self.stem = stage_of("stem", in_channels, stem)
        self.down = nn.ModuleList([stage_of("down.0", stem, mid), stage_of("down.1", mid, trunk)])
        self.body = nn.ModuleList()
        for i in range(blocks):
            stage = f"body.{group_of(i, blocks)}"
            first = conv(stage, trunk, 4 * arch.width(f"{stage}.width"))
            if f"body.{i}" in known:
                self.body.append(nn.Identity())
            else:
                self.body.append(ResidualBlock(arch.op(f"{stage}.op"), first, dropout))
        self.up = nn.ModuleList([stage_of("up.0", trunk, up0), stage_of("up.1", up0, up1)])
        head = entered(conv("head", up1, out_channels))
        self.head_bands = head.bands_in
        self.head = nn.Identity() if "head" in known else OPERATORS[arch.op("head.op")](head)

    def forward(self, x: Tensor) -> Tensor:
        features: Features = self.stem(x)  # (N, c0, H, W)
        for stage in (*self.down, *self.body, *self.up):
            features = stage(features)  # (N, 4 c2, H/4, W/4) through the body
        return torch.tanh(self.head(converted(features, self.head_bands)))


def group_of(block: int, blocks: int) -> int:
    """Which of the (at most three) groups residual block number `block` belongs to."""
    return block * min(3, blocks) // blocks


def bands_in(arch: Arch, stage: str) -> Bands:
    """How the features behind a stage are split; behind the head is the picture, undivided."""
    return ONE if stage == "head" else Bands.parse(arch.op(f"{stage}.bands"))


_SLOTS = ("width", "op", "bands")  # The slots that every stage but the head has.

STYLES: dict[str, Style] = {
    "resnet": Style(),
    "stargan": Style(padding_mode="zeros", kernel=4, bias=False),
}


@dataclass(frozen=True, kw_only=True)
class ResNet(Family):
    """The family of ResNet generators: what its slots are and how an arch becomes a network.

    Widths are in the base unit of the literature: a stage at resolution 1/2 has 2x, one at 1/4 has
    4x that many channels. `blocks` residual blocks fall into three groups of equal width, operator
    and bands (fewer groups below three blocks). `name` is one of STYLES, `norm` one of NORMS.
    """

    in_channels: int = 3
    out_channels: int = 3
    blocks: int
    dropout: float
    norm: str
    name: str = "resnet"

    size_multiple: ClassVar[int] = 4

    @property
    def body(self) -> tuple[str, ...]:
        """The stages of the trunk."""
        return tuple(f"body.{g}" for g in range(min(3, self.blocks)))

    @property
    def stages(self) -> tuple[str, ...]:
        return ("stem", "down.0", "down.1", *self.body, "up.0", "up.1", "head")

    @property
    def banded(self) -> tuple[str, ...]:
        return self.stages[:-1]

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order of the literature's `c0_c1_…_c7`."""
        return tuple(f"{stage}.width" for stage in self.stages[:-1])

    def layout(self, bands: Bands) -> dict[str, Bands]:
        """The split of every stage when the network as a whole is split so.

        As Tobar and Torres 2020 lay StarGAN out: the low band begins one stage after the middle
        one, and joins it one stage before the end.
        """
        edges = {"stem": Bands(bands.alpha), "up.1": Bands(bands.alpha + bands.beta)}
        return {stage: edges.get(stage, bands) for stage in self.banded}

    def channels(self, stage: str) -> dict[str, int]:
        """The width slots whose channels a stage's bands split, each with its channels per unit."""
        trunk = {"down.1.width": 4} if stage in self.body else {}
        return {f"{stage}.width": self._scale(stage), **trunk}

    def _scale(self, stage: str) -> int:
        """How many pixels of the input's side one behind a stage stands for."""
        return {"stem": 1, "up.1": 1, "down.0": 2, "up.0": 2}.get(stage, 4)

    def kernels(self, stage: str) -> int:
        """The largest side, at the input's resolution, that a kernel on a stage's bands covers."""
        return self._scale(stage) * (7 if self._scale(stage) == 1 else 3)

    def multiple(self, arch: Arch) -> int:
        """What the input's sides are multiples of where no band has an odd side."""
        found, at, before = 4, 1, 1  # the side that a pixel stands for, and the bands so far
        for stage in self.banded:
            count, scale = bands_in(arch, stage).count, self._scale(stage)
            levels = max(count, min(before, count + 1))  # The number of bands of `entered`.
            found = max(found, max(at, scale) * 2 ** (levels - 1))
            at, before = scale, count
        return found

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found: list[Part] = []
        before = ""
        for stage in self.stages:
            slots = [f"{stage}.op"] if stage == "head" else [f"{stage}.{s}" for s in _SLOTS]
            if stage in self.body:
                slots.append("down.1.width")
            came = [f"{before}.bands"] if before else []
            if before and stage not in self.body:
                came.append("down.1.width" if before in self.body else f"{before}.width")
            # Not alike: the first block of all, behind what another kind of module has made.
            kind = "first of a group" if stage in self.body and before in self.body else ""
            for name in self._modules(stage):
                found.append(Part(name, tuple(dict.fromkeys([*slots, *came])), kind))
                if stage in self.body:
                    came, kind = [], "in a group"  # further blocks follow on one like themselves
            before = stage
        return tuple(found)

    def _modules(self, stage: str) -> list[str]:
        """The names of a stage's modules."""
        if stage not in self.body:
            return [stage]
        wanted = int(stage.rpartition(".")[2])
        return [f"body.{i}" for i in range(self.blocks) if group_of(i, self.blocks) == wanted]

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: down.1 and the last block of every group."""
        groups = [group_of(i, self.blocks) for i in range(self.blocks)]
        ends = [i for i, g in enumerate(groups) if i + 1 == self.blocks or groups[i + 1] != g]
        return ("down.1", *(f"body.{i}" for i in ends))

    def build(self, arch: Arch) -> ResNetGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator, a width below 1 or a
        split that the channels do not allow.
        """
        return self.sketch(arch, ())

    def sketch(self, arch: Arch, known: Collection[str]) -> ResNetGenerator:
        """The network of `arch` with something else in the place of the modules `known`."""
        check_arch(self, arch)
        return ResNetGenerator(
            arch,
            STYLES[self.name],
            self.in_channels,
            self.out_channels,
            blocks=self.blocks,
            dropout=self.dropout,
            norm=self.norm,
            known=known,
        )
