"""Depthwise convolutions and their gradients, against torch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from gancompress.nets.layers.depthwise import DepthwiseConv, depthwise


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("side", [1, 3, 5])
def test_depthwise_and_all_its_gradients_are_right(side: int) -> None:
    x, weight = drawn(2, 3, 5, 4).requires_grad_(), drawn(3, 1, side, side, seed=1).requires_grad_()
    expected = F.conv2d(x, weight, padding=side // 2, groups=3)
    assert torch.equal(depthwise(x, weight), expected)
    assert gradcheck(depthwise, (x, weight)) and gradgradcheck(depthwise, (x, weight))


def test_gradient_penalty_equals_that_of_torch_s_convolution() -> None:
    x, weight = drawn(4, 6, 8, 8).requires_grad_(), drawn(6, 1, 3, 3, seed=1).requires_grad_()

    def penalty(conv: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        answer = F.leaky_relu(conv(x, weight), 0.2).square().sum()
        (slope,) = torch.autograd.grad(answer, x, create_graph=True)
        loss = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return list(torch.autograd.grad(loss, (x, weight)))

    torchs = penalty(lambda x, w: F.conv2d(x, w, padding=1, groups=6))
    torch.testing.assert_close(penalty(depthwise), torchs)


def test_layer_is_torch_s_layer_with_any_bias_and_layout() -> None:
    for bias in (False, True):
        layer = DepthwiseConv(6, bias=bias).double()
        x = drawn(2, 6, 7, 5).to(memory_format=torch.channels_last)
        with torch.no_grad():
            without = layer(x)
        torch.testing.assert_close(layer(x), without)
        torch.testing.assert_close(
            without, F.conv2d(x, layer.weight, layer.bias, padding=1, groups=6)
        )


def test_autocast_gives_its_type_and_finite_float32_gradients() -> None:
    layer, x = DepthwiseConv(4), drawn(2, 4, 8, 8).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        answer = layer(x)
    assert answer.dtype == torch.bfloat16
    answer.float().sum().backward()
    assert x.grad is not None and layer.weight.grad is not None
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32
    assert torch.isfinite(layer.weight.grad).all()
