"""The file formats: one entry each of how to write it, how to run it, how exact it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gancompress.errors import ExportError
from gancompress.export import onnx_file, program, weights
from gancompress.export.card import Model, Source, Written


@dataclass(frozen=True)
class Format:
    """One file format.

    files: names inside the export folder; the first is the one that `load` takes.
    tolerance: the largest difference to the supernet's own output that is accepted, in units of
    the output range [-1, 1], for the `reason` given.
    packages and extra: what must be installed, and the extra of gancompress that brings it.
    """

    files: tuple[str, ...]
    write: Callable[[Source, Path], Written]
    load: Callable[[Path], Model]
    tolerance: float
    reason: str
    packages: tuple[str, ...] = ()
    extra: str = ""


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
    ),
    "onnx": Format(
        files=(onnx_file.MODEL,),
        write=onnx_file.write,
        load=onnx_file.load_run,
        tolerance=1e-4,
        reason="other kernels, which add in another order; 2e-6 is usual, 1/128 one grey level",
        packages=("onnx", "onnxruntime", "onnxscript"),
        extra="onnx",
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
        f"export.formats: {name} needs {', '.join(absent)}; "
        f"install with: pip install 'gancompress[{entry.extra}]'"
    )


def require(name: str) -> Format:
    """The entry of that name. Raises: ExportError if unknown, or if its packages are missing."""
    entry, sentence = format_of(name), missing(name)
    if sentence:
        raise ExportError(sentence)
    return entry
