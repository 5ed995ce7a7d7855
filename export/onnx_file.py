"""The generator as `model.onnx`, run by onnxruntime. Needs the `onnx` extra."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.checkpoint import write_bytes
from gancompress.errors import ExportError
from gancompress.export.card import Model, Source, Written, manifest_text, read_manifest
from gancompress.export.program import first_line, trace

MODEL = "model.onnx"
MANIFEST = "gancompress"  # the key of the model's metadata that holds `card.manifest`
OPSET = 20  # the newest that torch's exporter writes itself, without a version conversion


def write(source: Source, folder: Path) -> Written:
    """Writes one file with the weights inside; `input` and `output` as (N, C, H, W) in [-1, 1].

    Batch, height and width are free, or batch alone with a note why. Goes through `trace`, as the
    exporter by itself tries on where an axis cannot be free, and writes a file that is wrong there.
    Raises: ExportError if the network has no ONNX form or the checker refuses it, CheckpointError
    if the folder cannot be written.
    """
    traced, path = trace(source.net, source.card, source.example), folder / MODEL
    try:
        program = torch.onnx.export(
            traced.program,
            (),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=(traced.axes,),  # here for the names of the axes alone
            verbose=False,
        )
    except RuntimeError as error:  # torch.onnx.OnnxExporterError is one
        raise ExportError(f"{path}: this network has no ONNX form ({first_line(error)})") from error
    write_bytes(path, _content(program, manifest_text(source.arch, traced.card), path))
    return Written(path, (path,), traced.card.is_static, traced.note)


def _content(program: Any, about: str, path: Path) -> bytes:
    """The checked model's bytes, without the exporter's notes on each node.

    The notes hold paths of the machine that exported, and outweigh a small generator.
    """
    onnx = importlib.import_module("onnx")
    model = program.model
    for node in model.graph:
        node.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.metadata_props[MANIFEST] = about
    proto = program.model_proto
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: refused by onnx.checker ({first_line(error)})") from error
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def load_run(path: Path) -> Model:
    """The model in `path` under onnxruntime on the CPU, with as many threads as torch has now.

    Raises: ExportError if the file is missing, truncated or none of ours.
    """
    runtime = importlib.import_module("onnxruntime")
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone: its warnings name nodes, which help no user
    broken = (state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.Fail)
    try:
        session = runtime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ExportError(f"{path}: cannot be read ({reason}); give an .onnx file") from None
    except broken:
        raise ExportError(f"{path}: truncated or not an ONNX model; export it again") from None
    text = session.get_modelmeta().custom_metadata_map.get(MANIFEST, "")
    arch, card = read_manifest(text, str(path))

    def run(x: Tensor) -> Tensor:
        (out,) = session.run(["output"], {"input": x.detach().cpu().contiguous().numpy()})
        return torch.from_numpy(out)

    return Model(run, arch, card, str(path))
