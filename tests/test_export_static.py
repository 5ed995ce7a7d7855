"""A file of one size has constants alone for shapes, and answers as the one of free sizes does."""

import pytest
import torch

from gancompress.export import onnx_file
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import Bands

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RESNET = family_of("resnet", blocks=1)
MADE = {
    "plain": RESNET.arch([4, 4, 4, 4, 4, 4], "separable"),
    "octave": RESNET.arch([16, 16, 16, 16, 16, 16], "dense", Bands(0.5)),
}


def source(arch):
    torch.manual_seed(0)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    net = RESNET.build(arch).eval().requires_grad_(False)
    return ExportSource(net, arch, Card(RESNET.options, 3, 3, (32, 32), RESNET.multiple(arch)), x)


@pytest.mark.parametrize("name", MADE)
def test_static_graph_computes_no_shapes_and_agrees_with_the_free_one(name, tmp_path):
    given = source(MADE[name])
    written = onnx_file.write_static(given, tmp_path)
    assert written.is_static and written.path.name == "model-static.onnx"
    graph = onnx.load(written.path).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"Gather", "Range", "ConstantOfShape", "NonZero", "If", "Loop"}
    shapes = [node for node in graph.node if node.op_type == "Shape"]
    ends = {a.i for node in shapes for a in node.attribute if a.name == "end"}
    assert (not shapes) if name == "plain" else ends <= {1, 2}  # of batch and channels alone
    dims = graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, 32, 32]
    free, fixed = (
        onnx_file.load_run(one.path) for one in (onnx_file.write(given, tmp_path), written)
    )
    x = torch.cat([given.example, -given.example])
    assert (free(x) - fixed(x)).abs().max() <= 2e-6 and fixed.card.is_static


def test_graph_and_program_are_made_once_for_all_formats(tmp_path):
    given = source(MADE["plain"])
    one = onnx_file.graph_of(given, tmp_path)
    assert onnx_file.graph_of(given, tmp_path) is one
    static = onnx_file.graph_of(given, tmp_path, is_static=True)
    assert static is not one and static.card.is_static and not one.card.is_static


def test_graph_of_a_fixed_card_is_the_static_one(tmp_path):
    given = source(MADE["plain"])
    fixed = ExportSource(given.net, given.arch, given.card.static(), given.example)
    assert onnx_file.graph_of(fixed, tmp_path) is onnx_file.graph_of(
        fixed, tmp_path, is_static=True
    )
