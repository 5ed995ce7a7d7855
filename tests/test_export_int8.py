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
tool = pytest.importorskip("onnxruntime.quantization")
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
def ranges(model):
    return quantised.ranges_of(model, IMAGES.split(1))


def test_layers_are_all_convolutions(layers):
    net = FAMILY.build(ARCH)
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == len(convs)
    assert sorted(a.groups for a in layers) == sorted(m.groups for m in convs)


def test_ranges_are_what_was_seen_but_for_outliers():
    values = torch.rand((1, 3, 512, 512), generator=torch.Generator().manual_seed(0)) * 4 - 2
    values[0, 0, 0, 0] = 50.0  # left out, so that all others keep their fine steps
    linear = onnx_file.graph_of(source(nn.Conv2d(3, 3, 1)), PLACE).model
    low, high = quantised.ranges_of(linear, [values, values / 2])["input"].range_value
    assert (low, high) == (pytest.approx(-2, abs=0.05), pytest.approx(2, abs=0.05))


@pytest.mark.parametrize("outputs", [False, True])
def test_rounded_network_agrees_with_rounding_by_hand(outputs):
    net = nn.Conv2d(3, 5, 3)
    given = source(net)
    linear = onnx_file.graph_of(given, PLACE).model
    found = quantised.layers_of(linear)
    spans = {"input": (-1.0, 1.0), "output": (-2.0, 2.0)}
    ends = {name: tuple(map(np.float32, span)) for name, span in spans.items()}
    ranges = tool.TensorsData(tool.CalibrationMethod.MinMax, ends)
    made = quantised.quantised(linear, found, ranges, outputs=outputs)
    steps = net.weight.detach().abs().amax((1, 2, 3), keepdim=True) / 127
    weight = (net.weight.detach() / steps).round() * steps
    image = rounded(IMAGES, -1.0, 1.0)
    expected = nn.functional.conv2d(image, weight, net.bias.detach())
    step = 4 / 255 if outputs else 0.0
    assert (simulated(made)(IMAGES) - expected).abs().max() <= step / 2 + 1e-3


def rounded(x, low, high):
    step = (high - low) / 255
    zero = round(-low / step)
    return ((x / step + zero).round().clamp(0, 255) - zero) * step


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
    assert {f"{layer.weight}_quantized" for layer in layers} <= set(whole)


def test_padding_in_eight_bits_answers_as_padding_in_float(monkeypatch, model, layers, ranges):
    made = quantised.quantised(model, layers, ranges, outputs=True)
    rounded = {n.output[0] for n in made.graph.node if n.op_type == "QuantizeLinear"}
    pads = [n for n in made.graph.node if n.op_type == "Pad"]
    assert pads and all(n.input[0] in rounded for n in pads)
    monkeypatch.setattr(quantised, "_pad_rounded", lambda graph: None)
    plain = quantised.quantised(model, layers, ranges, outputs=True)
    assert torch.equal(simulated(made)(IMAGES), simulated(plain)(IMAGES))


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
