"""Eight bits: ranges, which tensors are rounded, and how sensitive layers are found."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import onnx_file, onnx_int8, quantised, sensitivity
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import family_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

FAMILY = family_of("resnet", blocks=1)
ARCH = FAMILY.uniform(8, "separable")
IMAGES = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(0)) * 2 - 1
PLACE = Path("int8")


def source(net=None, loss=None, calibration=IMAGES):
    torch.manual_seed(0)
    arch, options = (ARCH, FAMILY.options) if net is None else (Arch.of("own", {}), {})
    net = (net or FAMILY.build(ARCH)).eval().requires_grad_(False)
    card = Card(options, 3, 3, (32, 32), 4)
    return ExportSource(net, arch, card, IMAGES[:1], tuple(calibration.split(1)), loss)


def run(model):
    return onnx_file.run_of(onnx_file.session(model.SerializeToString(), "int8"))


def simulated(model):
    """The graph as it is written, rounded to eight bits and computed in float.

    On x86 without VNNI the kernels in eight bits add products up in sixteen, which saturate.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return onnx_file.run_of(session)


@pytest.fixture(scope="module")
def model():
    return onnx_file.graph_of(source(), PLACE).model


@pytest.fixture(scope="module")
def layers(model):
    return quantised.layers_of(model)


@pytest.fixture(scope="module")
def ranges(model, layers):
    names = {name for one in layers for name in (one.source, one.result)}
    return quantised.ranges_of(model, names, IMAGES.split(1))


def test_layers_are_all_convolutions_behind_their_pads(layers):
    net = FAMILY.build(ARCH)
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == len(convs)
    assert sorted(a.groups for a in layers) == sorted(m.groups for m in convs)
    assert layers[0].source == "input" != layers[0].input  # the reflection before the first


@pytest.mark.parametrize("span", [(-1.0, 1.0), (0.0, 3.0), (-2.0, 0.5), (0.0, 0.0)])
def test_rounding_is_within_half_a_step_and_keeps_zero(span):
    step, zero = quantised.step_of(span)
    assert 0 <= zero <= 255
    values = np.linspace(*span, 1001, dtype=np.float32)
    assert np.abs(quantised.rounded(values, span) - values).max() <= step * 0.51
    assert quantised.rounded(np.zeros(1, np.float32), span) == 0


def test_ranges_hold_zero_and_are_within_what_was_seen(model, layers, ranges):
    seen = quantised.ranges_of(model, ranges.keys(), IMAGES.split(1), (1.0,))
    assert seen["input"] == (float(IMAGES.min()), float(IMAGES.max()))
    for name, (low, high) in ranges.items():
        assert seen[name][0] <= low <= 0 <= high <= seen[name][1]


def test_range_is_the_one_of_least_squared_error():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((1, 3, 96, 96), generator=generator).clamp(-2, 2)
    values[0, 0, 0, 0] = -2.4  # leaving it out makes finer steps for all others
    linear = onnx_file.graph_of(source(nn.Conv2d(3, 3, 1)), PLACE).model
    span = quantised.ranges_of(linear, ["input"], [values])["input"]
    whole = values.numpy()
    tries = [(-2.4000000953674316 * s, 2.0 * s) for s in quantised.SHRUNK]
    errors = [np.square(quantised.rounded(whole, r) - whole).mean() for r in tries]
    assert span == tries[int(np.argmin(errors))]


@pytest.mark.parametrize("outputs", [False, True])
def test_rounded_network_agrees_with_rounding_by_hand(outputs):
    net = nn.Conv2d(3, 5, 3)
    given = source(net)
    linear = onnx_file.graph_of(given, PLACE).model
    found = quantised.layers_of(linear)
    ranges = {"input": (-1.0, 1.0), found[0].result: (-2.0, 2.0)}
    made = quantised.quantised(linear, found, ranges, outputs=outputs)
    steps = net.weight.detach().abs().amax((1, 2, 3), keepdim=True) / 127
    weight = (net.weight.detach() / steps).round() * steps
    image = torch.from_numpy(quantised.rounded(IMAGES.numpy(), (-1.0, 1.0)))
    expected = nn.functional.conv2d(image, weight, net.bias.detach())
    # The end of the graph is not rounded, so both ways answer the same.
    assert (run(made)(IMAGES) - expected).abs().max() <= 1e-2 * outputs + 1e-5


