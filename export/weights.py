"""The generator as `model.safetensors` + `arch.json`: everything that rebuilds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, ExportError
from gancompress.export.card import Card, ExportSource, Model, Written, manifest, read_manifest
from gancompress.export.sums import check_sums
from gancompress.nets.families import FAMILIES, family_of
from gancompress.storage.checkpoint import load_tensors, read_json, save_tensors, write_json

WEIGHTS, ARCH = "model.safetensors", "arch.json"
T = TypeVar("T")


def write(source: ExportSource, folder: Path) -> Written:
    """Writes both files. Raises: CheckpointError if the folder cannot be written."""
    weights, about = folder / WEIGHTS, folder / ARCH
    # The arch is in both files, so that a pair put together from two exports is noticed.
    save_tensors(weights, source.net.state_dict(), {"arch": source.arch.key})
    write_json(about, manifest(source.arch, source.card))
    return Written(weights, (weights, about), source.card.is_static)


def load(folder: Path | str, file: Path | str | None = None) -> nn.Module:
    """The generator in an export folder, in evaluation mode, on the CPU.

    (N, in_channels, H, W) -> (N, out_channels, H, W), both of the values that the folder's card
    names, mostly [-1, 1]; trainable as it is.
    file: where the generator is one of a user's own, the Python file with its `build(arch)`; it is
    run, so it is never taken from the folder itself.
    Raises: ExportError or CheckpointError if the files are missing, damaged, differ from the
    SHA256SUMS of their export or do not belong together.
    """
    check_sums(Path(folder) / WEIGHTS, Path(folder) / ARCH)
    return _rebuild(Path(folder), file)[0]


def load_run(path: Path, file: Path | str | None = None) -> Model:
    """`load` for the folder of `path` (a file of the pair), checking its inputs."""
    net, arch, card = _rebuild(path.parent, file)
    return Model(net, arch, card, str(path))


def ask_rebuilt(arch: Arch, card: Card, ask: Callable[[nn.Module], T]) -> T | None:
    """What `ask` returns for a file's generator without weights: on "meta", in evaluation mode.

    None for a maker's own code, which is not run for this, and where the family refuses the arch.
    """
    if arch.family not in FAMILIES or card.code_file is not None:
        return None
    try:
        with torch.device("meta"):
            return ask(family_of(arch.family, **card.options).build(arch).eval())
    # A file of another version, or an image that is too small, ends here.
    except (ArchError, TypeError, RuntimeError):
        return None


def _rebuild(folder: Path, file: Path | str | None) -> tuple[nn.Module, Arch, Card]:
    about, weights = folder / ARCH, folder / WEIGHTS
    arch, card = read_manifest(json.dumps(read_json(about)), str(about))
    tensors, meta = load_tensors(weights)
    if meta.get("arch") != arch.key:
        raise ExportError(f"{weights}: not the weights of {about}; export the pair again")
    if arch.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ExportError(f"{about}: family {arch.family!r} is unknown; this version has {known}")
    options = dict(card.options)
    if card.code_file is not None:
        if file is None:
            raise ExportError(
                f"{about}: the generator is code of its maker's own, {card.code_file!r}; if you "
                "trust it, give that Python file as --file (file=… of load), which runs it"
            )
        options["file"] = str(file)
    try:
        net = family_of(arch.family, **options).build(arch)
        net.load_state_dict(tensors)
    except (ArchError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"{about}: does not rebuild {weights} ({reason}); export again") from None
    return net.eval(), arch, card
