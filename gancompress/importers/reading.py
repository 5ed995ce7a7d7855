"""The tensors in files of other projects; nothing in such a file is ever executed."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers.filekinds import is_safetensors, kind_of
from gancompress.importers.folding import folded
from gancompress.storage.checkpoint import load_tensors
from gancompress.storage.regularfiles import open_regular

# What torch's reader, which builds tensors and plain data alone, raises for bytes of other kinds.
_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error,
)  # fmt: skip
_NAMED = re.compile(r"GLOBAL ([\w.]+)")  # in torch's refusal: the object that was to be built
# What wrappers of a training put into keys: torch.compile at any depth, DataParallel before all.
_COMPILED, _PARALLEL = "_orig_mod.", "module."
_OPTIMISERS = {"exp_avg", "square_avg", "momentum_buffer"}  # in what is kept of each weight
# The most levels of nested containers, and entries of one, that are looked at.
_DEPTH, _ENTRIES = 6, 200

Raw = dict[str, Any]  # A file's entries by key.


def networks_in(path: Path | str, part: str | None = None) -> dict[str, Raw]:
    """The networks in a file that `torch.save` or safetensors wrote, by their dotted place in it.

    "" is the place of a file that is one network alone. Prefixes of torch.compile and DataParallel
    are gone from the keys. part: that network alone: its place, or the end of it, and behind that
    what its keys begin with; or two that belong together, as "a2b": their keys then begin with
    "from." and "to.".
    Raises: CheckpointError for a file that is missing, truncated, of another kind, would run code,
    or holds no network, or not that part.
    """
    path = Path(path)
    held = _held(path)
    found = {place: _untrained(raw) for place, raw in _networks(held)}
    if not found:
        raise CheckpointError(f"{path}: {_nothing(held)}")
    if part is None:
        return found
    ends = part.split("2")
    chosen = _part(found, part)
    if not chosen and len(ends) == 2:
        both = [_part(found, end) for end in ends]
        if all(len(one) == 1 for one in both):
            pair = zip(("from", "to"), both, strict=True)
            joined = ((at, raw) for at, one in pair for raw in one.values())
            return {
                part: {f"{at}.{key}": value for at, raw in joined for key, value in raw.items()}
            }
    if len(chosen) != 1:
        has = (
            f"several, {_listed(chosen)}" if chosen else _listed(place for place in found if place)
        )
        raise CheckpointError(f"{path}: no part {part!r}; it has {has}")
    return chosen


def as_meant(raw: Raw, where: str) -> dict[str, Tensor]:
    """The tensors of a network as float32, spectral and weight norms multiplied out.

    Raises: CheckpointError for a tensor that is not dense, real and finite.
    """
    return folded({key: _plain(value, f"{where}: key {key}") for key, value in raw.items()}, where)


def _held(path: Path) -> object:
    """What the file holds: containers, tensors and plain data."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; give the file of the generator's weights in it")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a file that exists")
    try:
        if is_safetensors(path):
            return load_tensors(path)[0]
        return _load(path)
    except PermissionError:
        raise CheckpointError(f"{path}: cannot be read; a readable file is needed") from None


def _load(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what makes it refuse, or what it reads well
            with open_regular(path) as file:  # By a name's suffix torch would choose its reader.
                return torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        if named := _NAMED.search(str(error)):
            raise CheckpointError(
                f"{path}: holds objects other than tensors ({named[1]}), which are never loaded; "
                "save the network's state_dict() alone"
            ) from None
        if kind := kind_of(path):
            raise CheckpointError(f"{path}: {kind}") from None
        raise CheckpointError(
            f"{path}: truncated, or holds more than tensors, which is never loaded; a state_dict() "
            "that torch.save wrote, or a .safetensors file, is needed"
        ) from None


def _networks(held: object, place: str = "", depth: int = 0) -> Iterator[tuple[str, Raw]]:
    """The networks in what a file holds, each by its place: names and numbers, dotted."""
    if _is_network(held):
        assert isinstance(held, Mapping)
        if not _OPTIMISERS & held.keys():
            yield place, dict(held)
        return
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(held, Mapping):
        inner = held.items()
    elif isinstance(held, list | tuple):
        inner = ((str(number), one) for number, one in enumerate(held))
    for name, one in islice(inner, _ENTRIES) if depth < _DEPTH else ():
        if isinstance(name, str):  # Numbers name the weights in what optimisers keep.
            yield from _networks(one, f"{place}.{name}" if place else name, depth + 1)


def _untrained(raw: Raw) -> Raw:
    """Without the prefixes that a training's wrappers put into keys."""
    plain = {key.replace(_COMPILED, ""): value for key, value in raw.items()}
    raw = plain if len(plain) == len(raw) else raw
    while raw and all(key.startswith(_PARALLEL) for key in raw):
        raw = {key.removeprefix(_PARALLEL): value for key, value in raw.items()}
    return raw


def _part(networks: Mapping[str, Raw], part: str) -> dict[str, Raw]:
    """The networks that `part` may mean: one where it names one."""
    if part in networks:
        return {part: networks[part]}
    named = {place: raw for place, raw in networks.items() if place.endswith(f".{part}")}
    if named:
        return named
    found = {}
    for place, raw in networks.items():
        # The part may begin with the network's place, or be of its keys alone.
        inside = part.removeprefix(f"{place}.") if place else part
        cut = {
            k.removeprefix(f"{inside}."): v for k, v in raw.items() if k.startswith(f"{inside}.")
        }
        if cut:
            found[f"{place}.{inside}" if place else inside] = cut
    return found


def _nothing(held: object) -> str:
    """The refusal of what holds no network."""
    if not isinstance(held, Mapping):
        return f"holds a {type(held).__name__}; a state_dict() of tensors is needed"
    odd = next((k for k, v in held.items() if not (isinstance(k, str) and _is_tensor(v))), None)
    what = "nothing" if odd is None else f"{odd!r}, a {type(held[odd]).__name__},"
    return f"holds {what} where tensors alone are expected; save the network's state_dict() alone"


def _is_network(held: object) -> bool:
    return (
        isinstance(held, Mapping)
        and len(held) > 0
        and all(isinstance(key, str) and _is_tensor(value) for key, value in held.items())
    )


def _is_tensor(value: object) -> bool:
    return type(value) in (Tensor, nn.Parameter)


def _listed(places: Iterable[str]) -> str:
    return ", ".join(places) or "no parts"


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
