"""Any exported generator by its place: a model file, an export folder or a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gancompress.errors import ExportError
from gancompress.export import weights
from gancompress.export.card import Model
from gancompress.export.formats import FORMATS, missing
from gancompress.export.sums import check_sums

# Where a folder's models lie: in itself, in a stage `export`, in a run.
_INSIDE = ("", "model", "export/model")


def open_model(path: Path | str, file: Path | str | None = None) -> Model:
    """The generator in a model file, an export folder (its safetensors first) or a run's folder.

    Runs on the CPU with as many threads as torch has when this is called. file: for a generator
    that is its maker's own code, the Python file with its `build(arch)`; it is run.
    Raises: ExportError or CheckpointError for anything that is no such file, is damaged, differs
    from the SHA256SUMS of its export, is of another version, or needs a package that is missing.
    """
    name, found = locate(Path(path))
    if sentence := missing(name):
        raise ExportError(f"{found}: {sentence}")
    check_sums(*files_of(name, found))
    load = FORMATS[name].load
    if name == "safetensors" and file is not None:
        load = partial(weights.load_run, file=file)
    return load(found)


def files_of(name: str, path: Path) -> list[Path]:
    """All files, or folders, of a model of the format `name`, of which `path` is to be loaded.

    Those that share the first one's stem share that of `path`, which may be renamed.
    """
    first, *others = FORMATS[name].files
    stem = Path(first).stem
    names = [
        path.stem + other.removeprefix(stem) if other.startswith(f"{stem}.") else other
        for other in others
    ]
    return [path, *(path.with_name(other) for other in names)]


def locate(path: Path) -> tuple[str, Path]:
    """The format's name in `FORMATS`, and the file that its `load` takes; opens nothing.

    Raises: ExportError if there is no such file or folder, or no model in it.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        raise ExportError(
            f"{path}: no such file or folder; give a model file, an export folder or a run"
        )
    for name, entry in FORMATS.items():
        if path.name in entry.files:
            return name, path.with_name(entry.files[0])
    for name, entry in FORMATS.items():
        first = Path(entry.files[0])
        if path.suffix and path.suffix == first.suffix:
            if name == "safetensors":  # it takes its name from nobody but the arch.json beside it
                raise ExportError(
                    f"{path}: weights are read from {entry.files[0]} beside {entry.files[1]}; "
                    "give both these names, in a folder of their own"
                )
            return name, path
    suffixes = dict.fromkeys(Path(entry.files[0]).suffix for entry in FORMATS.values())
    raise ExportError(
        f"{path}: not a model file by its name; files ending in {' '.join(filter(None, suffixes))} "
        "can be opened, an export folder and a run too"
    )


def models_in(folder: Path) -> dict[str, Path]:
    """The models of an export folder or a run: formats in the registry's order, and their files."""
    for inside in _INSIDE:
        place = folder / inside
        found = {
            name: place / entry.files[0]
            for name, entry in FORMATS.items()
            if all((place / file).is_file() for file in entry.files)
        }
        if found:
            return found
    return {}


def _in_folder(folder: Path) -> tuple[str, Path]:
    found = models_in(folder)
    if not found:
        raise ExportError(
            f"{folder}: no model in it; give a folder that `gancompress export` wrote, or a run "
            "whose export is finished"
        )
    usable = [name for name in found if not missing(name)] or list(found)
    return usable[0], found[usable[0]]
