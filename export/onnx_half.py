"""The generator as `model-fp16.onnx`: weights and computing in half precision."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

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
_SINGLE = {"Resize": (1, 2)}  # inputs that are float32 whatever the image is: regions and scales


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
    known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kinds = _float_values(known, onnx.TensorProto.FLOAT)
    halving = _Halving(onnx, result.graph, kinds, _wide(known, beyond))
    nodes = halving.nodes()
    constants = list(halving.constants(nodes))
    for part in ("node", "initializer", "value_info"):
        result.graph.ClearField(part)
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants)
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: no half precision form ({first_line(error)})") from error
    return result


def _float_values(graph: Any, kind: int) -> set[str]:
    """Names of all float32 tensors."""
    values = (*graph.input, *graph.output, *graph.value_info)
    names = {v.name for v in values if v.type.tensor_type.elem_type == kind}
    return names | {t.name for t in graph.initializer if t.data_type == kind}


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


@dataclass
class _Halving:
    """Walks a graph once, in its order, and casts wherever precisions meet.

    names: of each float tensor in float32 (False) and in float16 (True), as far as it is at hand.
    """

    onnx: Any
    graph: Any
    floats: set[str]
    wide: set[int]
    names: dict[bool, dict[str, str]] = field(default_factory=dict)

    def nodes(self) -> list[Any]:
        """The nodes of the halved graph."""
        made: list[Any] = []
        self.names = {False: {name: name for name in self.floats}, True: {}}
        ends = {value.name: f"{value.name}:half" for value in self.graph.output}
        for i, old in enumerate(self.graph.node):
            node = self.onnx.NodeProto()
            node.CopyFrom(old)
            is_half = i not in self.wide and bool(self.floats & set(old.input))
            single = _SINGLE.get(node.op_type, ())
            for j, name in enumerate(old.input):
                if name in self.floats:
                    node.input[j] = self._as(name, is_half and j not in single, made)
            made.append(node)
            for j, name in enumerate(old.output) if is_half else ():
                if name in self.floats:
                    node.output[j] = self.names[True][name] = ends.get(name, name)
                    del self.names[False][name]
        for name in ends:
            if name not in self.names[False]:
                made.append(self._cast(self.names[True][name], name, is_half=False))
        return made

    def _as(self, name: str, is_half: bool, made: list[Any]) -> str:
        """`name` in that precision, cast at its first use."""
        names, others = self.names[is_half], self.names[not is_half]
        if name not in names:
            names[name] = f"{name}:{'half' if is_half else 'wide'}"
            if all(name != tensor.name for tensor in self.graph.initializer):
                made.append(self._cast(others[name], names[name], is_half))
        return names[name]

    def _cast(self, name: str, renamed: str, is_half: bool) -> Any:
        kind = self.onnx.TensorProto.FLOAT16 if is_half else self.onnx.TensorProto.FLOAT
        return self.onnx.helper.make_node("Cast", [name], [renamed], f"cast_{renamed}", to=kind)

    def constants(self, nodes: Sequence[Any]) -> Iterable[Any]:
        """The weights that the nodes read, in the precision of the name that they read."""
        helper, used = self.onnx.numpy_helper, {name for node in nodes for name in node.input}
        for tensor in self.graph.initializer:
            if tensor.name in used:
                yield tensor
            if (half := self.names[True].get(tensor.name)) in used:
                yield helper.from_array(helper.to_array(tensor).astype(np.float16), half)
