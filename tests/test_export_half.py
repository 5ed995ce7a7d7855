"""Half precision: what is halved, what is not, and that the answer hardly moves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import onnx_file, onnx_half, verify
from gancompress.export.card import Card, ExportSource
from gancompress.export.formats import FORMATS
from gancompress.nets.families import family_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

X = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
PLACE = Path("half")


def graph(net, x=X[:1]):
    card = Card({}, x.shape[1], x.shape[1], tuple(x.shape[2:]), 1)
    given = ExportSource(net.eval().requires_grad_(False), Arch.of("own", {}), card, x)
    return onnx_file.graph_of(given, PLACE).model


def run(model):
    return onnx_file.run_of(onnx_file.session(model.SerializeToString(), "half"))


def kinds(model, op):
    """Element types of the first inputs of the nodes of that operator."""
    known = onnx.shape_inference.infer_shapes(model).graph
    values = (*known.input, *known.output, *known.value_info)
    types = {v.name: v.type.tensor_type.elem_type for v in values}
    return {types[node.input[0]] for node in known.node if node.op_type == op}


def test_weights_are_halved_and_ends_and_norms_are_not():
    torch.manual_seed(0)
    family = family_of("resnet", blocks=1)
    whole = graph(family.build(family.uniform(4, "separable")))
    half = onnx_half.halved(whole, PLACE)
    ends = (*half.graph.input, *half.graph.output)
    assert {e.type.tensor_type.elem_type for e in ends} == {onnx.TensorProto.FLOAT}
    assert [e.name for e in ends] == ["input", "output"]
    assert kinds(half, "Conv") == kinds(half, "ConvTranspose") == {onnx.TensorProto.FLOAT16}
    assert kinds(half, "InstanceNormalization") == {onnx.TensorProto.FLOAT}
    heavy = [t for t in half.graph.initializer if len(t.dims) == 4]
    assert heavy and {t.data_type for t in heavy} == {onnx.TensorProto.FLOAT16}
    assert (run(half)(X) - run(whole)(X)).abs().max() <= 0.01


def test_halved_weights_are_the_rounded_ones():
    net = nn.Conv2d(3, 3, 1)
    half = onnx_half.halved(graph(net), PLACE)
    expected = net.weight.detach().numpy().astype(np.float16)
    weights = [t for t in half.graph.initializer if len(t.dims) == 4]
    assert np.array_equal(onnx.numpy_helper.to_array(weights[0]), expected)


class Loud(nn.Module):
    """Divides by the root of a sum of squares that half precision cannot hold."""

    def forward(self, x):
        loud = x * 300
        return loud / ((loud * loud).sum((2, 3), keepdim=True) + 1).sqrt()


class Bare(nn.Module):
    """Its answer is read again inside: the end is cast, the inner reader is not."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return torch.relu(self.conv(torch.relu(self.conv(x)) + x)) * 2


@pytest.mark.parametrize("net", [Loud(), Bare(), nn.Upsample(scale_factor=2)])
def test_halved_network_agrees(net):
    torch.manual_seed(0)
    whole = graph(net)
    half = onnx_half.halved(whole, PLACE)
    assert (run(half)(X) - run(whole)(X)).abs().max() <= 2e-3
    assert whole != half  # the one that other formats share is as it was
    assert all(v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for v in whole.graph.output)


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if not f.is_float32])
def test_another_networks_answer_is_refused_by_the_mean_where_pixels_may_differ(name, monkeypatch):
    entry = FORMATS[name]
    assert entry.mean_tolerance is not None
    monkeypatch.setattr(verify, "require", lambda name: replace(entry, tolerance=2.0))
    near, far = (lambda x: x + 0.9 * entry.mean_tolerance), (lambda x: -x)
    same = verify.verify(Path("m"), name, lambda x: x, [X], lambda path: near)
    assert same == pytest.approx(0.9 * entry.mean_tolerance, rel=1e-3)
    with pytest.raises(ExportError, match="m: in the mean differs from the supernet's own output"):
        verify.verify(Path("m"), name, lambda x: x, [X], lambda path: far)


def test_file_says_its_precision_and_that_a_cpu_gains_nothing(tmp_path):
    family = family_of("resnet", blocks=1)
    torch.manual_seed(0)
    net = family.build(family.uniform(4)).eval().requires_grad_(False)
    given = ExportSource(net, family.uniform(4), Card(family.options, 3, 3, (16, 16), 4), X[:1])
    written = onnx_half.write(given, tmp_path)
    assert "on a CPU" in written.note and not written.is_static
    loaded = onnx_file.load_run(written.path)
    assert loaded.card.precision == "float16" and loaded(X).dtype == torch.float32