@pytest.mark.parametrize("outputs", [False, True])
def test_no_layers_is_the_network_itself_and_all_are_near(outputs, model, layers, ranges):
    exact = run(model)(IMAGES)
    none = quantised.quantised(model, [], ranges, outputs=outputs)
    assert torch.equal(run(none)(IMAGES), exact)
    made = quantised.quantised(model, layers, ranges, outputs=outputs)
    onnx.checker.check_model(made, full_check=True)
    gap = (simulated(made)(IMAGES) - exact).abs()
    assert 0 < gap.mean() < 0.05
    whole = [t.name for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert sum(name.endswith(":8") for name in whole) == len(layers)
    pads = [n for n in made.graph.node if n.op_type == "Pad" and n.input[0].endswith(":8")]
    assert bool(pads) == outputs


def test_rounding_more_layers_is_further_from_float(model, layers, ranges):
    exact = run(model)(IMAGES)
    gaps = [
        (run(quantised.quantised(model, layers[:n], ranges, outputs=False))(IMAGES) - exact)
        .square()
        .mean()
        for n in (1, len(layers))
    ]
    assert gaps[0] < gaps[1]


@pytest.mark.parametrize("needed", [0, 1, 2, 5, 8, 9])
def test_fewest_floats_are_found_in_few_trials(needed):
    tried = []

    def lost(floats):
        tried.append(floats)
        return 0.5 if floats < needed else 0.01

    assert sensitivity.fewest(10, lost, 0.03) == (needed, 0.01)
    assert len(tried) == len(set(tried)) <= 8


def test_fewest_tells_the_loss_where_even_one_layer_loses_too_much():
    assert sensitivity.fewest(10, lambda floats: 1.0 - floats / 10, 0.03) == (9, pytest.approx(0.1))
    assert sensitivity.fewest(1, lambda floats: 0.5, 0.03) == (0, 0.5)
    floats, loss = sensitivity.fewest(4, lambda floats: float("nan"), 0.03)
    assert floats == 3 and loss != loss


class Fragile(nn.Module):
    """Its second convolution's rounding is multiplied by a thousand, the others' is not."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.first(x)
        return torch.tanh(self.last(y) * 0.1 + torch.sin(self.second(y) * 1000) * 0.2)


def test_sensitive_layer_stays_in_float_by_measurement(tmp_path):
    losses = []

    def loss(model):
        gaps = torch.stack([(model(x) - net(x)).abs().mean() for x in IMAGES.split(1)])
        losses.append(float(gaps.mean()))
        return losses[-1]

    net = Fragile()
    given = source(net, loss)
    written = onnx_int8.write(given, tmp_path)
    assert losses[0] > 0.03 >= losses[-1] or min(losses) <= 0.03
    assert "in float: " in written.note and "second" in written.note
    assert "last" not in written.note.split("in float: ")[1]
    assert onnx_file.load_run(written.path).card.precision == "int8"


def test_too_large_a_loss_is_one_sentence_and_nothing_is_written(tmp_path):
    with pytest.raises(ExportError, match=r"onnx-int8: loses 40.0% .* 3% is allowed, so leave it"):
        onnx_int8.write(source(loss=lambda model: 0.4), tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_to_measure_on_is_one_sentence(tmp_path):
    empty = ExportSource(source().net, ARCH, source().card, IMAGES[:1])
    with pytest.raises(ExportError, match="no training inputs to measure ranges on"):
        onnx_int8.write(empty, tmp_path)
    with pytest.raises(ExportError, match="onnx-int8: no convolution to round"):
        onnx_int8.write(source(nn.Tanh()), tmp_path)


def test_nothing_is_printed_and_nothing_left_beside(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    onnx_int8.write(source(), tmp_path / "out")
    captured = capfd.readouterr()
    assert captured.out == "" and "arning" not in captured.err
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
