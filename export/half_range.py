"""What half precision holds: which tensors pass its range, and how a graph answers in it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from gancompress.export.card import ExportSource, Model
from gancompress.export.onnx_file import fed, load_run, read, run_of, session

LARGEST = 65504.0  # the largest finite float16
SMALLEST = 2.0**-14  # below it float16 loses bits; below 2^-25 it is 0
# The images at hand are a sample: another may double a value, and devices that add up in half
# precision pass twice the result on the way.
ROOM = 4.0
IMAGES = 16  # Calibration images on which ranges are measured.


def beyond_half_of(source: ExportSource, model: Any) -> frozenset[str]:
    """`beyond_half` of the network's graph on its calibration images, measured once for a graph.

    model: what `onnx_file.graph_of` made of `source`.
    """
    if "beyond half" not in source.made:
        images = [source.example, *source.calibration[:IMAGES]]
        source.made["beyond half"] = beyond_half(model, images)
    found: frozenset[str] = source.made["beyond half"]
    return found


def beyond_half(model: Any, images: Sequence[Tensor]) -> frozenset[str]:
    """Names of the float32 tensors of a ModelProto that float16 cannot hold, with ROOM to spare.

    A tensor is one of them if its largest magnitude on `images`, each (1, C, H, W), is above
    LARGEST / ROOM or below SMALLEST * ROOM, 0 apart. A constant, which is the same for all images,
    is one if it overflows. Where one number, such as the epsilon of a norm, would lose bits or
    vanish, so is what is computed from it.
    """
    peaks = _peaks(model, images)
    found = {name for name, peak in peaks.items() if peak and not _is_held(peak, ROOM)}
    lost: set[str] = set()
    helper = importlib.import_module("onnx").numpy_helper
    for tensor in model.graph.initializer:
        value = helper.to_array(tensor)
        if value.dtype != np.float32 or not value.size or not (peak := np.abs(value).max()):
            continue
        if peak > LARGEST:
            found.add(tensor.name)
        elif peak < SMALLEST and value.ndim != 1:  # a small bias has a large sum beside it
            found.add(tensor.name)
            lost.update({tensor.name} if value.size == 1 else ())
    for node in model.graph.node:
        if lost & set(node.input):
            found.update(node.output)
    return frozenset(found)


def _is_held(peak: float, room: float) -> bool:
    return SMALLEST * room <= peak <= LARGEST / room


def _peaks(model: Any, images: Sequence[Tensor]) -> dict[str, float]:
    """The largest magnitude of every float32 tensor that a node makes."""
    onnx = importlib.import_module("onnx")
    known = onnx.shape_inference.infer_shapes(model).graph
    kind = onnx.TensorProto.FLOAT
    floats = {v.name for v in (*known.value_info, *known.output)
              if v.type.tensor_type.elem_type == kind}  # fmt: skip
    names = [name for node in model.graph.node for name in node.output if name in floats]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for i, name in enumerate(names):
        # Reduced at once: all activations together would not fit into memory.
        magnitude = onnx.helper.make_node("Abs", [name], [f"magnitude_{i}"])
        peak = onnx.helper.make_node("ReduceMax", [f"magnitude_{i}"], [f"peak_{i}"], keepdims=0)
        copy.graph.node.extend([magnitude, peak])
        copy.graph.output.append(onnx.helper.make_tensor_value_info(f"peak_{i}", kind, []))
    run = session(copy.SerializeToString(), "ranges")
    wanted = [f"peak_{i}" for i in range(len(names))]
    peaks = np.zeros(len(names))
    for image in images:
        told = run.run(wanted, fed(run, image))
        peaks = np.maximum(peaks, np.array(told, np.float64))  # NaN stays
    return dict(zip(names, peaks.tolist(), strict=True))


def load_rounded(path: Path) -> Model:
    """The ONNX file at `path` as a device computes it that has half precision.

    onnxruntime computes float16 in float32 on a CPU, where nothing overflows: this run rounds what
    every float16 node answers to float16, to infinity beyond its range. Sums inside of a node are
    float32, as in a GPU's matrix units. Raises: ExportError as `onnx_file.load_run`.
    """
    onnx = importlib.import_module("onnx")
    found = load_run(path)  # refuses what is none of ours
    model = rounded_everywhere(onnx.ModelProto.FromString(read(path, "an .onnx file")))
    run = run_of(session(model.SerializeToString(), str(path), is_literal=True))
    return replace(found, run=run)


def rounded_everywhere(model: Any) -> Any:
    """A ModelProto in float32 whose every tensor that was float16 is rounded to float16."""
    onnx = importlib.import_module("onnx")
    known = onnx.shape_inference.infer_shapes(model).graph
    half = {v.name for v in known.value_info
            if v.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}  # fmt: skip
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for part in ("node", "initializer", "value_info"):
        result.graph.ClearField(part)
    result.graph.initializer.extend(_single(onnx, tensor) for tensor in model.graph.initializer)
    for node in model.graph.node:
        result.graph.node.extend(_rounding(onnx, node, half))
    return result


def _single(onnx: Any, tensor: Any) -> Any:
    if tensor.data_type != onnx.TensorProto.FLOAT16:
        return tensor
    helper = onnx.numpy_helper
    return helper.from_array(helper.to_array(tensor).astype(np.float32), tensor.name)


def _rounding(onnx: Any, old: Any, half: set[str]) -> Iterator[Any]:
    """The node in float32, then for each output that was float16 its rounding."""
    kinds, make = onnx.TensorProto, onnx.helper.make_node
    node = onnx.NodeProto()
    node.CopyFrom(old)
    for attribute in node.attribute:
        if old.op_type == "Cast" and attribute.name == "to" and attribute.i == kinds.FLOAT16:
            attribute.i = kinds.FLOAT
        elif attribute.HasField("t"):
            attribute.t.CopyFrom(_single(onnx, attribute.t))
    for i, name in enumerate(old.output):
        if name in half:
            node.output[i] = f"{name}:exact"
    yield node
    for name in half.intersection(old.output):
        yield make("Cast", [f"{name}:exact"], [f"{name}:cast"], to=kinds.FLOAT16)
        # Between two casts that undo each other, so that no runtime leaves both out.
        yield make("Identity", [f"{name}:cast"], [f"{name}:kept"])
        yield make("Cast", [f"{name}:kept"], [name], to=kinds.FLOAT)
