"""SRResNet, the generator of SRGAN (Ledig et al. 2017): a small image to one 2 or 4 times as large.

Separable convolutions are those of Karwande et al. 2022: depthwise without bias, then pointwise
with one, nothing between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.families.resnet import group_of
from gancompress.nets.layers.bands import band_norm
from gancompress.nets.layers.blocks import OPERATORS, Conv, ResidualBlock, entered
from gancompress.nets.layers.features import ONE, Bands, Features, converted

KERNEL = 9  # The kernel side of stem and head.
# The head's first weights are scaled so, so that it adds little to an enlarged image at first (Lim
# et al. 2017).
SHARE = 0.1
SLOPES = 1  # each PReLU has one slope for all of its channels


def wide_conv(a: int, b: int) -> Conv:
    """The convolution of the stem, and that of the head."""
    return Conv(a, b, KERNEL, padding=KERNEL // 2, bare=True)


class Stem(nn.Module):
    """conv9, PReLU: (N, a, H, W) -> (N, b, H, W)."""

    def __init__(self, op: str, conv: Conv) -> None:
        super().__init__()
        self.conv = OPERATORS[op](conv)
        self.activation = nn.PReLU(SLOPES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x))
        return out


class Tail(nn.Module):
    """stem + norm(conv(x)): closes the trunk. Undivided features come out, (N, C, H, W)."""

    def __init__(self, op: str, conv: Conv) -> None:
        super().__init__()
        conv = entered(conv)
        self.bands = conv.bands_in
        self.conv = OPERATORS[op](conv)
        self.norm = band_norm(conv.out_channels, conv.bands_out, conv.norm)

    def forward(self, x: Features, stem: Tensor) -> Tensor:
        out: Tensor = stem + self.norm(self.conv(converted(x, self.bands)))
        return out


class PixelUp(nn.Module):
    """conv3 to four times the channels, which become 2x2 pixels each; PReLU (Shi et al. 2016).

    (N, a, H, W) -> (N, b, 2H, 2W). Channel c of the output is made of channels 4c to 4c + 3 of the
    convolution.
    """

    def __init__(self, op: str, a: int, b: int) -> None:
        super().__init__()
        self.conv = OPERATORS[op](Conv(a, 4 * b, bare=True))
        self.activation = nn.PReLU(SLOPES)

    def bundles(self) -> Mapping[str, int]:
        """The four channels of every pixel; see `gancompress.nets.layers.views`."""
        last = [name for name, part in self.named_modules() if isinstance(part, nn.Conv2d)][-1]
        return {f"{last}.weight": 4, f"{last}.bias": 4}

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(F.pixel_shuffle(self.conv(x), 2))
        return out


class SRResNetGenerator(nn.Module):
    """Stem, residual trunk with a skip around all of it, doublings, head.

    (N, in_channels, H, W) -> (N, out_channels, scale H, scale W), both in [-1, 1]. With
    `family.skip` the head's answer is what the image enlarged bilinearly lacks.
    """

    def __init__(self, family: SRResNet, arch: Arch) -> None:
        super().__init__()
        self.enlarged = family.scale if family.skip else 0
        ops = {stage: arch.op(f"{stage}.op") for stage in family.stages}
        trunk = arch.width("stem.width")
        self.stem = Stem(ops["stem"], wide_conv(family.in_channels, trunk))
        self.body = nn.ModuleList()
        at = ONE  # The bands of the features built so far.
        for stage in (f"body.{group_of(i, family.blocks)}" for i in range(family.blocks)):
            before, at = at, Bands.parse(arch.op(f"{stage}.bands"))
            inner = arch.width(f"{stage}.width")
            first = Conv(trunk, inner, norm="batch", bare=True, bands_in=before, bands_out=at)
            self.body.append(ResidualBlock(ops[stage], first, activation=nn.PReLU(SLOPES)))
        self.tail = Tail(ops["tail"], Conv(trunk, trunk, norm="batch", bare=True, bands_in=at))
        self.up = nn.ModuleList()
        channels = trunk
        for norm in self._last_norms():
            nn.init.zeros_(norm.weight)
        for stage in family.ups:
            before_up, channels = channels, arch.width(f"{stage}.width")
            self.up.append(PixelUp(ops[stage], before_up, channels))
        self.head = OPERATORS[ops["head"]](wide_conv(channels, family.out_channels))

    def _last_norms(self) -> Iterator[nn.BatchNorm2d]:
        """Those behind which is a skip. Begun at 0 they leave the trunk the identity.

        Otherwise sixteen random blocks drown the image at first (Goyal et al. 2017, section 5.1).
        """
        ends = [*(block.get_submodule("norm2") for block in self.body), self.tail.norm]
        for part in (part for end in ends for part in end.modules()):
            if isinstance(part, nn.BatchNorm2d):
                yield part

    def forward(self, x: Tensor) -> Tensor:
        stem: Tensor = self.stem(x)  # (N, C, H, W)
        features: Features = stem
        for block in self.body:
            features = block(features)
        image: Tensor = self.tail(features, stem)
        for up in self.up:
            image = up(image)  # (N, C', 2H, 2W), then 4H, 4W
        if not self.enlarged:
            return torch.tanh(self.head(image))
        large = F.interpolate(x, scale_factor=float(self.enlarged), mode="bilinear")
        image = large + SHARE * self.head(image)
        return image if self.training else image.clamp(-1, 1)


@dataclass(frozen=True, kw_only=True)
class SRResNet(Family):
    """The family of SRResNets; published with 64 channels everywhere, `blocks` 16, `scale` 4.

    Widths are channels: `stem.width` those of the trunk, `body.g.width` those inside the blocks of
    a group (at most three groups), `up.i.width` those behind a doubling. Features may be split
    into bands behind the residual blocks; the picture grows undivided. skip: whether the network
    makes what a bilinear enlargement lacks, not the whole image (as published); it has the same
    parameters and learns in minutes what takes hours otherwise.
    """

    in_channels: int = 3
    out_channels: int = 3
    blocks: int
    scale: int
    skip: bool

    name: ClassVar[str] = "srresnet"
    size_multiple: ClassVar[int] = 1

    @property
    def banded(self) -> tuple[str, ...]:
        """The groups of residual blocks."""
        return tuple(f"body.{g}" for g in range(min(3, self.blocks)))

    @property
    def ups(self) -> tuple[str, ...]:
        """The doublings."""
        return tuple(f"up.{i}" for i in range(self.scale.bit_length() - 1))

    @property
    def body(self) -> tuple[str, ...]:
        """The stages of 3x3 convolutions: all between stem and head."""
        return (*self.banded, "tail", *self.ups)

    @property
    def stages(self) -> tuple[str, ...]:
        return ("stem", *self.body, "head")

    @property
    def width_slots(self) -> tuple[str, ...]:
        return tuple(f"{stage}.width" for stage in ("stem", *self.banded, *self.ups))

    def channels(self, stage: str) -> dict[str, int]:
        """The width slots whose channels a stage's bands split, each with its channels per unit."""
        return {f"{stage}.width": 1, "stem.width": 1}

    def kernels(self, stage: str) -> int:
        """The largest side, in pixels of the output, that a kernel on a stage's bands covers."""
        return 3 * self.scale

    def multiple(self, arch: Arch) -> int:
        """What the input's sides are multiples of where no band has an odd side."""
        counts = [Bands.parse(arch.op(f"{stage}.bands")).count for stage in self.banded]
        return int(2 ** (max(counts) - 1))

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found = [Part("stem", ("stem.width", "stem.op"))]
        before: tuple[str, ...] = ()  # the split of what a stage is given
        for i in range(self.blocks):
            stage = f"body.{group_of(i, self.blocks)}"
            own = (f"{stage}.width", f"{stage}.op", f"{stage}.bands", "stem.width")
            found.append(Part(f"body.{i}", tuple(dict.fromkeys((*own, *before)))))
            before = (f"{stage}.bands",)
        found.append(Part("tail", ("tail.op", "stem.width", *before)))
        width = "stem.width"
        for stage in self.ups:
            found.append(Part(stage, (f"{stage}.width", f"{stage}.op", width)))
            width = f"{stage}.width"
        return (*found, Part("head", ("head.op", width)))

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: the last block of every group, the tail."""
        groups = [group_of(i, self.blocks) for i in range(self.blocks)]
        ends = [i for i, g in enumerate(groups) if i + 1 == self.blocks or groups[i + 1] != g]
        return (*(f"body.{i}" for i in ends), "tail")

    def build(self, arch: Arch) -> SRResNetGenerator:
        """The network of `arch`, its weights as torch initialises them but for `_last_norms`.

        Raises: ArchError for another family's arch, an unknown operator, a width below 1 or a
        split that the channels do not allow.
        """
        check_arch(self, arch)
        return SRResNetGenerator(self, arch)
