"""The CPU training form of instance norm against torch's own."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gancompress.nets.layers.norms import InstanceNorm


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


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_affine_instance_norm_equals_torchs_in_training_and_evaluation(images, layout):
    theirs, ours = nn.InstanceNorm2d(4, affine=True), InstanceNorm(4, affine=True)
    nn.init.uniform_(theirs.weight, 0.5, 2)
    nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    x = 2 + torch.randn(images, 4, 5, 6, generator=torch.Generator().manual_seed(2))
    x = x.to(memory_format=layout)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
    for leaf in (x, x.clone().requires_grad_()):  # first with gradients of the weights alone
        found = []
        for norm in (ours, theirs):
            ends = [end for end in (leaf, *norm.parameters()) if end.requires_grad]
            y = norm(leaf)
            found.append((y, *torch.autograd.grad(y.pow(3).sum(), ends)))
        torch.testing.assert_close(*found, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm_keeps_the_dtype_under_autocast(images, recorded, affine):
    x = torch.randn(images, 4, 5, 6).bfloat16().requires_grad_(recorded)
    with torch.autocast("cpu", torch.bfloat16):
        assert InstanceNorm(4, affine=affine)(x).dtype == torch.bfloat16


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("recorded", [False, True])
def test_instance_norm_of_one_pixel_is_the_bias(images, recorded):
    """Low bands of small images have one pixel, in training and in evaluation."""
    norm = InstanceNorm(4, affine=True)
    nn.init.normal_(norm.bias)
    y = norm(torch.randn(images, 4, 1, 1, requires_grad=recorded))
    torch.testing.assert_close(y, norm.bias[:, None, None].expand_as(y))


def test_instance_norm_on_the_meta_device_has_the_shape_and_dtype():
    with torch.device("meta"):
        x = torch.empty(2, 4, 5, 6)
        assert InstanceNorm(4, affine=True)(x).shape == x.shape
        assert InstanceNorm(4)(x.requires_grad_()).device.type == "meta"


def test_instance_norm_takes_a_constant_channel_to_zero():
    # Such as one that a ReLU has silenced: what is left of its mean is divided by sqrt(eps).
    x = torch.linspace(-1, 1, 8)[None, :, None, None].expand(1, 8, 128, 256)
    torch.testing.assert_close(InstanceNorm(8)(x), torch.zeros(x.shape), atol=1e-4, rtol=0)
