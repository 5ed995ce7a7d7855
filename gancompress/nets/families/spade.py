"""The SPADE generator of GauGAN: an image grown from a map of labels (Park et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.batchnorm import BatchNorm
from gancompress.nets.layers.blocks import OPERATORS, Conv
from gancompress.nets.layers.plain import PlainConv


class SpadeNorm(nn.Module):
    """Batch norm, then a scale and a shift of every value, made from the labels around it.

    y = norm(x) (1 + gamma(labels)) + beta(labels) (Park et al. 2019, eq. 1). `op` is the operator
    of the last two. x (N, channels, H, W) and labels (N, label_channels, H, W) of one size.
    """

    def __init__(self, op: str, channels: int, label_channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = BatchNorm(channels, affine=False)
        self.shared = OPERATORS["dense"](Conv(label_channels, hidden))
        self.gamma = OPERATORS[op](Conv(hidden, channels))
        self.beta = OPERATORS[op](Conv(hidden, channels))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        hidden = torch.relu(self.shared(labels))  # (N, hidden, H, W)
        out: Tensor = self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)
        return out


@dataclass(frozen=True)
class Widths:
    """Channels of one block: around its convolutions, between them, in its norms; of labels."""

    before: int
    inner: int
    behind: int
    hidden: int
    labels: int


class SpadeBlock(nn.Module):
    """x + conv(leaky(norm(conv(leaky(norm(x)))))), x by a 1x1 convolution where `is_changing`.

    `op` is the operator of the two convolutions, `norm_op` that of all norms. x of any resolution,
    labels (N, label_channels, H, W) of the input's.
    """

    def __init__(self, op: str, norm_op: str, widths: Widths, *, is_changing: bool) -> None:
        super().__init__()

        def norm(channels: int) -> SpadeNorm:
            return SpadeNorm(norm_op, channels, widths.labels, widths.hidden)

        self.norm_s = norm(widths.before) if is_changing else None
        self.shortcut = (
            PlainConv(widths.before, widths.behind, 1, bias=False) if is_changing else None
        )
        self.norm0 = norm(widths.before)
        self.conv0 = OPERATORS[op](Conv(widths.before, widths.inner))
        self.norm1 = norm(widths.inner)
        self.conv1 = OPERATORS[op](Conv(widths.inner, widths.behind))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        # Here, once for the norms of one block: a map that several blocks share would be in the
        # cost of whichever of them runs first.
        labels = _sized_as(x, labels)
        past = x
        if self.norm_s is not None and self.shortcut is not None:
            past = self.shortcut(self.norm_s(x, labels))  # no activation
        x = self.conv0(_leaky(self.norm0(x, labels)))
        out: Tensor = past + self.conv1(_leaky(self.norm1(x, labels)))
        return out

    def convolutions(self) -> list[nn.Conv2d]:
        """Those of the block itself, without its norms': what spectral norm is for in training."""
        found = [m for net in (self.conv0, self.conv1) for m in net.modules()]
        return [m for m in (*found, self.shortcut) if isinstance(m, nn.Conv2d)]


class SpadeHead(nn.Module):
    """A convolution of leaky(x), one module so that its cost depends on its own slots alone."""

    def __init__(self, op: str, conv: Conv) -> None:
        super().__init__()
        self.conv = OPERATORS[op](conv)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(_leaky(x))
        return out


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _sized_as(x: Tensor, labels: Tensor) -> Tensor:
    """The labels at the resolution of x: of each square of pixels the first."""
    if labels.shape[-2:] == x.shape[-2:]:
        return labels
    return F.interpolate(labels, size=x.shape[-2:])


