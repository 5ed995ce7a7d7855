"""Rewriting: every step leaves the answer as it was, and does what it is for.

What only the slow tests prove: the same of families of one operator and one split in all stages.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

import conformance
from gancompress.archs.arch import Arch
from gancompress.export.card import Card, ExportSource
from gancompress.export.graph import aten
from gancompress.export.phases import phase_kernel, phased, row_kernel, rowwise
from gancompress.export.rewrite import FOLDING, STEPS, rewritten
from gancompress.nets.families import family_of

CASES = [case for case in conformance.cases(blocks=1) if case.family is not None]
FORMS = {"phases": (*FOLDING, "phase heads", "phase ups"), "rows": (*FOLDING, "row heads")}
GENERATOR = torch.Generator().manual_seed(0)


def source_of(
    net: nn.Module, x: torch.Tensor, multiple: int = 2, *, is_static=False
) -> ExportSource:
    _, channels, height, width = x.shape
    card = Card({}, channels, 3, (height, width), multiple, is_static)
    return ExportSource(net.eval(), Arch.of("test", {}), card, x[:1])


def operators(source: ExportSource) -> list:
    net = torch.export.export(source.net, (source.example,), strict=False)
    return [node.target for node in net.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("case", [conformance.marked(case) for case in CASES])
def test_every_family_answers_as_before(case):
    x = case.images().double()  # where rounding hides nothing
    (*_, arch) = case.archs(3, seed=3)
    net = case.supernet().eval().extract(arch).double()
    for steps in FORMS.values() if case.name.endswith("-mixed") else [FORMS["phases"]]:
        new = rewritten(source_of(net, x, is_static=True), steps)
        assert new.counts  # it could be traced
        with torch.no_grad():
            expected = net(x)
            assert expected.std() > 0.01
            torch.testing.assert_close(new.source.net(x), expected, atol=1e-9, rtol=0)


def test_free_sizes_stay_free_and_equal():
    family = family_of("resnet", blocks=2)
    net = family.build(family.uniform(8, "separable")).eval()
    new = rewritten(source_of(net, torch.randn(1, 3, 32, 32), 4), tuple(STEPS))
    assert not new.source.card.is_static and new.counts["phase heads"] == 1
    assert new.counts["phase ups"] == 2 and new.counts["biases"] == 3 + 2 * 2 * 2 + 2
    x = torch.randn(3, 3, 20, 44, generator=GENERATOR)
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net(x), atol=1e-5, rtol=0)


class Stack(nn.Sequential):
    """Layers with every parameter and statistic drawn at random."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                if tensor.is_floating_point():
                    tensor.normal_(0, 0.5, generator=GENERATOR)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.1)


@pytest.mark.parametrize(
    ("layers", "step", "gone"),
    [
        ((nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)), "batch norms", aten.batch_norm.default),
        (
            (nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6)),
            "batch norms",
            aten.batch_norm.default,
        ),
        (
            (nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6, affine=False)),
            "batch norms",
            aten.batch_norm.default,
        ),
        (
            (nn.ConvTranspose2d(2, 6, 3, 2), nn.BatchNorm2d(6)),
            "batch norms",
            aten.batch_norm.default,
        ),
        (
            (nn.ConvTranspose2d(2, 6, 3, 2, groups=2), nn.BatchNorm2d(6)),
            "batch norms",
            aten.batch_norm.default,
        ),
        ((nn.ZeroPad2d((1, 1, 2, 2)), nn.Conv2d(2, 3, 3)), "zero pads", aten.pad.default),
        ((nn.Conv2d(2, 2, 3), nn.Dropout(0.5)), "dropout", aten.dropout.default),
        (
            (nn.Conv2d(2, 3, 7, padding=0), nn.Tanh()),
            "phase heads",
            None,
        ),
        (
            (nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), nn.Tanh()),
            "phase ups",
            aten.conv_transpose2d.input,
        ),
    ],
)  # fmt: skip
def test_step_takes_its_operator_away_and_keeps_the_answer(layers, step, gone):
    net, x = Stack(*layers).eval(), torch.randn(2, 2, 16, 18, generator=GENERATOR)
    new = rewritten(source_of(net, x, is_static=True), (step,))
    assert new.counts == {step: 1}
    assert gone is None or gone not in operators(new.source)
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net(x), atol=1e-5, rtol=1e-5)


