"""The generator as `model.onnx` or `model-static.onnx`, run by onnxruntime. Needs extra `onnx`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.card import (
    Card,
    ExportSource,
    Model,
    Run,
    Written,
    manifest_text,
    read_manifest,
)
from gancompress.export.program import Traced, first_line, traced, uncollected
from gancompress.export.smallterms import keep_small_terms
from gancompress.nets.traced.facts import NAMES
from gancompress.storage.checkpoint import write_bytes

MODEL, STATIC = "model.onnx", "model-static.onnx"
MANIFEST = "gancompress"  # the key of the model's metadata that holds `card.manifest`
OPSET = 20  # the newest that torch's exporter writes itself, without a version conversion


@dataclass(frozen=True)
class Graph:
    """A network as an ONNX ModelProto, which nobody changes; the card says if the size is fixed."""

    model: Any
    card: Card
    note: str


def write(source: ExportSource, folder: Path) -> Written:
    """Writes one file with the weights inside; its input and output are (N, C, H, W), in the
    card's value range, by the card's names.

    Batch, height and width are free, or batch alone with a note why.
    Raises: ExportError as `graph_of`, CheckpointError if the folder cannot be written.
    """
    path = folder / MODEL
    return save(graph_of(source, path), source, path)


def write_static(source: ExportSource, folder: Path) -> Written:
    """`write` for the card's height and width alone: every shape but the batch's is a constant.

    The batch stays free: fixing it too won nothing in onnxruntime (52.4 ms against 52.5, 256x256).
    """
    path = folder / STATIC
    return save(graph_of(source, path, is_static=True), source, path)


def save(graph: Graph, source: ExportSource, path: Path) -> Written:
    """Writes `graph` with its manifest. Raises: CheckpointError as `write_bytes`."""
    write_bytes(path, content(graph.model, manifest_text(source.arch, graph.card)))
    return Written(path, (path,), graph.card.is_static, graph.note)


def graph_of(source: ExportSource, path: Path, *, is_static: bool = False) -> Graph:
    """The network's ONNX graph, made once for all formats that need it; `path` is for errors.

    Raises: ExportError if the network has no ONNX form or the checker refuses it.
    """
    key = "static onnx" if is_static or source.card.is_static else "onnx"
    if key not in source.made:
        source.made[key] = _converted(traced(source, is_static=key != "onnx"), path)
    graph: Graph = source.made[key]
    return graph


def _converted(program: Traced, path: Path) -> Graph:
    """Goes through `trace`: by itself the exporter tries on where an axis cannot be free.

    It then writes a file that is wrong.
    """
    try:
        with uncollected():
            made = torch.onnx.export(
                keep_small_terms(program.program),
                (),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=[NAMES[0]],
                output_names=[NAMES[1]],
                dynamic_shapes=(program.axes,),  # here for the names of the axes alone
                verbose=False,
            )
    except RuntimeError as error:  # torch.onnx.OnnxExporterError is one
        raise ExportError(f"{path}: this network has no ONNX form ({first_line(error)})") from error
    return Graph(_checked(made, program.card.names, path), program.card, program.note)


def _name(graph: Any, names: tuple[str, str]) -> None:
    """Gives the one input and output of a graph these names, which no other value may keep."""
    (taken,), (given,) = graph.inputs, graph.outputs
    values = [*graph.initializers.values(), *(v for node in graph for v in node.outputs)]
    for value in values:
        if value.name in names and value is not given:
            value.name = f"{value.name}_inside"
    taken.name, given.name = names


def _checked(program: Any, names: tuple[str, str], path: Path) -> Any:
    """The checked ModelProto, without the exporter's notes on each node; names: of its ends.

    The notes hold paths of the machine that exported, and outweigh a small generator.
    """
    onnx = importlib.import_module("onnx")
    model = program.model
    _name(model.graph, names)
    for node in model.graph:
        node.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    proto = program.model_proto
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: refused by onnx.checker ({first_line(error)})") from error
    return proto


def content(model: Any, about: str) -> bytes:
    """The bytes of a ModelProto with the manifest `about`; equal models give equal bytes."""
    onnx = importlib.import_module("onnx")
    told = onnx.ModelProto()
    told.CopyFrom(model)
    onnx.helper.set_model_props(told, {MANIFEST: about})
    whole: bytes = told.SerializeToString(deterministic=True)
    return whole


def session(model: bytes, where: str, *, is_literal: bool = False) -> Any:
    """An onnxruntime session on the CPU with as many threads as torch has now.

    is_literal: every node runs as it stands, none is fused or left out.
    Raises: ExportError naming `where` if the bytes are no ONNX model.
    """
    runtime = importlib.import_module("onnxruntime")
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone: its warnings name nodes, which help no user
    if is_literal:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    broken = (
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.InvalidArgument,
        state.NotImplemented,
        state.Fail,
    )
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except broken:
        raise ExportError(f"{where}: truncated or not an ONNX model; export it again") from None


def run_of(made: Any) -> Run:
    """A session of ours as a function of tensors on the CPU."""

    def run(x: Tensor) -> Tensor:
        (out,) = made.run(None, fed(made, x))
        return torch.from_numpy(out)

    return run


def fed(made: Any, x: Tensor) -> dict[str, Any]:
    """A tensor as a session of one input takes it."""
    (taken,) = made.get_inputs()
    return {taken.name: x.detach().cpu().contiguous().numpy()}


def load_run(path: Path) -> Model:
    """The model in `path` under onnxruntime on the CPU, with as many threads as torch has now.

    Raises: ExportError if the file is missing, truncated or none of ours.
    """
    made = session(read(path, "an .onnx file"), str(path))
    text = made.get_modelmeta().custom_metadata_map.get(MANIFEST, "")
    arch, card = read_manifest(text, str(path))
    return Model(run_of(made), arch, card, str(path))


def read(path: Path, wanted: str) -> bytes:
    """A file's bytes. Raises: ExportError saying what is `wanted` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ExportError(f"{path}: cannot be read ({reason}); give {wanted}") from None
