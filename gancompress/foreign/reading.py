"""The tensors in files of other projects; nothing in such a file is ever executed."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.checkpoint import load_tensors
from gancompress.errors import CheckpointError
from gancompress.foreign.folding import folded

# What torch's reader, which builds tensors and plain data alone, raises for bytes of other kinds.
_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error,
)  # fmt: skip
_NAMED = re.compile(r"GLOBAL ([\w.]+)")  # in torch's refusal: the object that was to be built
_PARALLEL = "module."  # what DataParallel puts before every key


def read_tensors(path: Path | str, part: str | None = None) -> dict[str, Tensor]:
    """The tensors of one network in a file that `torch.save` or safetensors wrote, on the CPU.

    Floating ones are float32, spectral and weight norms are multiplied out, DataParallel's
    prefixes are gone. part: which network, by its key in the file, where the file holds several; or
    two that belong together, as "a2b": their keys then begin with "from." and "to.".
    Raises: CheckpointError for a file that is missing, truncated, of another kind, would run code,
    or holds no network or several.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        held: object = load_tensors(path)[0]
    else:
        held = _load(path)
    if isinstance(held, Mapping) and part is not None and part not in held:
        ends = part.split("2")
        if len(ends) == 2 and all(end in held for end in ends):
            pair = zip(("from", "to"), ends, strict=True)
            read = ((at, _read(_network(held, end, str(path)), path)) for at, end in pair)
            return {f"{at}.{key}": tensor for at, found in read for key, tensor in found.items()}
    return _read(_network(held, part, str(path)), path)


def _read(found: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors of a network as they are meant."""
    tensors = {key: _plain(value, f"{path}: key {key}") for key, value in found.items()}
    while tensors and all(key.startswith(_PARALLEL) for key in tensors):
        tensors = {key.removeprefix(_PARALLEL): value for key, value in tensors.items()}
    return folded(tensors, str(path))


def _load(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a file that exists")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what makes it refuse, or what it reads well
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise CheckpointError(f"{path}: cannot be read; a readable file is needed") from None
    except _UNREADABLE as error:
        if named := _NAMED.search(str(error)):
            raise CheckpointError(
                f"{path}: holds objects other than tensors ({named[1]}), which are never loaded; "
                "save the network's state_dict() alone"
            ) from None
        raise CheckpointError(
            f"{path}: truncated, or holds more than tensors, which is never loaded; a state_dict() "
            "that torch.save wrote, or a .safetensors file, is needed"
        ) from None


def _network(held: object, part: str | None, where: str) -> Mapping[str, Any]:
    """The one mapping of names to tensors in what a file holds: all of it, or a part by its key."""
    if not isinstance(held, Mapping):
        raise CheckpointError(
            f"{where}: holds a {type(held).__name__}; a state_dict() of tensors is needed"
        )
    parts = {key: inner for key, inner in held.items() if _is_network(inner)}
    if part is not None:
        if part not in parts:
            raise CheckpointError(f"{where}: no part {part!r}; it has {_listed(parts)}")
        return parts[part]
    if len(parts) == 1 and not any(isinstance(value, Tensor) for value in held.values()):
        return next(iter(parts.values()))
    if parts:
        raise CheckpointError(
            f"{where}: holds several networks; name one of {_listed(parts)} with --part"
        )
    if not _is_network(held):
        odd = next((k for k, v in held.items() if not (isinstance(k, str) and _is_tensor(v))), None)
        what = "nothing" if odd is None else f"{odd!r}, a {type(held[odd]).__name__},"
        raise CheckpointError(f"{where}: holds {what} where tensors alone are expected")
    return held


def _is_network(held: object) -> bool:
    return (
        isinstance(held, Mapping)
        and len(held) > 0
        and all(isinstance(key, str) and _is_tensor(value) for key, value in held.items())
    )


def _is_tensor(value: object) -> bool:
    return type(value) in (Tensor, nn.Parameter)


def _listed(parts: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, parts)) or "no parts"


def _plain(tensor: Tensor, where: str) -> Tensor:
    """An ordinary tensor of its own, float32 if it is floating."""
    size = tensor.numel() * tensor.element_size()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise CheckpointError(f"{where} is {tensor.layout} on {tensor.device}; dense ones are read")
    # A few bytes repeated by strides could fill any memory.
    if tensor.is_complex() or size > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"{where} is {tensor.dtype} {tuple(tensor.shape)} on fewer bytes than it has; "
            "real numbers, stored in full, are read"
        )
    found = tensor.detach().to(torch.float32) if tensor.is_floating_point() else tensor.detach()
    if not torch.isfinite(found).all():
        raise CheckpointError(f"{where} holds values that are not finite; train it again")
    return found.contiguous()
