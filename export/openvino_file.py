"""The generator as OpenVINO's pair of .xml and .bin. Needs the extra `openvino`."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import re
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.export.card import ExportSource, Model, Run, Written, manifest_text, read_manifest
from gancompress.export.half_range import beyond_half_of
from gancompress.export.onnx_file import Graph, graph_of, read
from gancompress.export.program import first_line
from gancompress.export.sensitivity import Rounding, rounded_graph
from gancompress.storage.checkpoint import write_bytes

MODEL = ("model.xml", "model.bin")
MODEL_16 = ("model-16bit.xml", "model-16bit.bin")
MODEL_8 = ("model-int8.xml", "model-int8.bin")
MANIFEST, HASH = "gancompress", "gancompress_bin_sha256"  # keys of the model's `rt_info`
SHAPES = 4  # The number of input shapes for which a loaded model stays compiled.
# What oneDNN, which OpenVINO computes with, can be held to by ONEDNN_MAX_CPU_ISA and which has no
# 16-bit arithmetic; OpenVINO's own list of what the CPU can do does not follow that variable.
WITHOUT_SIXTEEN = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")
SIXTEEN = {"BF16": ("bf16", "bfloat16"), "FP16": ("f16", "float16"), "": ("f32", "float32")}


def write(source: ExportSource, folder: Path) -> Written:
    """Writes the pair in float32, height and width free unless the note says why not.

    By way of the ONNX graph, in memory, which other formats need too.
    Raises: ExportError as `graph_of`, CheckpointError if the folder cannot be written.
    """
    xml, weights = (folder / name for name in MODEL)
    graph = graph_of(source, xml)
    note = "; ".join(text for text in (graph.note, _range_note(source, graph)) if text)
    return _save(replace(graph, note=note), source, xml, weights)


def _range_note(source: ExportSource, graph: Graph) -> str:
    """What a user of a GPU must set, where float16 cannot hold what the network computes.

    OpenVINO computes a file of any precision in float16 on GPUs and on some other devices, unless
    the application says otherwise; that is not the file's to say. bfloat16 holds what float32 does.
    """
    if not beyond_half_of(source, graph.model):
        return ""
    return (
        "float16 cannot hold some of its values: on a device that computes in it, such as a GPU, "
        "set INFERENCE_PRECISION_HINT to f32"
    )


def write_16bit(source: ExportSource, folder: Path) -> Written:
    """`write` with float16 weights, computed in the 16-bit type that the CPU at hand has.

    It is compared in that type: in bfloat16 nothing overflows. See `_range_note` for float16.
    """
    xml, weights = (folder / name for name in MODEL_16)
    graph = graph_of(source, xml)
    card = replace(graph.card, precision="float16")
    here = f"runs in {sixteen_bits()[1]} here"
    note = "; ".join(text for text in (graph.note, here, _range_note(source, graph)) if text)
    return _save(replace(graph, card=card, note=note), source, xml, weights)


def write_int8(source: ExportSource, folder: Path) -> Written:
    """`write` with dense convolutions in eight bits, the rest as `write_16bit` has it.

    Only inputs and weights are rounded. With outputs rounded too it took 16 ms instead of 11.
    Raises: ExportError as `rounded_graph`, CheckpointError if the folder cannot be written.
    """
    xml, weights = (folder / name for name in MODEL_8)
    wanted = Rounding("openvino-int8", ("Conv", "ConvTranspose"), False, _compiled_16bit)
    made = rounded_graph(source, xml, wanted)
    card = replace(made.graph.card, precision="int8")
    texts = (made.graph.note, made.note, _range_note(source, graph_of(source, xml)))
    note = "; ".join(text for text in texts if text)
    return _save(replace(made.graph, card=card, note=note), source, xml, weights)


def _save(graph: Graph, source: ExportSource, xml: Path, weights: Path) -> Written:
    """Writes both files, the hash of the second inside the first."""
    openvino = importlib.import_module("openvino")
    model = _read_onnx(graph.model, xml)
    for i, operator in enumerate(model.get_ordered_ops()):
        if operator.get_type_name() not in ("Parameter", "Result"):
            # By itself it takes a number that counts what this process has made so far.
            operator.set_friendly_name(f"{operator.get_type_name()}_{i}")
    model.set_rt_info(manifest_text(source.arch, graph.card), [MANIFEST])
    is_half = graph.card.precision == "float16"
    with TemporaryDirectory() as folder:
        file = Path(folder, xml.name)
        openvino.save_model(model, file, compress_to_fp16=is_half)
        content = file.with_suffix(".bin").read_bytes()
        model.set_rt_info(hashlib.sha256(content).hexdigest(), [HASH])
        openvino.save_model(model, file, compress_to_fp16=is_half)
        write_bytes(weights, content)
        # Without indents, a third of it, and a last line end, which would not be missed.
        write_bytes(xml, re.sub(rb"\n\t*", b"\n", file.read_bytes()).rstrip())
    return Written(xml, (xml, weights), graph.card.is_static, graph.note)


def _read_onnx(model: Any, path: Path) -> Any:
    """The model, simplified as OpenVINO's own converter does: a third of the operators stay."""
    shrink = importlib.import_module("openvino._offline_transformations").apply_moc_transformations
    try:
        found = _core().read_model(model.SerializeToString())
        shrink(found, cf=True)
    except RuntimeError as error:
        raise ExportError(f"{path}: OpenVINO has no form of it ({first_line(error)})") from error
    return found


