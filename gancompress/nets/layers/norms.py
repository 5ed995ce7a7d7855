"""Normalisations by name; instance norm in a form that is fast on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from gancompress.nets.layers.batchnorm import BatchNorm


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without statistics (Ulyanov et al. 2016), (N, C, H, W).

    On a CPU it runs in channels_last with a gradient of its own. torch's goes through the
    contiguous layout: every convolution beside it then pays for two changes of layout, and runs in
    its slower form. Elsewhere it is torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type == "meta" and not _recorded(input):
            return torch.empty_like(input)  # torch decomposes it there, slowly
        if input.device.type not in ("cpu", "meta") or torch.compiler.is_compiling():
            return super().forward(input)
        out: Tensor = _ChannelsLastNorm.apply(input, self.eps)
        if self.affine:
            # Not in place: the norm's gradient needs its own answer.
            shift, scale = self.bias[:, None, None], self.weight[:, None, None]
            out = torch.addcmul(shift, out, scale).to(input.dtype)  # (N, C, H, W)
        return out


def _recorded(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


class _ChannelsLastNorm(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) per image and channel; gradients as matrix products.

    Differentiable once: a gradient penalty through it is refused by torch.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        if x.device.type == "meta":  # shapes alone: torch takes ten times as long to work them out
            n, c, h, w = x.shape
            y, scale = x.new_empty(n, h * w, c), x.new_empty(n, 1, c)
            ctx.save_for_backward(y, scale)
            return _image(y, x)
        with torch.autocast("cpu", enabled=False):
            rows = _rows(x)  # (N, H*W, C)
            # Not matrix products, which are no faster here: their rounding, of 32768 equal values
            # 3e-4 of one, would be divided by the root of eps alone where a channel is constant.
            centred = rows - rows.mean(1, keepdim=True)
            variance = (centred * centred).mean(1, keepdim=True)  # (N, 1, C), biased
            scale = (variance + eps).rsqrt_()
            y = centred.mul_(scale)
        ctx.save_for_backward(y, scale)
        return _image(y, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        y, scale = ctx.saved_tensors
        grad = _rows(grads[0])
        share = _share(grad)
        # dx = (g - mean(g) - y mean(g y)) / std: Ioffe and Szegedy 2015, section 3, per channel.
        along = torch.bmm(share, grad * y)
        dx = (grad - torch.bmm(share, grad)).sub_(y * along).mul_(scale)
        return _image(dx, grads[0]), None


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H*W, C); no copy when `x` is channels_last."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h * w, c)


def _image(rows: Tensor, like: Tensor) -> Tensor:
    n, c, h, w = like.shape
    return rows.view(n, h, w, c).permute(0, 3, 1, 2)


def _share(rows: Tensor) -> Tensor:
    """(N, 1, H*W) of 1/(H*W): times rows it is their mean."""
    n, positions, _ = rows.shape
    return rows.new_full((1, 1, positions), 1 / positions).expand(n, 1, positions)


# What normalises the channels behind a convolution: name -> module for that many channels.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm,
    "affine": partial(InstanceNorm, affine=True),
    "batch": BatchNorm,
}
