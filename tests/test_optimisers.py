"""Muon: against torch's own on matrices, its orthogonal steps, what it leaves to Adam, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toytraining as toy
from torch import Tensor, nn

from gancompress.training.optimisers import Muon, Optimiser, is_matrix, orthogonal
from gancompress.training.steps import Optimisation

SHAPES = ((5, 9), (9, 5), (4, 4), (1, 7))


def moved(optimiser: torch.optim.Optimizer, weights: list[Tensor], steps: int) -> list[Tensor]:
    """The weights after steps by random gradients, the same at every call."""
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for weight in weights:
            gradient = torch.randn(weight.numel(), generator=random)
            weight.grad = gradient.reshape(weight.shape)
        optimiser.step()
    return [weight.detach().clone() for weight in weights]


def matrices() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=random).requires_grad_() for shape in SHAPES]


def test_matrices_move_as_with_torchs_muon() -> None:
    """Which computes in bf16, whose rounding errors are 0.4 % each."""
    ours, theirs = matrices(), matrices()
    peer = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    found, wanted = moved(Muon(ours, 0.1), ours, 6), moved(peer, theirs, 6)
    for a, b, begun in zip(found, wanted, matrices(), strict=True):
        assert (a - begun).abs().max() > 0.05
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)


def test_convolutions_count_as_their_matrices() -> None:
    flat = matrices()
    kernels = [m.detach().reshape(*m.shape, 1, 1).clone().requires_grad_() for m in flat]
    square = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    flat.append(square.reshape(6, 12).clone().requires_grad_())
    kernels.append(square.to(memory_format=torch.channels_last).requires_grad_())
    found, wanted = moved(Muon(kernels, 0.1), kernels, 3), moved(Muon(flat, 0.1), flat, 3)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.reshape(b.shape), b)


def test_steps_are_orthogonal_and_leave_alone_what_has_no_gradient() -> None:
    random = torch.Generator().manual_seed(3)
    made = torch.randn(4, 6, 20, generator=random)
    made[0, 4:] = 0  # Channels that the drawn arch does not have.
    values = torch.linalg.svdvals(orthogonal(made)[1:])
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.equal(orthogonal(made)[0, 4:], torch.zeros(2, 20))
    torch.testing.assert_close(orthogonal(made.mT), orthogonal(made).mT)
    assert torch.equal(orthogonal(torch.zeros(1, 3, 2)), torch.zeros(1, 3, 2))
    trained, idle = (torch.ones(3, 3, requires_grad=True) for _ in range(2))
    trained.grad = torch.eye(3)
    Muon([trained, idle], 0.1).step()
    assert torch.equal(idle, torch.ones(3, 3)) and not torch.equal(trained, torch.ones(3, 3))


def test_adam_takes_what_is_no_matrix() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.InstanceNorm2d(4))
    assert [is_matrix(p) for p in net.parameters()] == [True, False, False, False]
    assert not is_matrix(nn.LayerNorm((3, 8, 8)).weight)
    both = Optimiser(list(net.parameters()), 0.1, (0.9, 0.99), has_muon=True)
    assert {kind: len(part.param_groups[0]["params"]) for kind, part in both.parts.items()} == {
        "adam": 3, "muon": 1,
    }  # fmt: skip
    alone = Optimiser(list(net.parameters()), 0.1, (0.9, 0.99), has_muon=False)
    assert list(alone.parts) == ["adam"]
    assert list(
        Optimiser(
            [nn.Parameter(m.detach()) for m in matrices()[:3]], 0.1, (0.9, 0.99), has_muon=True
        ).parts
    ) == ["muon"]


def test_a_stopped_training_ends_as_an_unstopped_one(tmp_path: Path) -> None:
    how = Optimisation(lr=2e-3, lr_discriminator=1e-3, ema=0.9, optimiser="muon")
    whole, parts = toy.pix2pix_nets(), toy.pix2pix_nets()
    toy.train(toy.TASK, whole, tmp_path / "whole", steps=5, optimisation=how)
    for until in (2, 3):
        toy.train(toy.TASK, parts, tmp_path / "parts", steps=5, optimisation=how, until=until)
        parts = toy.pix2pix_nets()
    toy.train(toy.TASK, parts, tmp_path / "parts", steps=5, optimisation=how)
    found, wanted = toy.weights(parts), toy.weights(whole)
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_discriminators_learn_by_adam(tmp_path: Path) -> None:
    found = {}
    for optimiser in ("adam", "muon"):
        nets = toy.pix2pix_nets()
        how = Optimisation(lr=2e-3, optimiser=optimiser)
        toy.train(toy.TASK, nets, tmp_path / optimiser, steps=1, optimisation=how)
        found[optimiser] = toy.weights(nets)
    changed = [n for n, t in found["adam"].items() if not torch.equal(t, found["muon"][n])]
    assert {name.split(".")[0] for name in changed} == {"generator"}


@pytest.mark.parametrize("has_muon", [False, True])
def test_both_find_a_convolution_that_is_known(has_muon: bool) -> None:
    torch.manual_seed(5)
    wanted, net = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    optimiser = Optimiser(list(net.parameters()), 0.02, (0.9, 0.99), has_muon=has_muon)
    losses = []
    for step in range(80):
        x = torch.randn(4, 3, 8, 8)
        optimiser.set_rate(0.02 * (1 - step / 80))
        optimiser.zero_grad()
        loss = (net(x) - wanted(x)).square().mean()
        loss.backward()
        optimiser.step(torch.amp.GradScaler("cpu", enabled=False))
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
