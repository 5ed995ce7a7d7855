"""Spectral norm: the largest singular value is one, in every mode and precision."""

import pytest
import torch
from torch import nn

from gancompress.distill.teacher import fold
from gancompress.nets.layers.spectral import SpectralNorm, spectral


def conv(seed: int = 0) -> nn.Conv2d:
    net = nn.Conv2d(5, 7, 3, bias=False)
    with torch.no_grad():
        net.weight.normal_(0, 2, generator=torch.Generator().manual_seed(seed))
    return net


def largest(weight: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight.flatten(1), 2))


def test_largest_singular_value_goes_to_one_in_training() -> None:
    net = conv()
    plain = net.weight.detach().clone()
    net = spectral(net)
    for _ in range(200):
        normed = net.weight
    torch.testing.assert_close(normed, plain / largest(plain))


def test_evaluation_leaves_the_estimate_alone_and_agrees_with_it() -> None:
    net = spectral(conv())
    for _ in range(100):
        trained = net.weight
    net.eval()
    before = {name: tensor.clone() for name, tensor in net.named_buffers()}
    torch.testing.assert_close(net.weight, trained)
    assert all(torch.equal(t, before[name]) for name, t in net.named_buffers())


def test_gradient_is_that_of_the_quotient_with_its_vectors_held() -> None:
    weight = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    norm = SpectralNorm(4).double()
    out = norm(weight)
    u = norm.u.clone()
    v = nn.functional.normalize(weight.detach().t() @ torch.full((4,), 0.5).double(), dim=0)
    expected = weight / (u @ weight @ v)
    target = torch.arange(24.0).reshape(4, 6)
    (ours,) = torch.autograd.grad((out * target).sum(), weight)
    (theirs,) = torch.autograd.grad((expected * target).sum(), weight)
    torch.testing.assert_close(ours, theirs)


def test_two_passes_may_run_before_one_backward() -> None:
    net = spectral(conv())
    x = torch.randn(1, 5, 4, 4)
    (net(x) - 2 * net(x)).sum().backward()
    gradients = [p.grad for p in net.parameters()]
    assert len(gradients) == 1 and gradients[0] is not None and gradients[0].isfinite().all()


def test_norm_begins_alike_whatever_the_weights_are_and_draws_nothing() -> None:
    nets = conv(), conv(seed=1)
    before = torch.random.get_rng_state()
    one, other = (spectral(net) for net in nets)
    assert torch.equal(before, torch.random.get_rng_state())
    states = [list(net.buffers()) for net in (one, other)]
    assert len(states[0]) == 1 and all(map(torch.equal, *states))


@pytest.mark.parametrize("bf16", [False, True])
def test_norm_is_taken_in_float32_under_autocast(bf16: bool) -> None:
    net = spectral(conv()).eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        weight = net.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, net.weight, rtol=0, atol=0)


def test_folded_network_computes_the_same_under_plain_names() -> None:
    net = nn.Sequential(spectral(conv()), nn.ReLU(), spectral(nn.Conv2d(7, 2, 1)))
    x = torch.randn(2, 5, 6, 6)
    net(x)
    net.eval()
    before = net(x)
    fold(net)
    torch.testing.assert_close(net(x), before, rtol=0, atol=0)
    assert set(net.state_dict()) == {"0.weight", "2.weight", "2.bias"}
