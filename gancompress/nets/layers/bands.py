"""Convolutions between feature maps whose channels are split into frequency bands.

Ordinary convolution, OctConv (Chen et al. 2019) and M-OctConv (Tobar and Torres 2020) are one
thing: a sum over edges, each from one band to one band, of a convolution and a change of
resolution.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.layers.features import (
    ONE,
    Bands,
    Features,
    bands_of,
    features_of,
    halved,
    pooled,
)
from gancompress.nets.layers.norms import NORMS
from gancompress.nets.layers.plain import PaddingMode, PlainConv
from gancompress.nets.layers.views import TensorView

Size = tuple[int, int]  # height and width


class BandConv(nn.Module):
    """A convolution from channels in one split to channels in another.

    Y_j = sum over i of resampled(conv_ij(resampled(X_i))), over the edges |i - j| <= 1: averages
    of 2x2 *before* the convolution towards a coarser band, nearest neighbours *after* it towards a
    finer one (Chen et al. 2019, section 3.2; Tobar and Torres 2020: no edge between the high and
    the low band). One bias vector per band of the output.

    form: what a stride means. "conv": each edge's convolution has it (M-OctConv; transposed
    convolutions too). "pool": features are averaged down first and convolved with stride 1, an
    edge to a finer band then needs no enlarging (Oct-ResNet). `upsample`: features are enlarged
    twice, nearest, before a convolution of stride 1.
    Depthwise (`groups` = in_channels): no edges across bands. Other groups hold in every edge.

    Takes and gives `Features` with the channels of `bands_in.channels(in_channels)`, and of
    `bands_out`; sides may be odd, a coarser band has ceil(side / 2).
    Raises: ArchError if a band of the output has no incoming edge, or groups do not divide a band.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        bands_in: Bands = ONE,
        bands_out: Bands = ONE,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        groups: int = 1,
        transposed: bool = False,
        output_padding: int = 0,
        form: str = "conv",
        upsample: bool = False,
    ) -> None:
        super().__init__()
        assert form == "conv" or (form == "pool" and stride <= 2), "a pool is one of 2x2"
        self.sizes_in = bands_in.channels(in_channels)
        self.sizes_out = bands_out.channels(out_channels)
        self.groups, self.depthwise = groups, groups > 1 and groups == in_channels
        self.kernel, self.padding = kernel, padding
        self.transposed, self.output_padding = transposed, output_padding
        self.pool_first, self.upsample = form == "pool" and stride > 1, upsample
        self.stride = 1 if self.pool_first else stride  # The convolutions' stride.
        self.edges = nn.ModuleDict()
        opened: set[int] = set()  # bands of the output that have their bias
        for i, j in self._edges():
            self.edges[f"{i}_{j}"] = self._conv(i, j, bias and j not in opened, padding_mode)
            opened.add(j)
        lost = [j for j, count in enumerate(self.sizes_out) if count and j not in opened]
        if lost:
            raise ArchError(
                f"bands: {bands_in} to {bands_out}; band {lost[0]} of the output has no incoming "
                "edge, as edges join neighbouring bands alone"
            )

    def _edges(self) -> list[tuple[int, int]]:
        """The edges (from, to), by the band that they lead to."""
        reach = 0 if self.depthwise else 1
        return [
            (i, j)
            for j, cj in enumerate(self.sizes_out)
            for i, ci in enumerate(self.sizes_in)
            if abs(i - j) <= reach and ci and cj
        ]

    def _conv(self, i: int, j: int, bias: bool, padding_mode: PaddingMode) -> nn.Module:
        ci, cj = self.sizes_in[i], self.sizes_out[j]
        groups = ci if self.depthwise else self.groups
        if ci % groups or cj % groups:
            raise ArchError(f"bands: {groups} groups; they do not divide {ci} and {cj} channels")
        if self.transposed:
            return nn.ConvTranspose2d(
                ci, cj, self.kernel, self.stride, self.padding, self.output_padding, groups, bias
            )
        return PlainConv(
            ci,
            cj,
            self.kernel,
            self.stride,
            self.padding,
            groups=groups,
            bias=bias,
            padding_mode=padding_mode,
        )

    def views(self) -> Mapping[str, TensorView]:
        """Each edge's kernel as a block of the dense one; see `gancompress.nets.layers.views`."""
        if self.groups > 1 and not self.depthwise:
            return {}  # groups of a part are no groups of the whole
        found: dict[str, TensorView] = {}
        for edge, conv in self.edges.items():
            i, j = _ends(edge)
            source, to = sum(self.sizes_in[:i]), sum(self.sizes_out[:j])
            starts = (source, to) if self.transposed else (to, source)
            starts = (starts[0], 0) if self.depthwise else starts
            found[f"edges.{edge}.weight"] = TensorView("weight", starts)
            if conv.bias is not None:
                found[f"edges.{edge}.bias"] = TensorView("bias", (to,))
        return found

    def forward(self, x: Features) -> Features:
        bands = bands_of(x)
        sizes = self._sizes(bands[0])
        averages: dict[tuple[int, int], Tensor] = {}  # made once for all edges

        def at(band: int, level: int) -> Tensor:
            """Band `band` averaged down to the resolution of band `level`."""
            if level <= band:
                return bands[band]
            if (band, level) not in averages:
                averages[band, level] = pooled(at(band, level - 1))
            return averages[band, level]

        sums: dict[int, Tensor] = {}
        for edge, conv in self.edges.items():
            i, j = _ends(edge)
            level = j if self.pool_first else max(i, j)  # The convolution's output level.
            y = _cropped(conv(self._input(at, i, level, sizes[level])), sizes[level])
            if level > j:
                y = F.interpolate(y, size=sizes[j])  # nearest: pixel i is pixel i // 2
            sums[j] = sums[j].add_(y) if j in sums else y
        empty = bands[0].new_empty
        return features_of(
            [
                sums[j] if j in sums else empty(bands[0].shape[0], 0, *sizes[j])
                for j in range(len(self.sizes_out))
            ]
        )

    def _input(self, at: Callable[[int, int], Tensor], band: int, level: int, size: Size) -> Tensor:
        """What the convolution of an edge takes, to answer with `size` at the output's `level`."""
        if self.pool_first:
            x = at(band, level + 1)  # a stride of 2 is one level
        elif not self.upsample:
            x = at(band, level)
        elif level > band:
            x = at(band, level - 1)  # the average of an enlarged map is the map itself
        else:
            x = at(band, level)
            ends = (w - 1 + self.kernel - 2 * self.padding for w in size)
            # Cropped where `size` needs less: of an odd side 2 * ceil(side / 2) is too long.
            sides = zip(ends, x.shape[-2:], strict=True)
            x = F.interpolate(x, size=tuple(min(end, 2 * side) for end, side in sides))
        # Halving and striding round differently: of 6 rows a 4x4 kernel of stride 2 makes 3, whose
        # half is 2, but of their half, 3 rows, it makes 1. Then the last row and column repeat.
        down, right = (self._lack(w, side) for w, side in zip(size, x.shape[-2:], strict=True))
        return F.pad(x, (0, right, 0, down), mode="replicate") if max(down, right) > 0 else x

    def _sizes(self, finest: Tensor) -> list[Size]:
        """Height and width of the output at every level that an edge may answer at."""
        sides = list(finest.shape[-2:])
        if self.pool_first:
            sides = [halved(side) for side in sides]
        if self.upsample:
            sides = [2 * side for side in sides]
        height, width = map(self._length, sides)
        sizes = [(height, width)]
        for _ in range(max(len(self.sizes_in), len(self.sizes_out)) - 1):
            height, width = halved(height), halved(width)
            sizes.append((height, width))
        return sizes

    def _length(self, side: int) -> int:
        """What one of the convolutions makes of a side."""
        if self.transposed:
            spread = (side - 1) * self.stride + self.output_padding
            return spread - 2 * self.padding + self.kernel
        free = side + 2 * self.padding - self.kernel
        return (free - free % self.stride) // self.stride + 1  # torch.export sees through this

    def _lack(self, want: int, side: int) -> int:
        """How many rows (columns) are missing for an answer of `want`."""
        if self.transposed:
            return max(0, -(-(want - self._length(side)) // self.stride))
        return max(0, (want - 1) * self.stride + self.kernel - 2 * self.padding - side)


def _ends(edge: str) -> tuple[int, int]:
    """The bands that an edge, "0_1", comes from and leads to."""
    i, j = edge.split("_")
    return int(i), int(j)


def _cropped(x: Tensor, size: Size) -> Tensor:
    return x if tuple(x.shape[-2:]) == size else x[..., : size[0], : size[1]]


def band_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    bands_in: Bands = ONE,
    bands_out: Bands = ONE,
    **options: Any,
) -> nn.Module:
    """The convolution between two splits, as a `BandConv` with those options.

    Between undivided features it is torch's own `Conv2d` or `ConvTranspose2d`, with the names that
    checkpoints have. Raises: ArchError, as `BandConv`.
    """
    net = BandConv(
        in_channels, out_channels, kernel, bands_in=bands_in, bands_out=bands_out, **options
    )
    is_plain = bands_in == bands_out == ONE and not net.pool_first and not net.upsample
    return net.edges["0_0"] if is_plain else net


class BandNorm(nn.Module):
    """A norm, by its name in NORMS, of every band by itself."""

    def __init__(self, channels: int, bands: Bands, norm: str = "instance") -> None:
        super().__init__()
        self.sizes = bands.channels(channels)
        self.bands = nn.ModuleList(NORMS[norm](count) for count in self.sizes)

    def views(self) -> Mapping[str, TensorView]:
        """Each band's weights and statistics as a part of the whole norm's."""
        return {
            f"bands.{band}.{name}": TensorView(name, (sum(self.sizes[:band]),)[: tensor.dim()])
            for band, norm in enumerate(self.bands)
            for name, tensor in itertools.chain(norm.named_parameters(), norm.named_buffers())
        }

    def forward(self, x: Features) -> Features:
        return features_of([n(b) for n, b in zip(self.bands, bands_of(x), strict=True)])


def band_norm(channels: int, bands: Bands, norm: str = "instance") -> nn.Module:
    """`BandNorm`, or for undivided features the norm itself."""
    return NORMS[norm](channels) if bands == ONE else BandNorm(channels, bands, norm)
