"""The CPU training form of instance norm against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from gancompress.nets.norms import InstanceNorm


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 8, 1, 4), (3, 1, 4, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_equals_torchs_forward_and_backward(shape, layout):
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x.to(memory_format=layout).requires_grad_()
    weight = torch.linspace(-1, 2, x.numel(), dtype=x.dtype).reshape(shape)
    ours = InstanceNorm(shape[1])(x)
    (grad,) = torch.autograd.grad((ours * weight).sum(), x)
    theirs = F.instance_norm(x)
    (expected,) = torch.autograd.grad((theirs * weight).sum(), x)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(grad, expected)


def test_instance_norm_refuses_second_derivatives():
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(InstanceNorm(2)(x).pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_instance_norm_keeps_bfloat16_close_to_float32_under_autocast():
    x = 3 + torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = InstanceNorm(4)(x.bfloat16().requires_grad_())
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), F.instance_norm(x), atol=0.06, rtol=0.02)