@functools.cache
def _core() -> Any:
    """One for the process, never let go.

    Each core lays a signal stack of its own over the one before it. Let go in another order, one
    leaves the process with a freed one, and the next Ctrl-C, where faulthandler is on, kills it.
    """
    return importlib.import_module("openvino").Core()


@functools.cache
def sixteen_bits() -> tuple[str, str]:
    """The CPU's 16-bit type as OpenVINO and as torch call it; float32 where it has none."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_SIXTEEN:
        able = ()
    return next(names for key, names in SIXTEEN.items() if not key or key in able)


def _run_of(model: Any, precision: str) -> Run:
    """An OpenVINO model as a function of tensors, on as many threads as torch has now.

    precision: as OpenVINO calls it, of what is not in eight bits.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    requests = _Requests(model, settings)
    lock = threading.Lock()  # a request answers one at a time

    def run(x: Tensor) -> Tensor:
        image = x.detach().cpu().contiguous().numpy()
        with lock:  # the next call overwrites the request's own output; OpenVINO copies slowly
            out = requests.of(image.shape).infer([image], share_inputs=True, share_outputs=True)
            return torch.from_numpy(out[0]).clone()

    return run


class _Requests:
    """What answers inputs of one shape: compiled for it alone from the second such input on.

    That takes 6 % off the time (24.7 ms to 26.1, ResNet-9 at 256x256), and 0.1 s once.
    """

    def __init__(self, model: Any, settings: dict[str, Any]) -> None:
        self._model, self._settings = model, settings
        self._any = self._compiled(model)
        self._fixed: OrderedDict[tuple[int, ...], Any] = OrderedDict()  # None: seen once

    def of(self, shape: tuple[int, ...]) -> Any:
        if not self._model.is_dynamic():
            return self._any
        known = shape in self._fixed
        request = self._fixed.pop(shape, None)
        if known and request is None:
            model = self._model.clone()
            model.reshape(list(shape))
            request = self._compiled(model)
        self._fixed[shape] = request
        if len(self._fixed) > SHAPES:
            self._fixed.popitem(last=False)  # the one that was asked for longest ago
        return request or self._any

    def _compiled(self, model: Any) -> Any:
        return _core().compile_model(model, "CPU", self._settings).create_infer_request()


def _compiled_16bit(model: Any) -> Run:
    return _run_of(_core().read_model(model.SerializeToString()), sixteen_bits()[0])


def _text(model: Any, key: str) -> str:
    return str(model.get_rt_info([key]).astype(str)) if model.has_rt_info([key]) else ""


def load_run(path: Path) -> Model:
    """The pair of `path` (its .xml) on the CPU, with as many threads as torch has now.

    What is written as float16 runs in the CPU's 16-bit type, which `Model.card.precision` tells.
    Raises: ExportError if a file is missing, truncated, none of ours or not of this pair.
    """
    xml, beside = read(path, "an .xml file"), path.with_suffix(".bin")
    weights = read(beside, f"the .bin file that was written with {path.name}")
    try:
        model = _core().read_model(xml, weights)
    except RuntimeError:
        raise ExportError(f"{path}: truncated or not an OpenVINO model; export it again") from None
    arch, card = read_manifest(_text(model, MANIFEST), str(path))
    if _text(model, HASH) != hashlib.sha256(weights).hexdigest():
        raise ExportError(f"{beside}: truncated, or not the weights of {path}; export it again")
    if card.precision == "float32":
        return Model(_run_of(model, "f32"), arch, card, str(path))
    precision, known = sixteen_bits()
    if card.precision != "int8":
        card = replace(card, precision=known)
    return Model(_run_of(model, precision), arch, card, str(path))
