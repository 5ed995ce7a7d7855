"""A user's Python file as a module, with the files beside it that it imports."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from gancompress.errors import ArchError

_COMPILED = "_orig_mod"  # the name of what torch.compile wraps, in its wrapper


def load_file(path: Path) -> ModuleType:
    """The module that the file makes; it is run. Raises: ArchError if it cannot be."""
    if not path.is_file():
        raise ArchError(f"family.file: {str(path)!r} is not there; give a Python file")
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"gancompress_own_{path.stem}_{place}", path)
    if spec is None or spec.loader is None:
        raise ArchError(f"{path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    importlib.invalidate_caches()
    sys.modules[spec.name] = module  # dataclasses look their own module up there
    try:
        with importable(path.parent):
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[spec.name]
        if not isinstance(error, Exception):
            raise
        raise ArchError(f"{path}: does not run ({reason(error)}); mend it") from error
    return module


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Inside, the files in `folder` are imported by their names; afterwards no trace is left.

    So each of several generators gets the helpers of its own folder, whatever these are called,
    and no compiled files are written there.
    """
    before, wrote = set(sys.modules), sys.dont_write_bytecode
    place = str(folder.resolve())
    sys.path.insert(0, place)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = wrote
        if place in sys.path:
            sys.path.remove(place)
        for name in set(sys.modules) - before:
            # Another package's modules are its own, also where it lies in this folder.
            if name.partition(".")[0] not in before and _is_in(sys.modules[name], place):
                del sys.modules[name]


def _is_in(module: ModuleType, place: str) -> bool:
    files = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(Path(place) in Path(file).resolve().parents for file in files if file)


def uncompiled(net: nn.Module) -> nn.Module:
    """`net` without torch.compile: tensors have their own names again, and nothing is compiled.

    Generators of many widths are built for a look at their shapes alone.
    """
    while _COMPILED in net._modules:
        net = net.get_submodule(_COMPILED)
    for module in net.modules():
        module._compiled_call_impl = None  # `net.compile()` leaves this attribute.
        for name, child in module.named_children():
            if _COMPILED in child._modules:
                module._modules[name] = uncompiled(child)
    return net


def reason(error: BaseException) -> str:
    """An exception's kind and text in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
