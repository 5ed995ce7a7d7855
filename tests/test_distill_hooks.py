"""Taps and adapters."""

import pytest
import torch
from torch import nn

from gancompress.distill.hooks import Adapter, adapters, feature_channels, hooked
from gancompress.nets.families import family_of
from gancompress.supernet.supernet import Supernet, skeleton_of

FAMILY = family_of("resnet", blocks=3)
SPACE = FAMILY.space((4, 2), ("dense", "separable"))
X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def filled() -> Supernet:
    supernet = Supernet(FAMILY.build, SPACE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in supernet.shared.values():
            tensor.normal_(0, 0.3, generator=generator)
    return supernet


def test_taps_are_the_outputs_of_the_named_modules() -> None:
    net = FAMILY.build(FAMILY.uniform(3))
    with torch.no_grad(), hooked(net, FAMILY.distilled_layers()) as taken:
        net(X)
        x = net.stem(X)
        expected = {}
        for name, stage in [("down.0", net.down[0]), ("down.1", net.down[1])]:
            x = expected[name] = stage(x)
        for i, block in enumerate(net.body):
            x = expected[f"body.{i}"] = block(x)
    assert set(taken) == {"down.1", "body.0", "body.1", "body.2"}
    for name, tensor in taken.items():
        assert torch.equal(tensor, expected[name]), name


def test_taps_of_a_supernet_equal_those_of_the_extracted() -> None:
    supernet = filled()
    for arch in (SPACE.largest, SPACE.smallest):
        subnet, net = supernet.subnet(arch), supernet.extract(arch)
        with hooked(subnet.skeleton, FAMILY.distilled_layers()) as ours:
            subnet(X)
        with hooked(net, FAMILY.distilled_layers()) as theirs:
            net(X)
        assert len(ours) == 4
        for name, tensor in theirs.items():
            assert torch.equal(ours[name], tensor), name


def test_taps_leave_no_hooks_even_after_an_error() -> None:
    net = FAMILY.build(FAMILY.uniform(2))
    with pytest.raises(RuntimeError), hooked(net, FAMILY.distilled_layers()):
        net(torch.ones(1, 1, 16, 16))
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(("student", "teacher"), [(4, 4), (3, 6), (6, 3)])
def test_adapter_begins_as_the_identity_on_shared_channels(student: int, teacher: int) -> None:
    adapter = Adapter(student, teacher)
    for width in range(1, student + 1):
        x = torch.randn(2, width, 5, 4)
        out = adapter(x)
        shared = min(width, teacher)
        assert out.shape == (2, teacher, 5, 4)
        assert torch.equal(out[:, :shared], x[:, :shared]) and out[:, shared:].eq(0).all()


def test_adapter_is_a_1x1_convolution_of_its_leading_columns() -> None:
    adapter = Adapter(5, 3)
    nn.init.normal_(adapter.weight)
    x = torch.randn(2, 4, 3, 3)
    expected = torch.einsum("tc,nchw->nthw", adapter.weight[:, :4], x)
    torch.testing.assert_close(adapter(x), expected)


def test_adapters_fit_every_student_of_the_space_to_the_teacher() -> None:
    meta = torch.empty(1, 3, 16, 16, device="meta")
    teacher = skeleton_of(FAMILY.build, FAMILY.uniform(6))
    widest = skeleton_of(FAMILY.build, SPACE.largest)
    student, taught = (
        feature_channels(n, FAMILY.distilled_layers(), meta) for n in (widest, teacher)
    )
    assert (student, taught) == ([16] * 4, [24] * 4)
    supernet, adapt = filled(), adapters(student, taught)
    for arch in (SPACE.largest, SPACE.smallest):
        with hooked(supernet.skeleton(arch), FAMILY.distilled_layers()) as taken:
            supernet(arch, X)
        shapes = [
            adapter(taken[n]).shape
            for n, adapter in zip(FAMILY.distilled_layers(), adapt, strict=True)
        ]
        assert shapes == [(2, 24, 4, 4)] * 4
