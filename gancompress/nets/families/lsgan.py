"""A small generator of images of random vectors, for sides of 28 to 64 pixels (Mao et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Family, Part
from gancompress.nets.layers.blocks import OPERATORS, Conv, Stage, entered
from gancompress.nets.layers.features import ONE, Bands, converted
from gancompress.nets.layers.norms import NORMS

_UPS = 2  # stages that double the size


class LSGANGenerator(nn.Module):
    """A random vector spread to a quarter of the side, two doublings, and a head.

    (N, latent, 1, 1) from N(0, 1) -> (N, out_channels, side, side) in [-1, 1].
    """

    def __init__(self, family: LSGAN, arch: Arch) -> None:
        super().__init__()
        first = 4 * arch.width("stem.width")
        # The norm behind each convolution has the bias where it has statistics of its own.
        self.stem = nn.ConvTranspose2d(family.in_channels, first, family.size // 4, bias=False)
        self.norm = nn.Sequential(NORMS[family.norm](first), nn.ReLU())
        self.up = nn.ModuleList()
        before, at = first, ONE
        for i in range(_UPS):
            channels = family.unit(i) * arch.width(f"up.{i}.width")
            bands = Bands.parse(arch.op(f"up.{i}.bands"))
            conv = Conv(
                before, channels, 4, 2, 1, bias=False, norm=family.norm, transposed=True,
                bands_in=at, bands_out=bands,
            )  # fmt: skip
            self.up.append(Stage(arch.op(f"up.{i}.op"), conv))
            before, at = channels, bands
        head = entered(Conv(before, family.out_channels, 3, norm=family.norm, bands_in=at))
        self.head, self.head_bands = OPERATORS[arch.op("head.op")](head), head.bands_in

    def forward(self, z: Tensor) -> Tensor:
        features = self.norm(self.stem(z))  # (N, 4 c0, side / 4, side / 4)
        for stage in self.up:
            features = stage(features)
        return torch.tanh(self.head(converted(features, self.head_bands)))


@dataclass(frozen=True, kw_only=True)
class LSGAN(Family):
    """The family of these generators, of images of `size` pixels, a multiple of 4.

    in_channels: numbers of the random vector. Channels are 4, 2 and 1 times the width of the stem
    and of the two ups. norm: one of NORMS.
    """

    in_channels: int = 64
    out_channels: int = 1
    size: int = 28
    norm: str

    name: ClassVar[str] = "lsgan"
    size_multiple: ClassVar[int] = 1
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.size % 4 or self.size < 8:
            raise ArchError(f"lsgan: images of {self.size} pixels; multiples of 4 from 8 on fit")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages with an operator, from input to output: all but the stem."""
        return (*self.body, "head")

    @property
    def body(self) -> tuple[str, ...]:
        return tuple(f"up.{i}" for i in range(_UPS))

    @property
    def banded(self) -> tuple[str, ...]:
        return self.body

    @property
    def width_slots(self) -> tuple[str, ...]:
        return ("stem.width", *(f"{stage}.width" for stage in self.body))

    def unit(self, up: int) -> int:
        """The channels of an up per unit of its width."""
        return int(2 ** (_UPS - 1 - up))

    def layout(self, bands: Bands) -> dict[str, Bands]:
        """The low band joins the middle one before the head."""
        return {"up.0": bands, "up.1": Bands(bands.alpha + bands.beta)}

    def channels(self, stage: str) -> Mapping[str, int]:
        """The width slot whose channels a stage's bands split, with its channels per unit."""
        return {f"{stage}.width": self.unit(int(stage.rpartition(".")[2]))}

    def kernels(self, stage: str) -> int:
        """The side of the image that a kernel on a stage's bands covers."""
        return 3 * self.unit(int(stage.rpartition(".")[2]))

    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""
        found = [Part("stem", ("stem.width",)), Part("norm", ("stem.width",))]
        before: tuple[str, ...] = ("stem.width",)
        for stage in self.body:
            own = (f"{stage}.width", f"{stage}.bands")
            found.append(Part(stage, (*own, f"{stage}.op", *before)))
            before = own
        return (*found, Part("head", ("head.op", *before)))

    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled: what is behind the stem, and the ups."""
        return ("norm", *self.body)

    def build(self, arch: Arch) -> LSGANGenerator:
        """The network of `arch`, its weights as torch initialises them.

        Raises: ArchError for another family's arch, an unknown operator, a width below 1 or a
        split that the channels do not allow.
        """
        check_arch(self, arch)
        return LSGANGenerator(self, arch)
