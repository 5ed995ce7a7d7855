"""Instance normalisation that trains fast on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm without parameters or statistics (Ulyanov et al. 2016), (N, C, H, W).

    Where gradients are recorded on a CPU it runs in channels_last with its own closed-form
    gradient. torch's goes through the contiguous layout: every convolution beside it then pays
    for two changes of layout, and runs in its slower form. Elsewhere it is torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() and input.device.type == "cpu" and input.requires_grad:
            out: Tensor = _ChannelsLastNorm.apply(input, self.eps)
            return out
        if input.device.type == "meta":
            return torch.empty_like(input)  # torch decomposes it there, slowly
        return super().forward(input)


class _ChannelsLastNorm(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) per image and channel; means as matrix products.

    Differentiable once: a gradient penalty through it is refused by torch.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            rows = _rows(x)  # (N, H*W, C)
            share = _share(rows)
            centred = rows - torch.bmm(share, rows)
            variance = torch.bmm(share, centred * centred)  # (N, 1, C), biased
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
