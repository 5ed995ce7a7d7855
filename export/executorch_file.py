"""The generator as `model.pte` for phones: ExecuTorch, on XNNPACK. Needs extra `executorch`."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._export.verifier import SpecViolationError
from torch.export import ExportedProgram, default_decompositions

from gancompress.errors import ExportError
from gancompress.export.card import ExportSource, Model, Written, manifest, read_manifest
from gancompress.export.onnx_file import read
from gancompress.export.program import first_line, static_note, traced, uncollected
from gancompress.storage.checkpoint import write_bytes, write_json

MODEL, ABOUT = "model.pte", "model.pte.json"  # a .pte file has no place for a manifest
HASH = "sha256"  # the manifest's key for the hash of the program that it is of
_BOTH = torch.ops.aten.var_mean.correction


def write(source: ExportSource, folder: Path) -> Written:
    """Writes the program and, beside it, its manifest; height and width are the card's.

    A program of free sizes works too, but takes twice the time to write (45 s for a network of 76
    convolutions) and cannot plan its memory ahead.
    Raises: ExportError if ExecuTorch has no form of the network, CheckpointError if the folder
    cannot be written.
    """
    path, about = folder / MODEL, folder / ABOUT
    found = traced(source, is_static=True)
    with _quiet(), uncollected():
        try:
            try:
                content = _lowered(found.program)
            except SpecViolationError:
                content = _lowered(_split(found.program))
        except (RuntimeError, ValueError, AssertionError, SpecViolationError) as error:
            raise ExportError(
                f"{path}: ExecuTorch has no form of this network ({first_line(error)})"
            ) from error
    write_bytes(path, content)
    hashed = {HASH: hashlib.sha256(content).hexdigest()}
    write_json(about, manifest(source.arch, found.card) | hashed)
    note = found.note or static_note(found.card, "phones plan memory ahead")
    return Written(path, (path, about), True, note)


def _lowered(program: ExportedProgram) -> bytes:
    exir = importlib.import_module("executorch.exir")
    xnnpack = importlib.import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    edge = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
    return bytes(edge.to_executorch().buffer)


def _split(program: ExportedProgram) -> ExportedProgram:
    """Mean and variance apart: ExecuTorch has no operator for both, as layer norms become."""
    return program.run_decompositions({**default_decompositions(), _BOTH: _apart})


def _apart(
    x: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    aten = torch.ops.aten
    variance: Tensor = aten.var.correction(x, dim, correction=correction, keepdim=keepdim)
    return variance, aten.mean.dim(x, dim, keepdim)


def load_run(path: Path) -> Model:
    """The program in `path` on the CPU, with as many threads as torch had at the first such call.

    Raises: ExportError if a file is missing, truncated, none of ours or not of this pair.
    """
    content, beside = read(path, "a .pte file"), path.with_name(f"{path.name}.json")
    told = read(beside, f"the manifest that was written with {path.name}")
    try:
        text = told.decode()
        wanted = json.loads(text)[HASH]
    except (ValueError, KeyError, TypeError):
        raise ExportError(f"{beside}: truncated or no manifest; export it again") from None
    arch, card = read_manifest(text, str(beside))
    if wanted != hashlib.sha256(content).hexdigest():
        raise ExportError(f"{path}: truncated, or not the program of {beside}; export it again")
    loaded = _loaded(content, path)

    def run(x: Tensor) -> Tensor:
        out: Tensor = loaded.method.execute([x.detach().cpu().contiguous()])[0]
        return out

    return Model(run, arch, card, str(path))


@dataclass(frozen=True)
class _Loaded:
    """A method and what it points into: the library does not keep the latter alive by itself."""

    method: Any
    program: Any
    content: bytes


@functools.cache
def _runtime() -> Any:
    """The library, its threads set at first use: programs keep the pool that they were loaded with.

    A pool that is set anew frees it under them.
    """
    library = importlib.import_module("executorch.extension.pybindings.portable_lib")
    library._unsafe_reset_threadpool(torch.get_num_threads())
    return importlib.import_module("executorch.runtime")


def _loaded(content: bytes, path: Path) -> _Loaded:
    with _quiet():
        runtime = _runtime()
        try:
            program = runtime.Runtime.get().load_program(
                content, verification=runtime.Verification.InternalConsistency
            )
            return _Loaded(program.load_method("forward"), program, content)
        except RuntimeError:
            raise ExportError(f"{path}: not an ExecuTorch program; export it again") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the library says while it is imported, lowers and loads.

    Old ways of reading resources, as warnings; passing details of operators, as logs; how it looks
    for the CPU's name and how many threads it takes, through `sys.stderr` and past it.
    """
    before, kept = logging.root.manager.disable, os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), warnings.catch_warnings():
            os.dup2(nowhere.fileno(), 2)
            logging.disable(logging.WARNING)
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        os.dup2(kept, 2)
        os.close(kept)
