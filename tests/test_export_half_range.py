"""Half precision as a device has it: nothing overflows, and ordinary networks stay as small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import half_range, onnx_file, onnx_half
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import Exported, write_all
from gancompress.nets.families import family_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
evaluators = pytest.importorskip("onnx.reference")

X = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
HEARD = 3e5  # times which the first convolution answers beyond float16, by weights within it


class Loud(nn.Module):
    """Convolutions whose answers only their norms bring back into float16's range."""

    def __init__(self, loudness: float = HEARD, norm: type[nn.Module] = nn.InstanceNorm2d) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), norm(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), norm(8), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.Tanh(),
        )  # fmt: skip
        with torch.no_grad():
            for parameter in self.net[0].parameters():
                parameter.mul_(loudness)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class GroupNormed(nn.GroupNorm):
    def __init__(self, channels: int) -> None:
        super().__init__(2, channels)


class Spread(nn.Module):
    """A norm by hand, of which the squares and the sum of squares are the largest numbers."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        return centred / (centred.square().sum((2, 3), keepdim=True) + 1e-8).sqrt() * 16


class Quiet(nn.Module):
    """Multiplies by what float16 rounds to 0, and divides by it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x * 1e-9 / ((x.abs() + 1) * 1e-9))


def source(net: nn.Module, x: Tensor = X) -> ExportSource:
    card = Card({}, 3, 3, tuple(x.shape[2:]), 4)
    net = net.eval().requires_grad_(False)
    return ExportSource(net, Arch.of("own", {}), card, x[:1], tuple(x.split(1)))


def exported(net: nn.Module, folder: Path) -> Exported:
    given = source(net)
    (one,) = write_all(
        given, formats=["onnx-fp16"], folder=folder / "m", reference=given.net, inputs=X.split(1)
    )
    return one


def in_half(path: Path, x: Tensor = X) -> Tensor:
    """The answer of onnx's own evaluator, which has float16 numbers."""
    (out,) = evaluators.ReferenceEvaluator(str(path)).run(None, {"input": x.numpy()})
    return torch.from_numpy(np.asarray(out))


LOUD = [Loud(), Loud(norm=nn.BatchNorm2d), Loud(norm=GroupNormed), Loud(3e4, Spread), Quiet()]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("net", LOUD, ids=["instance", "batch", "group", "by hand", "quiet"])
def test_values_that_half_precision_cannot_hold_are_right_in_its_file(
    net: nn.Module, tmp_path: Path
) -> None:
    if isinstance(net, Loud) and isinstance(net.net[1], nn.BatchNorm2d):
        net.train()(X)  # statistics of loud values
    one = exported(net, tmp_path)
    got, expected = in_half(one.path), net(X)
    assert expected.std() > 0.05 and got.isfinite().all()
    assert (got - expected).abs().max() <= 0.02
    assert one.precision == "float16" and one.difference <= 0.02


def test_loud_network_is_named_in_the_note_and_most_of_it_is_halved(tmp_path: Path) -> None:
    net = Loud()
    one = exported(net, tmp_path)
    assert "1 nodes stay float32, whose values float16 cannot hold" in one.note
    weights = {t.data_type for t in onnx.load(one.path).graph.initializer if len(t.dims) == 4}
    assert weights == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
def test_file_with_an_overflow_is_refused_though_onnxruntime_does_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_half, "beyond_half_of", lambda source, model: frozenset())
    path = onnx_half.write(source(Loud()), tmp_path).path
    assert onnx_file.load_run(path)(X).isfinite().all()
    assert in_half(path).isnan().any() and half_range.load_rounded(path)(X).isnan().any()
    with pytest.raises(ExportError, match="differs from the supernet's own output by nan"):
        exported(Loud(), tmp_path)


@pytest.mark.parametrize("op", ["dense", "separable"])
def test_ordinary_network_keeps_no_more_in_float32_and_rounds_as_onnx_does(
    op: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    family = family_of("resnet", blocks=1)
    given = source(family.build(family.uniform(4, op)))
    graph = onnx_file.graph_of(given, tmp_path).model
    beyond = half_range.beyond_half(graph, X.split(1))
    assert onnx_half.kept_for_range(graph, beyond) == []
    written = onnx_half.write(given, tmp_path)
    assert "stay float32" not in written.note
    rounded = half_range.load_rounded(written.path)(X)
    torch.testing.assert_close(rounded, in_half(written.path), atol=4e-3, rtol=0)
    assert (rounded - onnx_file.load_run(written.path)(X)).abs().max() > 1e-5


def scaled(factor: float, value: np.ndarray[Any, Any]) -> Any:
    """A graph of one product: input times `value`, and then times `factor`."""
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Mul", ["input", "value"], ["middle"]),
             helper.make_node("Mul", ["middle", "factor"], ["output"])]  # fmt: skip
    shape = [1, 1, 2, 2]
    ends = [helper.make_tensor_value_info(n, kinds.FLOAT, shape) for n in ("input", "output")]
    constants = {"value": value, "factor": np.array(factor)}
    held = [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


PLANE = np.ones((1, 1, 2, 2))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (scaled(1, PLANE), set()),
        (scaled(1, PLANE * 16375), set()),  # 65504 / 4 = 16376
        (scaled(1, PLANE * 16377), {"middle", "output"}),
        (scaled(1e-4, PLANE * 16377), {"middle"}),
        (scaled(1e-5, PLANE * 7e4), {"value", "middle", "factor", "output"}),
        (scaled(1e-6, PLANE * 1e3), {"factor", "output"}),
        (scaled(0, PLANE), set()),
    ],
)
def test_what_is_beyond_half_precision(model: Any, expected: set[str]) -> None:
    assert half_range.beyond_half(model, [torch.ones(1, 1, 2, 2)]) == expected


@pytest.mark.parametrize(("loudness", "is_warned"), [(HEARD, True), (1, False)])
def test_openvino_files_warn_of_devices_that_compute_in_float16(
    loudness: float, is_warned: bool, tmp_path: Path
) -> None:
    openvino_file = pytest.importorskip("gancompress.export.openvino_file")
    pytest.importorskip("openvino")
    given = source(Loud(loudness))
    for write in (openvino_file.write, openvino_file.write_16bit):
        note = write(given, tmp_path).note
        assert ("set INFERENCE_PRECISION_HINT to f32" in note) == is_warned
