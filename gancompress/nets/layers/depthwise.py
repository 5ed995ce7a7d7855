"""Depthwise convolutions whose gradients have gradients, as fast as the convolutions themselves.

torch works the gradient of a grouped convolution's gradient out group by group, which under a
gradient penalty takes away most of what a depthwise layer saves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The three are the partial derivatives of one form, linear in each of image, kernel and answer:
# sum over y of answer(y) * sum over k of kernel(k) * image(y + k). Each one's gradients are thus
# the other two, however often they are differentiated.


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Each channel by its own kernel, stride 1, zeros around: the size stays.

    x (N, C, H, W), weight (C, 1, k, k) with k odd -> (N, C, H, W).
    """
    if torch.is_autocast_enabled(x.device.type):  # which does not reach into the gradients
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    out: Tensor = _Depthwise.apply(x, weight)
    return out


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution for networks under a gradient penalty; see `depthwise`."""

    def __init__(self, channels: int, kernel: int = 3, bias: bool = False) -> None:
        super().__init__(
            channels, channels, kernel, padding=kernel // 2, groups=channels, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and input.device.type != "meta"):
            return super().forward(input)
        out = depthwise(input, self.weight)
        return out if self.bias is None else out + self.bias[:, None, None]


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))


class _Depthwise(torch.autograd.Function):
    """`depthwise`; by the image it is the convolution with the turned kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolved(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        dx = depthwise(grad, weight.flip(2, 3)) if ctx.needs_input_grad[0] else None
        dw = None
        if ctx.needs_input_grad[1]:
            dw = _KernelGradient.apply(x, grad, weight.shape[-1])
        return dx, dw


class _KernelGradient(torch.autograd.Function):
    """The gradient by the kernel (C, 1, k, k), of the image and of the answer's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, side: int) -> Tensor:
        ctx.save_for_backward(x, grad)
        channels, pad = x.shape[1], side // 2
        kernel = x.new_empty(channels, 1, side, side)
        _, found, _ = torch.ops.aten.convolution_backward(
            grad, x, kernel, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], channels,
            [False, True, False],
        )  # fmt: skip
        out: Tensor = found
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, grad = ctx.saved_tensors
        (by_kernel,) = grads
        dx = depthwise(grad, by_kernel.flip(2, 3)) if ctx.needs_input_grad[0] else None
        dgrad = depthwise(x, by_kernel) if ctx.needs_input_grad[1] else None
        return dx, dgrad, None
