"""Fitted first weights are kept where every generator is nearer to its teacher by them."""

import pytest
import torch
import tracednets

from gancompress.distill import supernet as training
from gancompress.distill.initialise import fill_from_teacher
from gancompress.supernet.groupproof import known_channels
from gancompress.supernet.supernet import Supernet


def untrained(net: torch.nn.Module) -> tuple[Supernet, torch.nn.Module, torch.Tensor]:
    one = tracednets.imported(tracednets.seeded(net))
    family = one.family
    taught = family.build(family.traced_arch).eval()
    taught.load_state_dict(one.tensors)
    widths = {s: [family.full_width(s), max(1, family.full_width(s) // 2)]
              for s in family.width_slots}  # fmt: skip
    supernet = Supernet(
        family.build, family.space(widths, ["dense"]), known_channels(family.layouts())
    )
    fill_from_teacher(supernet, taught, family.traced_arch)
    x = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return supernet.eval(), taught, x


@torch.no_grad()
def gap(supernet: Supernet, taught: torch.nn.Module, x: torch.Tensor) -> float:
    return float((supernet(supernet.space.smallest, x) - taught(x)).abs().mean())


@torch.no_grad()
def test_convolutions_of_joined_features_are_fitted() -> None:
    supernet, taught, x = untrained(tracednets.Enlarging())
    before = gap(supernet, taught, x)
    kernel = supernet.shared["body.0.convs.2.weight"].clone()
    training._fit_levels(supernet, taught, x)
    assert gap(supernet, taught, x) < before
    assert not torch.equal(kernel, supernet.shared["body.0.convs.2.weight"])


@torch.no_grad()
def test_the_largest_arch_stays_the_teacher_where_it_is_as_wide() -> None:
    supernet, taught, x = untrained(tracednets.Enlarging())
    torch.testing.assert_close(supernet(supernet.space.largest, x), taught(x))
    training.calibrate(supernet, taught, [supernet.space.largest], x)
    torch.testing.assert_close(supernet(supernet.space.largest, x), taught(x), atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_fit_that_makes_some_generator_worse_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet, taught, x = untrained(tracednets.Stylised())
    before = {name: tensor.clone() for name, tensor in supernet.shared.items()}

    def spoil(supernet: Supernet, taught: object, images: object) -> None:
        for tensor in supernet.shared.values():
            tensor.mul_(-100)

    fitting = training._fit_levels
    monkeypatch.setattr(training, "_fit_levels", spoil)
    training._fit_where_it_helps(supernet, taught, x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.shared.items())
    monkeypatch.setattr(training, "_fit_levels", fitting)
    training._fit_where_it_helps(supernet, taught, x)
    assert not all(torch.equal(tensor, before[name]) for name, tensor in supernet.shared.items())


def test_residual_branches_without_norms_begin_small() -> None:
    one = tracednets.imported(tracednets.seeded(tracednets.Enlarging()))
    small = one.family.small_layers()
    assert small == ("body.0.convs.0", "body.0.convs.1", "body.0.convs.2",
                     "body.1.convs.0", "body.1.convs.1", "body.1.convs.2")  # fmt: skip
    normed = tracednets.imported(tracednets.seeded(tracednets.Stylised())).family
    assert normed.small_layers() == ()
    supernet, _, _ = untrained(tracednets.Enlarging())
    random = torch.Generator().manual_seed(0)
    training.fill_random(supernet, one.family.build, training.INITS["kaiming"], random, small)
    kernels = {name: float(t.detach().std()) for name, t in supernet.shared.items() if t.dim() == 4}
    assert kernels["body.0.convs.0.weight"] < 0.05 < kernels["first.weight"]
