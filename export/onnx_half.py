"""The generator as `model-fp16.onnx`: weights and computing in half precision.

onnxruntime's converter halves the graph. Which nodes stay float32 is ours: by itself it leaves sums
that overflow in float16, and casts to float16 between two nodes that stay float32.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from gancompress.errors import ExportError
from gancompress.export.card import ExportSource, Written
from gancompress.export.half_range import beyond_half_of
from gancompress.export.onnx_file import graph_of, save
from gancompress.export.program import first_line

MODEL = "model-fp16.onnx"
SLOW = "for GPUs and browsers; on a CPU onnxruntime computes it in float32, no faster"
# A sum over 256x256 pixels passes half precision's largest number, 65504, at a mean of 1.
_SUMS = ("Reduce", "InstanceNorm", "LayerNorm", "GroupNorm", "BatchNorm", "LpNorm", "GlobalAverage")
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_STEPS = ("Mul", "Add", "Sub", "Div", "Pow", "Abs", "Sqrt", "Reciprocal", "Neg")


def write(source: ExportSource, folder: Path) -> Written:
    """Writes one file. `input` and `output` stay float32; sums over the picture do, too.

    So do the nodes around values that float16 cannot hold, as measured on the calibration images:
    see `half_range.beyond_half`.
    Raises: ExportError as `graph_of`, CheckpointError if the folder cannot be written.
    """
    path = folder / MODEL
    graph = graph_of(source, path)
    beyond = beyond_half_of(source, graph.model)
    kept = kept_for_range(graph.model, beyond)
    range_note = f"{len(kept)} nodes stay float32, whose values float16 cannot hold" if kept else ""
    note = "; ".join(text for text in (graph.note, range_note, SLOW) if text)
    card = replace(graph.card, precision="float16")
    model = halved(graph.model, path, beyond)
    return save(replace(graph, model=model, card=card, note=note), source, path)


def kept_for_range(model: Any, beyond: Collection[str]) -> list[str]:
    """The nodes that stay float32 because of the tensors `beyond` alone, by their operators."""
    onnx = importlib.import_module("onnx")
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return [known.node[i].op_type for i in sorted(_wide(known, beyond) - _wide(known))]


def halved(model: Any, path: Path, beyond: Collection[str] = ()) -> Any:
    """The ModelProto with float16 in the place of float32, but for its ends, sums and statistics.

    beyond: the tensors that float16 cannot hold; what makes or reads one stays float32.
    Raises: ExportError naming `path` if onnx.checker refuses what comes out.
    """
    onnx = importlib.import_module("onnx")
    tool = importlib.import_module("onnxruntime.transformers.float16")
    sorting = importlib.import_module("onnxruntime.quantization.onnx_model")
    known = onnx.shape_inference.infer_shapes(model, data_prop=True)
    result = tool.convert_float_to_float16(
        known,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[],
        node_block_list=[known.graph.node[i].name for i in _wide(known.graph, beyond)],
    )
    result.graph.ClearField("value_info")  # the converter leaves wrong types of cast tensors
    _drop_detours(result.graph, onnx.TensorProto)
    sorting.ONNXModel(result).topological_sort()
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: no half precision form ({first_line(error)})") from error
    return result


def _drop_detours(graph: Any, kinds: Any) -> None:
    """Leads past the casts to float16 and back between two nodes that stay float32.

    The converter casts what any node makes, and a value that float16 cannot hold would be lost.
    """
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    to = {n: next(a.i for a in cast.attribute if a.name == "to") for n, cast in casts.items()}
    for name, cast in casts.items():
        if to[name] == kinds.FLOAT and to.get(cast.input[0]) == kinds.FLOAT16:
            cast.input[0] = casts[cast.input[0]].input[0]
    read = {name for node in graph.node for name in node.input} | {v.name for v in graph.output}
    for name in casts.keys() - read:
        graph.node.remove(casts[name])


def _wide(graph: Any, beyond: Collection[str] = ()) -> set[int]:
    """Indices of the nodes that keep float32: sums, one number for each channel, and what leads in.

    A step that feeds sums alone is one of them: a square overflows before it is summed. Nodes that
    make or read a tensor of `beyond` are others.
    """
    values = (*graph.input, *graph.output, *graph.value_info)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    users: dict[str, list[int]] = {}
    for i, node in enumerate(graph.node):
        for name in node.input:
            users.setdefault(name, []).append(i)
    ends = {v.name for v in graph.output}
    found: set[int] = set()
    for i in reversed(range(len(graph.node))):
        node = graph.node[i]
        small = all(shapes.get(name, [])[2:] == [1, 1] for name in node.output)
        after = [j for name in node.output for j in users.get(name, ())]
        leads = node.op_type in _STEPS and after and not ends & set(node.output)
        if (
            node.op_type.startswith(_SUMS)
            or (small and node.op_type not in _PRODUCTS)
            or (leads and all(j in found for j in after))
            or not set(beyond).isdisjoint((*node.input, *node.output))
        ):
            found.add(i)
    return found
