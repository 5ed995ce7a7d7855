"""The file formats: one entry each of how to write it, how to run it, how exact it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gancompress.errors import ExportError
from gancompress.export import (
    executorch_file,
    half_range,
    onnx_file,
    onnx_half,
    onnx_int8,
    openvino_file,
    program,
    web,
    weights,
)
from gancompress.export.card import ExportSource, Model, Written
from gancompress.export.rewrite import FOLDING


@dataclass(frozen=True)
class Format:
    """One file format.

    files: names inside the export folder; the first is the one that `load` takes.
    tolerance: the largest difference to the supernet's own output that is accepted, in units of
    the output range [-1, 1], for the `reason` given.
    mean_tolerance: the largest mean difference to an image's, where single pixels may differ more
    than a wrong file would on the whole. is_float32: whether all of it computes in float32.
    as_meant: loads the file as the device computes that it is meant for, where `load` computes more
    exactly; a file is held to its tolerance both ways.
    packages and extra: what must be installed, and the extra of gancompress that brings it.
    steps: of `rewrite.STEPS`, what is done to the network before.
    """

    files: tuple[str, ...]
    write: Callable[[ExportSource, Path], Written]
    load: Callable[[Path], Model]
    tolerance: float
    reason: str
    packages: tuple[str, ...] = ()
    extra: str = ""
    mean_tolerance: float | None = None
    is_float32: bool = True
    as_meant: Callable[[Path], Model] | None = None
    steps: tuple[str, ...] = ()


# Measured on a ResNet-9 at 256x256 (scripts/bench_export.py): torch and OpenVINO run a head fastest
# as phases, onnxruntime by rows; none runs a transposed convolution faster as phases.
PHASED = (*FOLDING, "phase heads")
ROWWISE = (*FOLDING, "row heads")

_ONNX = ("onnx", "onnxruntime", "onnxscript")
_OPENVINO = ("openvino", *_ONNX)  # it reads what the exporter to ONNX writes
_EIGHT_BITS = (
    "rounded where the loss of the Frechet distance is at most 3 %; 0.3 in single pixels and 0.02 "
    "in the mean are usual, another network's file differs by 0.2 or more in the mean"
)

FORMATS: dict[str, Format] = {
    "safetensors": Format(
        files=(weights.WEIGHTS, weights.ARCH),
        write=weights.write,
        load=weights.load_run,
        tolerance=0.0,
        reason="the same operators on the same numbers",
    ),
    "pt2": Format(
        files=(program.PROGRAM,),
        write=program.write,
        load=program.load_run,
        tolerance=1e-4,
        reason="torch's plain kernels, where the supernet runs faster ones on a CPU; 5e-6 is usual",
        steps=PHASED,
    ),
    "onnx": Format(
        files=(onnx_file.MODEL,),
        write=onnx_file.write,
        load=onnx_file.load_run,
        tolerance=1e-4,
        reason="other kernels, which add in another order; 2e-6 is usual, 1/128 one grey level",
        packages=_ONNX,
        extra="onnx",
        steps=ROWWISE,
    ),
    "onnx-static": Format(
        files=(onnx_file.STATIC,),
        write=onnx_file.write_static,
        load=onnx_file.load_run,
        tolerance=1e-4,
        reason="other kernels, which add in another order; 2e-6 is usual, 1/128 one grey level",
        packages=_ONNX,
        extra="onnx",
        steps=ROWWISE,
    ),
    "onnx-fp16": Format(
        files=(onnx_half.MODEL,),
        write=onnx_half.write,
        load=onnx_file.load_run,
        tolerance=0.05,
        reason="numbers of 11 bits; 0.01, about one grey level, is usual",
        packages=_ONNX,
        extra="onnx",
        mean_tolerance=0.004,
        is_float32=False,
        as_meant=half_range.load_rounded,
        steps=ROWWISE,
    ),
    "onnx-int8": Format(
        files=(onnx_int8.MODEL,),
        write=onnx_int8.write,
        load=onnx_file.load_run,
        tolerance=1.0,
        reason=_EIGHT_BITS,
        packages=_ONNX,
        extra="onnx",
        mean_tolerance=0.06,
        is_float32=False,
        steps=ROWWISE,
    ),
    "openvino": Format(
        files=openvino_file.MODEL,
        write=openvino_file.write,
        load=openvino_file.load_run,
        tolerance=1e-4,
        reason="other kernels, which add in another order; 1e-5 is usual, 1/128 one grey level",
        packages=_OPENVINO,
        extra="openvino",
        steps=PHASED,
    ),
    "openvino-16bit": Format(
        files=openvino_file.MODEL_16,
        write=openvino_file.write_16bit,
        load=openvino_file.load_run,
        tolerance=0.5,
        reason="bfloat16 on most CPUs, numbers of 8 bits; 0.05, in the mean 0.003, is usual",
        packages=_OPENVINO,
        extra="openvino",
        mean_tolerance=0.02,
        is_float32=False,
        steps=PHASED,
    ),
    "openvino-int8": Format(
        files=openvino_file.MODEL_8,
        write=openvino_file.write_int8,
        load=openvino_file.load_run,
        tolerance=1.0,
        reason=_EIGHT_BITS,
        packages=_OPENVINO,
        extra="openvino",
        mean_tolerance=0.06,
        is_float32=False,
        steps=PHASED,
    ),
    "executorch": Format(
        files=(executorch_file.MODEL, executorch_file.ABOUT),
        write=executorch_file.write,
        load=executorch_file.load_run,
        tolerance=1e-3,
        reason="XNNPACK's kernels, whose roots and quotients are rougher; 7e-5 is usual",
        packages=("executorch",),
        extra="executorch",
        steps=PHASED,
    ),
    "web": Format(
        files=(web.FOLDER,),
        write=web.write,
        load=web.load_run,
        tolerance=1e-4,
        reason="as onnx, whose file it holds; browsers add in yet another order, 1e-5 is usual",
        packages=_ONNX,
        extra="onnx",
        steps=ROWWISE,
    ),
}


def format_of(name: str) -> Format:
    """The entry of that name. Raises: ExportError for an unknown one."""
    if name not in FORMATS:
        raise ExportError(f"export.formats: {name!r} is unknown; one of {', '.join(FORMATS)}")
    return FORMATS[name]


def missing(name: str) -> str:
    """One sentence saying what must be installed for a format; empty if it can be used."""
    entry = format_of(name)
    absent = [p for p in entry.packages if importlib.util.find_spec(p) is None]
    if not absent:
        return ""
    return (
        f"{name} needs {', '.join(absent)}; install with: pip install 'gancompress[{entry.extra}]'"
    )


def require(name: str) -> Format:
    """The entry of that name. Raises: ExportError if unknown, or if its packages are missing."""
    entry, sentence = format_of(name), missing(name)
    if sentence:
        raise ExportError(f"export.formats: {sentence}")
    return entry
