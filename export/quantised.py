"""An ONNX graph whose convolutions compute in 8 bits, written by onnxruntime's quantiser.

What it lacks is ours: which layers to leave in float by measurement (`sensitivity`), exact inputs
for these, and padding in 8 bits.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from gancompress.export.onnx_file import fed, session

# This percentage of a tensor's values is in its range: outliers would coarsen all others. Mean
# difference to float32, and that of the worst of 150 images, of a quickstart's generator in
# OpenVINO: 0.0186 and 0.044; 99.99 % 0.0193 and 0.068, whole ranges 0.0200 and 0.057.
PERCENTILE = 99.999
CONVOLUTIONS = ("Conv", "ConvTranspose")
_INFERRED = {"onnx.infer": "onnxruntime.quant"}  # spares the quantiser its own shape inference


@dataclass(frozen=True)
class QuantisedConv:
    """A convolution whose weights are constants, by its names; groups: 1 for dense ones.

    relu: the node of a ReLU that alone reads it, which rounding to its range then replaces.
    """

    node: str
    kind: str
    weight: str
    relu: str
    groups: int


def layers_of(model: Any) -> tuple[QuantisedConv, ...]:
    """The convolutions of a ModelProto, in its order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type not in CONVOLUTIONS or node.input[1] not in constants:
            continue
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "ConvTranspose" and groups > 1:
            continue  # its weights hold the outputs of one group alone, on no axis of their own
        after = [other for other in model.graph.node if node.output[0] in other.input]
        relu = after[0].name if [other.op_type for other in after] == ["Relu"] else ""
        found.append(QuantisedConv(node.name, node.op_type, node.input[1], relu, groups))
    return tuple(found)


def ranges_of(model: Any, images: Sequence[Tensor]) -> Any:
    """Ranges of what convolutions read and answer, as the TensorsData that `quantised` takes.

    images: each (1, C, H, W); read one by one, as the tensors of all would not fit into memory.
    """
    onnx = importlib.import_module("onnx")
    tool = importlib.import_module("onnxruntime.quantization")
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path, augmented = Path(folder, "model.onnx"), Path(folder, "augmented.onnx")
        onnx.save_model(model, path)
        calibrater = tool.create_calibrator(
            path,
            [*CONVOLUTIONS, "Relu"],
            str(augmented),
            calibrate_method=tool.CalibrationMethod.Percentile,
            extra_options={"percentile": PERCENTILE},
        )
        # Its own session takes all of the machine's threads.
        calibrater.infer_session = session(augmented.read_bytes(), str(augmented), is_literal=True)
        for image in images:
            calibrater.collect_data(Reader(iter([fed(calibrater.infer_session, image)])))
        return calibrater.compute_data()


@dataclass(frozen=True)
class Reader:
    """What calibraters ask for their inputs."""

    inputs: Iterator[dict[str, Any]]

    def get_next(self) -> dict[str, Any] | None:
        return next(self.inputs, None)


def quantised(model: Any, layers: Sequence[QuantisedConv], ranges: Any, *, outputs: bool) -> Any:
    """A ModelProto that computes `layers` on rounded inputs and weights, the others as before.

    ranges: of `ranges_of`. outputs: round what the layers answer as well, and pad in 8 bits.
    """
    if not layers:
        return model  # The quantiser takes no names for all.
    onnx = importlib.import_module("onnx")
    tool = importlib.import_module("onnxruntime.quantization")
    known = onnx.shape_inference.infer_shapes(model)
    onnx.helper.set_model_props(known, _INFERRED)
    chosen = [layer.node for layer in layers]
    if outputs:
        chosen += [layer.relu for layer in layers if layer.relu]
    quantiser = tool.QDQQuantizer(
        known,
        per_channel=True,
        reduce_range=False,
        weight_qType=tool.QuantType.QInt8,
        activation_qType=tool.QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=chosen,
        nodes_to_exclude=[],
        op_types_to_quantize=[*CONVOLUTIONS, "Relu"],
        extra_options={"OpTypesToExcludeOutputQuantization": () if outputs else CONVOLUTIONS},
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()
    result = quantiser.model.model
    _read_exact(result.graph, chosen, outputs)
    result.graph.ClearField("value_info")  # it is as before, and a twentieth of a small file
    onnx.helper.set_model_props(result, {})
    if outputs:
        _pad_rounded(result.graph)
    return result


def _read_exact(graph: Any, chosen: Collection[str], outputs: bool) -> None:
    """Lets nodes that are not `chosen` read exact values again, but for `outputs` of chosen ones.

    The quantiser rounds a tensor for all that read it, so a layer that is left in float for its
    sensitivity would read what was rounded for its neighbour.
    """
    rounded = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"}
    back = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in rounded]
    exact = {n.output[0]: rounded[n.input[0]] for n in back}
    made = {name for n in graph.node if n.name in chosen for name in n.output}
    for node in graph.node:
        for i, name in enumerate(() if node.name in chosen else node.input):
            if name in exact and not (outputs and exact[name] in made):
                node.input[i] = exact[name]


def _pad_rounded(graph: Any) -> None:
    """Puts paddings that copy values of their input behind the rounding that reads them.

    They then move a quarter of the bytes: a dense ResNet-9 of width 32 at 256x256 took 89 ms of one
    thread instead of 100.
    """
    readers = [name for node in graph.node for name in node.input]
    pads = {node.output[0]: node for node in graph.node if _copies(node)}
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if pad is None or readers.count(pad.output[0]) > 1:
            continue
        first, second = type(node)(), type(node)()
        first.CopyFrom(node)
        second.CopyFrom(pad)
        first.input[0], first.output[0] = pad.input[0], pad.output[0]
        second.input[0], second.output[0] = pad.output[0], node.output[0]
        pad.CopyFrom(first)
        node.CopyFrom(second)


def _copies(node: Any) -> bool:
    return node.op_type == "Pad" and any(
        a.name == "mode" and a.s in (b"reflect", b"edge") for a in node.attribute
    )