def test_inner_affine_norm_becomes_part_of_the_pointwise_convolution():
    net = Stack(nn.InstanceNorm2d(4, affine=True), nn.Conv2d(4, 6, 1, bias=False))
    x = torch.randn(2, 4, 8, 8, generator=GENERATOR)
    new = rewritten(source_of(net, x, is_static=True), ("affine norms",))
    assert new.counts == {"affine norms": 1}
    norms = [n for n in new.source.net.graph.nodes if n.target is aten.instance_norm.default]
    assert [n.args[1:3] for n in norms] == [(None, None)]
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "net",
    [
        Stack(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.InstanceNorm2d(6)),  # the mean is of another thing
        Stack(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)),
        Stack(nn.ReflectionPad2d(1), nn.Conv2d(2, 6, 3)),
        Stack(nn.ConstantPad2d(1, 0.5), nn.Conv2d(2, 6, 3)),
        Stack(nn.ZeroPad2d((1, 0, 0, 0)), nn.Conv2d(2, 6, 3)),
        Stack(nn.Conv2d(2, 3, 3)),  # a small head
        Stack(nn.Conv2d(2, 8, 7)),  # a wide one
        Stack(nn.Conv2d(2, 3, 7, padding=3, stride=2)),
        Stack(nn.Conv2d(2, 3, (6, 7))),  # answers with an odd side
        Stack(nn.ConvTranspose2d(2, 3, 4, 2, 1)),
        Stack(nn.ConvTranspose2d(2, 2, 3, 2, 1, 1, groups=2)),
    ],
    ids=str,
)
def test_what_does_not_fit_a_step_is_left_alone(net):
    x = torch.randn(2, 2, 16, 18, generator=GENERATOR)
    new = rewritten(source_of(net, x, is_static=True), tuple(STEPS))
    assert set(new.counts.values()) == {0}
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net.eval()(x), atol=1e-6, rtol=0)


def test_spectral_norm_of_a_user_becomes_part_of_the_weight():
    net = nn.Sequential(nn.Conv2d(2, 6, 3), spectral_norm(nn.Conv2d(6, 3, 3))).eval()
    x = torch.randn(2, 2, 8, 8, generator=GENERATOR)
    new = rewritten(source_of(net, x, is_static=True), FOLDING)
    assert set(operators(new.source)) == {aten.conv2d.default}
    assert set(operators(source_of(net, x))) > {aten.conv2d.default}
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net(x), atol=1e-6, rtol=0)


def test_value_that_two_read_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    net, x = Twice().eval(), torch.randn(2, 2, 8, 8, generator=GENERATOR)
    new = rewritten(source_of(net, x, is_static=True), tuple(STEPS))
    assert new.counts["biases"] == 0
    with torch.no_grad():
        torch.testing.assert_close(new.source.net(x), net(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_forms_of_a_head_equal_the_plain_convolution(bias):
    weight = torch.randn(3, 5, 5, 7, generator=GENERATOR)
    shift = torch.randn(3, generator=GENERATOR) if bias else None
    x = torch.randn(2, 5, 12, 20, generator=GENERATOR)  # answers 8 x 14
    expected = F.conv2d(x, weight, shift)
    repeated = None if shift is None else shift.repeat_interleave(4)
    found = phased(x, phase_kernel(weight), repeated)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    found = rowwise(x, row_kernel(weight), shift, 5)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_network_that_cannot_be_traced_stays_itself():
    class Opaque(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    net = Opaque().eval()
    new = rewritten(source_of(net, torch.ones(1, 1, 4, 4), is_static=True), tuple(STEPS))
    assert new.source.net is net and new.counts == {}
