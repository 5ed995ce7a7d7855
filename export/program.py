"""The generator as `model.pt2`: a torch.export program that runs without gancompress."""

from __future__ import annotations

import copy
import gc
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from gancompress.errors import ExportError
from gancompress.export.card import (
    Card,
    ExportSource,
    Model,
    Written,
    manifest_text,
    read_manifest,
)
from gancompress.storage.checkpoint import write_bytes
from gancompress.storage.programs import MODEL, checked, pack, unpack

PROGRAM = "model.pt2"
_NOTES = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node", "custom")
SERIAL = ".data/serialization_id"
MANIFEST = "card.json"  # the record of the archive that holds `card.manifest`


@dataclass(frozen=True)
class Traced:
    """A network as torch.export sees it, with its free axes; the card says if the size is fixed."""

    program: ExportedProgram
    axes: dict[int, Any]
    card: Card
    note: str


def trace(net: nn.Module, card: Card, example: Tensor) -> Traced:
    """The program of `net` with batch, height and width free, or batch alone and a note why.

    The smallest height is twice the multiple, as torch.export takes a size of one unit for a
    constant. Raises: ExportError if torch.export cannot trace the network at all.
    """
    batch, height, width = Dim("batch", min=1), Dim("height", min=2), Dim("width", min=2)
    if card.size_multiple > 1:
        height, width = card.size_multiple * height, card.size_multiple * width
    pair = example[:1].expand(2, -1, -1, -1).contiguous()  # a batch of one counts as constant too
    attempts = [] if card.is_static else [({0: batch, 2: height, 3: width}, card)]
    reason = ""
    for axes, kept in [*attempts, ({0: batch}, card.static())]:
        try:
            # Nets may have a training form with gradients of its own.
            with torch.no_grad(), uncollected():
                program = torch.export.export(net, (pair,), dynamic_shapes=(axes,), strict=False)
        except (RuntimeError, ValueError) as error:  # torch's UserError is a RuntimeError
            reason = first_line(error)
        else:
            note = static_note(card, reason) if kept.is_static and reason else ""
            return Traced(program, axes, kept, note)
    raise ExportError(f"export: torch.export cannot trace this network ({reason})")


@contextmanager
def uncollected() -> Iterator[None]:
    """Leaves garbage for later: looking for it takes a quarter of what lowering a graph takes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def traced(source: ExportSource, *, is_static: bool = False) -> Traced:
    """`trace` of the source, made once for all formats that read it."""
    key = "static program" if is_static else "program"
    if key not in source.made:
        card = source.card.static() if is_static else source.card
        source.made[key] = trace(source.net, card, source.example)
    program: Traced = source.made[key]
    return program


def write(source: ExportSource, folder: Path) -> Written:
    """Writes the program. Raises: ExportError as `trace`, CheckpointError as `write_bytes`."""
    found, path = traced(source), folder / PROGRAM
    # A copy, as other formats read the same program.
    about, name = manifest_text(source.arch, found.card), found.card.names[0]
    write_bytes(path, _content(copy.copy(found.program), about, name))
    return Written(path, (path,), found.card.is_static, found.note)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def static_note(card: Card, reason: str) -> str:
    """What to say of a file whose size had to be fixed."""
    height, width = card.size
    return f"size fixed at {height}x{width}: {reason}"


def _content(program: ExportedProgram, about: str, name: str) -> bytes:
    """The file's bytes; equal programs give equal bytes.

    name: of the parameter of its `forward`, where it is one in Python.

    Left out: the example inputs (larger than a small generator's weights, and a pickle), every
    node's origin (paths of the machine that exported) and the guards (Python expressions that
    torch evaluates; the card says which sizes are taken). The graph is compressed: as torch writes
    it, it takes 250 kB for nine blocks, two thirds of a small generator's weights.
    """
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in _NOTES:
            node.meta.pop(key, None)
    buffer = io.BytesIO()  # a path would put the temporary name into the archive
    torch.export.save(program, buffer, extra_files={MANIFEST: about})
    records = unpack(buffer.getvalue(), PROGRAM)
    model = json.loads(records[MODEL])
    model["guards_code"] = []
    if name.isidentifier() and not iskeyword(name):
        whole = model["graph_module"]["module_call_graph"][0]
        whole["signature"]["forward_arg_names"] = [name]
    # A set in torch: its order is another in every process.
    model["range_constraints"] = dict(sorted(model["range_constraints"].items()))
    records[MODEL] = json.dumps(model).encode()
    # As long as torch's own, which counts the order in; nothing reads it.
    digits = int.from_bytes(hashlib.sha256(records[MODEL]).digest())
    records[SERIAL] = f"{digits % 10**40:040d}".encode()
    return pack(records).getvalue()


def load_run(path: Path) -> Model:
    """The program in `path`, on the CPU, checking its inputs.

    Safe with a file from anywhere: `programs.checked` has the reasons. Plain torch reads the
    same file with `torch.export.load(path).module()`.
    Raises: ExportError if the file is missing, damaged, or could run code when loaded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ExportError(f"{path}: cannot be read ({reason}); give a .pt2 file") from None
    program, extra = checked(content, str(path)), {MANIFEST: ""}
    try:
        net = torch.export.load(program, extra_files=extra).module()
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError, AttributeError) as error:
        raise ExportError(
            f"{path}: torch {torch.__version__} cannot read this program ({first_line(error)}); "
            "export it again with this version"
        ) from error
    arch, card = read_manifest(extra[MANIFEST], str(path))
    return Model(net, arch, card, str(path))
