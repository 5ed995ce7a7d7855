"""Proof, before loading it, that a .pt2 file holds a graph and tensors and no code."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch

from gancompress.errors import ExportError

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"

# What `torch.export.save` writes for a network of plain tensors. `data/aotinductor` (machine code)
# and `data/constants/custom_obj_*`, `opaque_obj_*` (pickles) are left out on purpose.
_RECORD = re.compile(
    r"data/(weights/weight|constants/tensor)_\d+|extra/\w+\.json|archive_format|archive_version"
    r"|byteorder|\.data/(version|serialization_id)"
)
# aten alone: it computes. `from_file` maps any file of the disk, and may create it.
_TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+"
    r"|_operator\.(add|sub|mul|neg|pow|floordiv|truediv|mod|getitem|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_(max|min|not|sum|ite|sqrt)"
)
# Sizes are written as text and read back by sympy's eval: only arithmetic may be called.
_SYMBOLIC = re.compile(
    r"(?:(?:Add|Mul|Pow|Integer|Rational|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv"
    r"|IntTrueDiv|PowByNatural)\(|Symbol\('[su]\d+'|, |\)|(?:positive|integer)=True|-?\d+)*"
)
_WORD = re.compile(r"[\w.+-]*", re.ASCII)  # names, versions; no brackets, so nothing is called
_RANGE = re.compile(r"[\w*+/ -]*", re.ASCII)  # keys such as 4*s39
# How arguments nest: nodes of other types import modules by name, as do contexts with JSON objects.
_NODES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


def pack(records: Mapping[str, bytes]) -> io.BytesIO:
    """A .pt2 file of these records. Its JSON is compressed, tensors are not; no dates in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records.items():
            kind = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content, compress_type=kind)
    buffer.seek(0)
    return buffer


def unpack(content: bytes, where: str) -> dict[str, bytes]:
    """The records of a .pt2 file, by the reader that torch uses. Raises: ExportError."""
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(content))
        return {name: reader.get_record(name) for name in reader.get_all_records()}
    except (RuntimeError, ValueError):
        raise ExportError(f"{where}: truncated or not a .pt2 file; export it again") from None


def checked(content: bytes, where: str) -> io.BytesIO:
    """`content`, a .pt2 file, packed anew from the records that were looked at and found harmless.

    `torch.export.load` of torch 2.15 is not safe by itself. It unpickles without restrictions
    (`weights_only=False`, or plain `pickle.loads`) weights and constants marked `use_pickle`,
    custom objects, opaque objects and, whenever the restricted unpickler fails, sample inputs; it
    evaluates size expressions and guards as Python; it resolves operators by walking attributes
    of `torch`; it opens compiled libraries in the archive; and where all that fails it tries an
    older layout, of pickles. The files that we write need none of it. So every record's name,
    every payload's kind and every text of the graph must have one of the few forms that a plain
    network has.
    Raises: ExportError naming `where` for anything else.
    """
    records = unpack(content, where)
    needed = {MODEL, WEIGHTS, CONSTANTS, SAMPLES}
    unknown = sorted(name for name in records.keys() - needed if not _RECORD.fullmatch(name))
    if unknown:
        raise _refused(where, f"the record {unknown[0]!r}")
    if not needed <= records.keys():
        raise ExportError(f"{where}: no program as `gancompress export` writes it; export it again")
    if records[SAMPLES]:
        raise _refused(where, "pickled sample inputs")
    try:
        for config in (WEIGHTS, CONSTANTS):
            _check_payloads(json.loads(records[config]), where)
        _check_texts(json.loads(records[MODEL]), where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ExportError(f"{where}: a damaged program; export it again") from None
    return pack(records)


def stripped(content: bytes, where: str) -> bytes:
    """A program that someone else has saved, without what is not needed to run it.

    That is: the inputs it was traced with (a pickle), guards (Python that is evaluated) and where
    its nodes come from. What is left is for `checked`. Raises: ExportError naming `where`.
    """
    records = unpack(content, where)
    try:
        model = json.loads(records[MODEL])
        for node in model["graph_module"]["graph"]["nodes"]:
            node["metadata"] = {}
        records[MODEL] = json.dumps(model | {"guards_code": []}).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ExportError(f"{where}: a damaged program; export it again") from None
    return pack(records | {SAMPLES: b""}).getvalue()


def _refused(where: str, what: str) -> ExportError:
    return ExportError(
        f"{where}: holds {what}, which could run code when loaded; only programs of torch's own "
        "operators and plain tensors are opened"
    )


def _check_payloads(config: Any, where: str) -> None:
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False:
            raise _refused(where, f"{name!r} as a pickle")
        if not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            raise _refused(where, f"{name!r} as {payload['path_name']!r}")


def _check_texts(node: Any, where: str) -> None:
    """Walks the whole graph; every text, keys included, must have one of the harmless forms."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "target" and isinstance(value, str) and not _TARGET.fullmatch(value):
                raise _refused(where, f"the operator {value!r}")
            _check_texts(key, where)
            _check_texts(value, where)
    elif isinstance(node, list):
        for value in node:
            _check_texts(value, where)
    elif isinstance(node, str) and not _is_harmless(node):
        raise _refused(where, f"the text {node[:60]!r}")


def _is_harmless(text: str) -> bool:
    if any(form.fullmatch(text) for form in (_WORD, _RANGE, _SYMBOLIC)):
        return True
    try:
        version, tree = json.loads(text)
        return isinstance(version, int) and _is_tree(tree)
    except (ValueError, TypeError, RecursionError):
        return False


def _is_tree(node: Any) -> bool:
    """Whether a node of how arguments nest, and all below it, have harmless types and contexts."""
    if not isinstance(node, dict) or node.keys() != {"type", "context", "children_spec"}:
        return False
    context = node["context"]
    keys = json.loads(context) if isinstance(context, str) else context
    is_plain = keys is None or (
        isinstance(keys, list) and all(isinstance(key, str | int) for key in keys)
    )
    kind, inner = node["type"], node["children_spec"]
    is_known = (kind is None or isinstance(kind, str)) and kind in _NODES
    return is_plain and is_known and isinstance(inner, list) and all(map(_is_tree, inner))
