"""Split convolutions done slowly and from the papers' words, and counts taken by hooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.layers.bands import BandConv
from gancompress.nets.layers.features import Bands, Features
from gancompress.nets.layers.views import TensorView

Bandwise = tuple[Tensor, ...]
SPLITS = (Bands(0.5), Bands(0.25), Bands(0.5, 0.25))


@dataclass(frozen=True)
class Form:
    """One convolution of a generator; names as in `BandConv`."""

    kernel: int = 3
    stride: int = 1
    padding: int = 1
    padding_mode: str = "zeros"
    groups: int = 1
    transposed: bool = False
    output_padding: int = 0
    form: str = "conv"
    upsample: bool = False

    def build(self, c_in: int, c_out: int, a: Bands, b: Bands, bias: bool = True) -> BandConv:
        return BandConv(c_in, c_out, bands_in=a, bands_out=b, bias=bias, **vars(self))

    def dense(self, c_in: int, c_out: int, bias: bool = True) -> nn.Module:
        """torch's layer with the same parameters; one that pools or enlarges first has stride 1."""
        stride = 1 if self.form == "pool" else self.stride
        if self.transposed:
            return nn.ConvTranspose2d(
                c_in,
                c_out,
                self.kernel,
                stride,
                self.padding,
                self.output_padding,
                self.groups,
                bias,
            )
        return nn.Conv2d(
            c_in,
            c_out,
            self.kernel,
            stride,
            self.padding,
            groups=self.groups,
            bias=bias,
            padding_mode=self.padding_mode,
        )


FORMS = {
    "ordinary": Form(),
    "wide": Form(kernel=7, padding=3),
    "pointwise": Form(kernel=1, padding=0),
    "strided": Form(stride=2),
    "strided_even": Form(kernel=4, stride=2),
    "pooled": Form(stride=2, form="pool"),
    "transposed": Form(stride=2, transposed=True, output_padding=1),
    "transposed_even": Form(kernel=4, stride=2, transposed=True),
    "upsampled": Form(upsample=True),
}


def halved(x: Tensor) -> Tensor:
    """Means of the two by two pixels that there are."""
    height, width = x.shape[-2:]
    rows = [x[..., i : i + 2, :].mean(-2) for i in range(0, height, 2)]
    x = torch.stack(rows, -2)
    return torch.stack([x[..., i : i + 2].mean(-1) for i in range(0, width, 2)], -1)


def doubled(x: Tensor, height: int, width: int) -> Tensor:
    """Every pixel four times, then cropped."""
    x = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
    return x[..., :height, :width]


def ceil_laws(height: int, width: int, count: int) -> list[tuple[int, int]]:
    return [(-(-height // 2**b), -(-width // 2**b)) for b in range(count)]


def random_bands(
    channels: tuple[int, ...], height: int, width: int, dtype: torch.dtype = torch.float32
) -> Bandwise:
    """A batch of two in bands of those channels."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    sizes = ceil_laws(height, width, len(channels))
    return tuple(
        torch.randn(2, count, *size, generator=generator, dtype=dtype)
        for count, size in zip(channels, sizes, strict=True)
    )


def slow(net: BandConv, form: Form, bands: Bandwise, swapped: bool = False) -> Bandwise:
    """What `net` must answer; `swapped` convolves before pooling and after enlarging."""
    high, wide = bands[0].shape[-2:]
    if form.form == "pool":
        grid = ceil_laws(-(-high // 2), -(-wide // 2), 4)
    else:
        grid = ceil_laws(high << form.upsample, wide << form.upsample, 4)
    laws = ceil_laws(*(answered(form, side) for side in grid[0]), 4)
    sums: dict[int, Tensor] = {}
    for name, conv in net.edges.items():
        i, j = map(int, name.split("_"))
        x = bands[i]
        if form.form == "pool" and i <= j:
            x = halved(x)
        if form.upsample:
            x = doubled(x, *grid[i])
        if form.form == "pool" and i > j:  # the coarse band has the resolution of the answer
            y = convolved(conv, form, x, laws[j])
        elif i > j and swapped:
            y = convolved(conv, form, doubled(x, *grid[j]), laws[j])
        elif i > j:
            y = doubled(convolved(conv, form, x, laws[i]), *laws[j])
        elif i < j and swapped:
            y = halved(convolved(conv, form, x, laws[i]))
        elif i < j:
            y = convolved(conv, form, halved(x), laws[j])
        else:
            y = convolved(conv, form, x, laws[j])
        sums[j] = sums[j] + y if j in sums else y
    return tuple(sums[j] for j in sorted(sums))


def answered(form: Form, side: int) -> int:
    """The length that one convolution makes of `side`."""
    stride = 1 if form.form == "pool" else form.stride
    if form.transposed:
        return (side - 1) * stride + form.output_padding - 2 * form.padding + form.kernel
    return (side + 2 * form.padding - form.kernel) // stride + 1


def convolved(conv: nn.Module, form: Form, x: Tensor, law: tuple[int, int]) -> Tensor:
    """torch's convolution; the last row and column repeat until it answers with `law`."""
    stride = 1 if form.form == "pool" else form.stride
    while answered(form, x.shape[-2]) < law[0]:
        x = torch.cat([x, x[..., -1:, :]], -2)
    while answered(form, x.shape[-1]) < law[1]:
        x = torch.cat([x, x[..., -1:]], -1)
    if form.transposed:
        y = F.conv_transpose2d(
            x, conv.weight, conv.bias, stride, form.padding, form.output_padding, conv.groups
        )
    else:
        mode = "constant" if form.padding_mode == "zeros" else form.padding_mode
        x = F.pad(x, (form.padding,) * 4, mode=mode)
        y = F.conv2d(x, conv.weight, conv.bias, stride, groups=conv.groups)
    return y[..., : law[0], : law[1]]


def filled_dense(net: BandConv, dense: nn.Module) -> dict[str, Tensor]:
    """The tensors of `dense` with every edge's weights in their view and 0 elsewhere."""
    full = {name: torch.zeros_like(tensor) for name, tensor in dense.state_dict().items()}
    state = net.state_dict()
    for name, view in net.views().items():
        block(full[view.name], view, state[name].shape).copy_(state[name])
    return full


def block(whole: Tensor, view: TensorView, shape: torch.Size) -> Tensor:
    """The part of `whole` that a view of this shape shows."""
    for axis, start in enumerate(view.starts):
        whole = whole.narrow(axis, start, shape[axis])
    return whole


@torch.no_grad()
def counted_macs(net: nn.Module, x: Features) -> int:
    """Multiply-accumulates of the convolutions and matrices that run, by hooks."""
    counts: list[int] = []

    def count(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        grid = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        counts.append(grid.numel() * module.weight[0].numel())

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, kinds)]
    net(x)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def params(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
