"""The generator of progressive growing (Karras et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.blocks import OPERATORS, Conv, entered
from gancompress.nets.layers.equalised import GAIN, equalise
from gancompress.nets.layers.features import ONE, Bands, Features, converted, per_band

BASE = 4  # pixels: the side of the first level
FULL = 16  # the width of every slot of the published network
SLOPE = 0.2


def levels_of(side: int) -> int:
    """How many levels make images of that side: 4, 8, 16, ... Raises: ArchError."""
    levels = (side // BASE).bit_length()
    if side < 2 * BASE or side != BASE * 2 ** (levels - 1):
        raise ArchError(
            f"progan: images of {side} pixels; sides of 4 * 2^k from 8 on are allowed, as each "
            "level doubles the 4x4 that it begins with"
        )
    return levels


def unit_of(level: int) -> int:
    """Channels of a level per unit of its width: min(8192 / 2^(level + 1), 512) by 16."""
    return max(1, min(8192 // 2 ** (level + 1), 512) // FULL)


def rectified(x: Tensor) -> Tensor:
    """Leaky ReLU, then each pixel's channels scaled to a mean square of 1.

    Karras et al. 2018, section 4.2. (N, C, H, W), of one band where channels are split.
    """
    return normalised(F.leaky_relu(x, SLOPE))


def normalised(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0)  # nearest


class Level(nn.Module):
    """Doubled in size, then convolutions of 3x3, each rectified.

    (N, a, H, W) -> (N, b, 2H, 2W). The first level, of one convolution, keeps the size, and
    rectifies what the stem gives it.
    """

    def __init__(self, op: str, convs: tuple[Conv, ...], is_first: bool) -> None:
        super().__init__()
        self.is_first, self.bands = is_first, convs[0].bands_in
        self.convs = nn.ModuleList(OPERATORS[op](conv) for conv in convs)

    def forward(self, x: Features) -> Features:
        # Here and not between the modules: their costs are counted by module.
        x = per_band(rectified if self.is_first else _doubled, converted(x, self.bands))
        for conv in self.convs:
            x = per_band(rectified, conv(x))
        return x


class Head(nn.Module):
    """The image of a level: a linear 1x1 convolution."""

    def __init__(self, channels: int, out_channels: int, bands: Bands) -> None:
        super().__init__()
        conv = entered(Conv(channels, out_channels, 1, padding=0, bands_in=bands))
        self.conv, self.bands = OPERATORS["dense"](conv), conv.bands_in

    def forward(self, x: Features) -> Tensor:
        image: Tensor = self.conv(converted(x, self.bands))
        return image


class ProGANGenerator(nn.Module):
    """A random vector spread to 4x4, and a level for each doubling.

    (N, latent, 1, 1) from N(0, 1) -> (N, out_channels, side, side); linear, and in evaluation cut
    to [-1, 1]. Every level has a head, of which training by growing uses one or two at a time.
    """

    def __init__(self, family: ProGAN, arch: Arch) -> None:
        super().__init__()
        widths = [unit_of(i) * arch.width(f"level.{i}.width") for i in range(family.levels)]
        first = widths[0]
        self.stem = nn.ConvTranspose2d(family.in_channels, first, BASE)
        self.level, self.head = nn.ModuleList(), nn.ModuleList()
        before, split = first, ONE
        for i, width in enumerate(widths):
            op, bands = arch.op(f"level.{i}.op"), family.bands_behind(arch, i)
            into = entered(Conv(before, width, bands_in=split, bands_out=bands, bare=True))
            along = Conv(width, width, bands_in=bands, bands_out=bands, bare=True)
            self.level.append(Level(op, (into, along) if i else (along,), is_first=not i))
            self.head.append(Head(width, family.out_channels, bands))
            before, split = width, bands

    def forward(self, z: Tensor) -> Tensor:
        image = self.grown(z, len(self.level) - 1, 1.0)
        return image if self.training else image.clamp(-1, 1)

    def grown(self, z: Tensor, level: int, fade: float) -> Tensor:
        """The image of `level`, (N, C, 4 * 2^level, ...), faded in over that of the level below.

        fade: of the level's own image, 1 when it is faded in (Karras et al. 2018, figure 2).
        """
        x: Features = self.stem(normalised(z))  # (N, C, 4, 4)
        below: Features = x
        for one in self.level[: level + 1]:
            below, x = x, one(x)
        image: Tensor = self.head[level](x)
        if level and fade < 1:
            image = torch.lerp(_doubled(self.head[level - 1](below)), image, fade)
        return image

    def equalise(self) -> None:
        """Puts every layer under an equalised learning rate, for training."""
        equalise(self.stem, GAIN / BASE)  # as published
        for layers, gain in ((self.level, GAIN), (self.head, 1.0)):
            for layer in layers.modules():
                if isinstance(layer, nn.Conv2d):  # nothing rectifies behind a depthwise one
                    equalise(layer, 1.0 if layer.groups > 1 else gain)


@dataclass(frozen=True, kw_only=True)
class ProGAN(Family):
    """The family of progressive generators of images of `size` pixels.

    in_channels: numbers of the random vector. A level's channels are its width times
    min(8192 / 2^(level + 1), 512) / 16: the published network has width 16 in every slot. Features
    may be split into bands from 8x8 on, where the coarsest band is no smaller than the kernel.
    """

    in_channels: int = 512
    out_channels: int = 3
    size: int = 64

    name: ClassVar[str] = "progan"
    size_multiple: ClassVar[int] = 1
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        levels_of(self.size)

    @property
    def levels(self) -> int:
        return levels_of(self.size)

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(f"level.{i}" for i in range(self.levels))

    @property
    def body(self) -> tuple[str, ...]:
        return self.stages

    @property
    def banded(self) -> tuple[str, ...]:
        """The levels from 8x8 on."""
        return self.stages[1:]

    @property
    def width_slots(self) -> tuple[str, ...]:
        return tuple(f"{stage}.width" for stage in self.stages)

    def layout(self, bands: Bands) -> dict[str, Bands]:
        """All of `banded` alike, but three bands begin at 16x16."""
        found = dict.fromkeys(self.banded, bands)
        if bands.count == 3:
            found["level.1"] = Bands(bands.alpha)
        return found

    def bands_behind(self, arch: Arch, level: int) -> Bands:
        """How the features behind a level are split."""
        return Bands.parse(arch.op(f"level.{level}.bands")) if level else ONE

    def channels(self, stage: str) -> Mapping[str, int]:
        """The width slot whose channels a stage's bands split, with its channels per unit."""
        return {f"{stage}.width": unit_of(int(stage.rpartition(".")[2]))}

    def kernels(self, stage: str) -> int:
        """The side of the image that a 3x3 kernel at a level's resolution covers."""
        return 3 * self.size // (BASE * 2 ** int(stage.rpartition(".")[2]))

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found = [Part("stem", ("level.0.width",))]
        before: tuple[str, ...] = ()
        for i, stage in enumerate(self.stages):
            split = (f"{stage}.bands",) if i else ()
            own = (f"{stage}.width", *split)
            found.append(Part(stage, (*own, f"{stage}.op", *before)))
            found.append(Part(f"head.{i}", own))
            before = own
        return tuple(found)

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: every level."""
        return self.stages

    def build(self, arch: Arch) -> ProGANGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator, a width below 1 or a
        split that the channels do not allow.
        """
        check_arch(self, arch)
        return ProGANGenerator(self, arch)
