"""The generator as a folder `web`: one page that runs the ONNX file in a browser.

Everything that the page needs lies beside it, onnxruntime-web too; any static server will do.
Needs the `onnx` extra.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import onnx_file
from gancompress.export.card import Card, ExportSource, Model, Written, manifest
from gancompress.export.inputchannels import (
    NO_CLASS,
    InputChannels,
    class_numbers,
    input_channels_of,
    pixels_of,
)
from gancompress.export.weights import ask_rebuilt
from gancompress.storage.checkpoint import atomic_path, write_bytes, write_json
from gancompress.supernet.cost import network_cost

FOLDER = "web"
MANIFEST, PLAN, EXAMPLE = "manifest.json", "page.json", "example.png"

VARIABLE = "GANCOMPRESS_ORT_WEB"
# A minor version, as the page was tried with it; the program and its .wasm must be of one version.
PACKAGE, RANGE = "onnxruntime-web", "1.30"
# Of 130 MB in the package, what the CPU in a browser needs: 14.3 MB.
RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
PATIENCE_SECONDS = 600  # for 33 MB from npm


def write(source: ExportSource, folder: Path) -> Written:
    """Writes `folder`/web: page, model, its manifest, one example, the runtime with its licence.

    Raises: ExportError as `onnx_file.write` and `runtime_folder`; CheckpointError if the folder
    cannot be written.
    """
    runtime, web = runtime_folder(), folder / FOLDER
    written = onnx_file.write(source, web)
    model = onnx_file.load_run(written.path)
    channels = input_channels_of(model.card)
    is_shown = _write_example(web / EXAMPLE, source.card.given(source.example), channels)
    write_json(web / MANIFEST, manifest(model.arch, model.card))
    write_json(web / PLAN, plan(channels, is_shown, macs_of(model.arch, model.card)))
    for page in resources.files("gancompress.export").joinpath("webpage").iterdir():
        if page.is_file():
            write_bytes(web / page.name, page.read_bytes())
    for name in RUNTIME:
        write_bytes(web / name, (runtime / name).read_bytes())
    files = tuple(sorted(path for path in web.iterdir() if path.is_file()))
    return Written(web, files, written.is_static, written.note)


def load_run(path: Path) -> Model:
    """The model of a web folder, or of its `model.onnx`, as onnxruntime in Python runs it.

    Raises: ExportError as `onnx_file.load_run`.
    """
    return onnx_file.load_run(path / onnx_file.MODEL if path.is_dir() else path)


def macs_of(arch: Arch, card: Card) -> int | None:
    """MACs of one image of the card's size; None as `weights.ask_rebuilt`."""
    shape = (1, card.in_channels, *card.size)
    return ask_rebuilt(arch, card, lambda net: network_cost(net, torch.empty(shape)).macs_true)


def plan(channels: InputChannels, has_example: bool, macs: int | None = None) -> dict[str, Any]:
    """What the page needs beside the manifest, as JSON: the input channels, colours as #rrggbb."""
    colours = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in channels.colours)
    return {
        "image": channels.image,
        "classes": [
            {"name": name, "colour": colour}
            for name, colour in zip(channels.classes, colours, strict=True)
        ],
        "domains": list(channels.domains),
        "is_exclusive": channels.is_exclusive,
        "other": channels.other,
        "style": channels.style,
        "example": EXAMPLE if has_example else None,
        "macs": macs,
    }


def _write_example(path: Path, example: Tensor, channels: InputChannels) -> bool:
    """Writes the first input as a picture, or as class numbers in grey; False if there is none."""
    if channels.classes:
        if len(channels.classes) > NO_CLASS:
            return False
        picture = Image.fromarray(class_numbers(example, channels))
    elif channels.image:
        picture = Image.fromarray(pixels_of(example[:, : channels.image]))
    else:
        return False
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return True


def runtime_folder() -> Path:
    """A folder with the files of onnxruntime-web: the one named by the environment variable
    GANCOMPRESS_ORT_WEB, or this user's cache, filled by npm the first time.

    Raises: ExportError if there is no way to get them.
    """
    named = os.environ.get(VARIABLE)
    if named:
        for folder in (Path(named), Path(named) / "dist"):
            if _has_runtime(folder):
                return folder
        raise ExportError(
            f"{VARIABLE}: {named} lacks {' or '.join(RUNTIME)}; name the folder of the npm package "
            f"{PACKAGE} {RANGE}"
        )
    cached = cache_folder()
    if not _has_runtime(cached):
        _fetch(cached)
    return cached


def cache_folder() -> Path:
    """Where this user's copy of the runtime is kept: below XDG_CACHE_HOME, default ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "gancompress" / f"{PACKAGE}-{RANGE}"


def _has_runtime(folder: Path) -> bool:
    return all((folder / name).is_file() for name in RUNTIME)


def _fetch(folder: Path) -> None:
    """Fills `folder` by npm, which checks the package's hash; each file is whole or absent."""
    package = f"{PACKAGE}@~{RANGE}.0"
    print(f"fetching {package} by npm (33 MB, once)", file=sys.stderr)
    with TemporaryDirectory() as temporary:
        command = ["npm", "pack", package, "--pack-destination", temporary, "--loglevel=error"]
        try:
            subprocess.run(
                command, check=True, capture_output=True, timeout=PATIENCE_SECONDS, cwd=temporary
            )
            (packed,) = Path(temporary).glob("*.tgz")
            with tarfile.open(packed) as archive:
                contents = {name: _member(archive, f"package/dist/{name}") for name in RUNTIME}
        except (OSError, subprocess.SubprocessError, ValueError, tarfile.TarError, KeyError) as why:
            raise ExportError(
                f"export.formats: web needs the files of {PACKAGE}, and npm cannot fetch them "
                f"({_reason(why)}); install npm and connect to the network once, or name a folder "
                f"that holds them in the environment variable {VARIABLE}"
            ) from why
    for name, content in contents.items():
        write_bytes(folder / name, content)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    reader = archive.extractfile(name)
    if reader is None:
        raise KeyError(name)
    return reader.read()


def _reason(error: Exception) -> str:
    """What went wrong, on one line."""
    if isinstance(error, FileNotFoundError):
        return "there is no npm on this machine"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {PATIENCE_SECONDS} s"
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        told = [line for line in lines if "error" in line.lower()]
        return (told or lines or [f"it ended with code {error.returncode}"])[0].strip()
    return " ".join(str(error).split()) or type(error).__name__