class SpadeGenerator(nn.Module):
    """Stem, three blocks on the trunk, four that narrow it, head; enlarged twice between them.

    Labels (N, in_channels, H, W), of 0 or 1, the last `style` of them a number of the style
    code each -> image (N, out_channels, H, W) in [-1, 1]; H and W multiples of 2^upsamplings. The
    stem takes all channels: where the published program has a dense layer of the style code alone,
    so that it knows one size. The blocks take the labels.
    """

    def __init__(
        self, arch: Arch, in_channels: int, out_channels: int, *, upsamplings: int, style: int
    ) -> None:
        super().__init__()
        self.label_channels = in_channels - style
        if self.label_channels < 1:
            raise ArchError(f"spade: {in_channels} channels, {style} of style; labels need one too")
        self.shrink = 2**upsamplings
        # Blocks that run at the resolution of the one before: the last of the trunk in one form.
        self.flat = (0,) if upsamplings == 6 else (0, 2)
        trunk = 16 * arch.width("stem.width")

        def block(stage: str, before: int, inner: int, behind: int) -> SpadeBlock:
            hidden = 2 * arch.width(f"{stage}.width")
            widths = Widths(before, inner, behind, hidden, self.label_channels)
            ops = arch.op(f"{stage}.op"), arch.op(f"{stage}.norm.op")
            return SpadeBlock(*ops, widths, is_changing=stage not in TRUNK)

        self.stem = OPERATORS[arch.op("stem.op")](Conv(in_channels, trunk))
        inner = [UNITS[stage] * arch.width(f"{stage}.width") for stage in TRUNK]
        self.body = nn.ModuleList(
            block(stage, trunk, width, trunk) for stage, width in zip(TRUNK, inner, strict=True)
        )
        ends = [trunk, *(UNITS[stage] * arch.width(f"{stage}.width") for stage in UPS)]
        self.up = nn.ModuleList(
            block(stage, a, b, b) for stage, a, b in zip(UPS, ends, ends[1:], strict=False)
        )
        self.head = SpadeHead(arch.op("head.op"), Conv(ends[-1], out_channels))

    def forward(self, x: Tensor) -> Tensor:
        labels = x[:, : self.label_channels]
        height, width = (side // self.shrink for side in labels.shape[-2:])
        x = self.stem(F.interpolate(x, size=(height, width)))  # (N, 16 c0, H/2^u, W/2^u)
        for i, block in enumerate((*self.body, *self.up)):
            if i not in self.flat:
                height, width = 2 * height, 2 * width
                x = F.interpolate(x, size=(height, width))
            x = block(x, labels)
        return torch.tanh(self.head(x))  # (N, out_channels, H, W)


TRUNK = ("body.0", "body.1", "body.2")
UPS = ("up.0", "up.1", "up.2", "up.3")
# Of each stage with a width the channels per unit: of the trunk's blocks those between their
# convolutions, as each of them returns to the stem's.
UNITS = {"stem": 16} | dict.fromkeys(TRUNK, 16) | dict(zip(UPS, (8, 4, 2, 1), strict=True))


@dataclass(frozen=True, kw_only=True)
class Spade(Family):
    """The family of SPADE generators: what its slots are and how an arch becomes a network.

    A block's width is that of its convolutions, in units of UNITS, and of the convolutions that its
    norms share, at 2x. `STAGE.op` is the operator of a block's 3x3 convolutions, `STAGE.norm.op`
    that of its norms' scales and shifts, all that the literature's separable form changes.
    upsamplings: how often the smallest map is doubled, 5 or 6 ("normal" and "more").
    """

    in_channels: int = 36  # Cityscapes: 35 classes, and the instances' edges
    out_channels: int = 3
    upsamplings: int
    style: int  # The number of input channels with a style code.

    name: ClassVar[str] = "spade"

    def __post_init__(self) -> None:
        if self.upsamplings not in (5, 6):
            raise ArchError(f"spade: upsamplings {self.upsamplings}; 5 or 6 is allowed")

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return int(2**self.upsamplings)

    @property
    def stages(self) -> tuple[str, ...]:
        blocks = [name for stage in (*TRUNK, *UPS) for name in (stage, f"{stage}.norm")]
        return ("stem", *blocks, "head")

    @property
    def body(self) -> tuple[str, ...]:
        """The norms of all blocks: where the literature chooses operators."""
        return tuple(f"{stage}.norm" for stage in (*TRUNK, *UPS))

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order of the literature's `c0_c1_…_c7`."""
        return tuple(f"{stage}.width" for stage in UNITS)

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found, before = [Part("stem", ("stem.width", "stem.op"))], "stem"
        for stage in (*TRUNK, *UPS):
            own = (f"{stage}.width", f"{stage}.op", f"{stage}.norm.op")
            found.append(Part(stage, (f"{before}.width", *own)))
            before = before if stage in TRUNK else stage
        return (*found, Part("head", (f"{before}.width", "head.op")))

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled (Li et al. 2020)."""
        return ("body.0", "body.2", "up.1")

    def build(self, arch: Arch) -> SpadeGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator or a width below 1.
        """
        check_arch(self, arch)
        return SpadeGenerator(
            arch,
            self.in_channels,
            self.out_channels,
            upsamplings=self.upsamplings,
            style=self.style,
        )
