"""The convolution with the fast 1x1 kernel against torch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gancompress.nets.layers.plain import PlainConv

CASES = [
    {"kernel_size": 1},
    {"kernel_size": 1, "bias": False},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 1, "groups": 2},
    {"kernel_size": 1, "groups": 4},
    {"kernel_size": 1, "padding": 1},
    {"kernel_size": 1, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 1, "padding": "same"},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect", "stride": 2},
    {"kernel_size": (1, 3), "padding": (0, 1)},
]


def twins(**options: object) -> tuple[PlainConv, nn.Conv2d]:
    torch.manual_seed(0)
    ours, theirs = PlainConv(4, 8, **options), nn.Conv2d(4, 8, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.fixture
def onednn_calls(monkeypatch) -> list[int]:
    """A list that grows with every call of oneDNN's convolution by name."""
    calls: list[int] = []
    run: Callable[..., Tensor] = torch.mkldnn_convolution

    def counted(*args: object) -> Tensor:
        calls.append(1)
        return run(*args)

    monkeypatch.setattr(torch, "mkldnn_convolution", counted)
    return calls


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("options", CASES, ids=str)
def test_plain_conv_equals_torchs_forward_and_backward(options, layout, batch):
    found = []
    for conv in twins(**options):
        x = torch.randn(batch, 4, 7, 6, generator=torch.Generator().manual_seed(1))
        x = x.to(memory_format=layout).requires_grad_()
        y = conv(x)
        grads = torch.autograd.grad(y.square().sum(), [x, *conv.parameters()])
        found.append((y, *grads))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


def test_plain_conv_runs_1x1_kernels_in_onednn(onednn_calls):
    x = torch.randn(1, 4, 5, 5)
    twins(kernel_size=1)[0](x)
    assert len(onednn_calls) == 1
    twins(kernel_size=3)[0](x)
    assert len(onednn_calls) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_plain_conv_leaves_other_dtypes_to_torch(dtype, onednn_calls):
    ours, theirs = (conv.to(dtype) for conv in twins(kernel_size=1))
    x = torch.randn(2, 4, 5, 5).to(dtype)
    assert torch.equal(ours(x), theirs(x))
    assert not onednn_calls


def test_plain_conv_leaves_autocast_to_torch(onednn_calls):
    ours, theirs = twins(kernel_size=1)
    x = torch.randn(2, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
        assert torch.equal(ours(x), theirs(x))
    assert not onednn_calls


def test_plain_conv_counts_on_the_meta_device(onednn_calls):
    with torch.device("meta"):
        y = PlainConv(4, 8, 1)(torch.empty(1, 4, 5, 6))
    assert y.shape == (1, 8, 5, 6)
    assert not onednn_calls


def test_plain_conv_leaves_export_to_torch(onednn_calls):
    ours, theirs = twins(kernel_size=1)
    x = torch.randn(1, 4, 5, 5)
    program = torch.export.export(ours, (x,))
    assert "mkldnn" not in str(program.graph)
    assert not onednn_calls
    torch.testing.assert_close(program.module()(x), theirs(x))


@pytest.mark.parametrize("shape", [(4, 5, 5), (0, 4, 5, 5)])
def test_plain_conv_leaves_single_images_and_empty_batches_to_torch(shape, onednn_calls):
    ours, theirs = twins(kernel_size=1)
    x = torch.randn(shape)
    assert torch.equal(ours(x), theirs(x))
    assert not onednn_calls


def test_plain_conv_has_second_derivatives():
    """Gradient penalties need them."""
    found = []
    for conv in twins(kernel_size=1):
        x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
        (grad,) = torch.autograd.grad(conv(x).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(grad.norm(), conv.weight)[0])
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
