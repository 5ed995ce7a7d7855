"""Whose code a recipe names: files that are run, or run code when they are opened.

A recipe that its user wrote is the user's word for the files it names. One that lies in a run's
folder may have come from anywhere, its files with it: those are run if this command names them
too, or if this user has made a run with them on this machine. What was so used is kept in mind
outside of all runs, by place and content: code that has changed since, or lies elsewhere, is other
code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gancompress.fields.bounds import shown
from gancompress.recipe.recipe import Recipe
from gancompress.storage.codefiles import code_sum

VARIABLE = "XDG_STATE_HOME"
_DEFAULT = "~/.local/state"
# Keys of files that are code, with what such a file does.
_OWN = ("family", "file")
_NETWORKS = (("metrics", "segmentation", "file"), ("metrics", "classifier", "file"))
_MARKS = ("teacher", "supernet", "search", "finetune", "export")  # stages, as `runs.STAGES`


def is_of_run(path: Path, raw: Mapping[str, Any]) -> bool:
    """Whether a recipe's file lies in a run's folder, or was written by a command.

    raw: its content. Commands fill in the hash of an own generator, which nobody does by hand.
    """
    family = raw.get("family")
    has_sum = isinstance(family, dict) and bool(family.get("sha256"))
    return has_sum or any((path.parent / name / "stage.json").exists() for name in _MARKS)


def with_trust(
    recipe: Recipe, where: str, named: Sequence[tuple[str, ...]], *, is_foreign: bool
) -> Recipe:
    """The recipe, which refuses to have code run that nobody stands for.

    named: the keys that this command gives. is_foreign: it may have come from anywhere.
    """
    refused = {}
    for key, file in code_files(recipe).items() if is_foreign else ():
        is_named = any(key[: len(one)] == one for one in named)
        if not is_named and not is_known(file):
            refused[key] = f"{where}: {_refusal(key, shown(file, 200))}"
    return recipe.refusing(refused) if refused else recipe


def _refusal(key: tuple[str, ...], file: str) -> str:
    dotted = ".".join(key)
    what, other = "code", f" (or --file {file}, where a command takes that)"
    if key != _OWN:
        what, other = "TorchScript, which can run code when it is opened", ""
    return (
        f"{dotted}: found {file}, {what}; no run of yours on this machine has used it as it is; "
        f"if you trust it, add {dotted}={file} to the command{other}"
    )


def opened_code(recipe: Recipe) -> list[str]:
    """A line for each network that evaluates and whose file can run code when it is opened."""
    return [
        f"{'.'.join(key)}: opens {shown(file, 200)}; TorchScript can run code that is in it"
        for key, file in code_files(recipe).items()
        if key in _NETWORKS
    ]


def code_files(recipe: Recipe) -> dict[tuple[str, ...], str]:
    """The files of code that a recipe names, by their keys."""
    found: dict[tuple[str, ...], str] = {}
    if recipe.family.code_file is not None:
        found[_OWN] = recipe.family.code_file
    sections = (recipe.metrics.segmentation, recipe.metrics.classifier)
    for key, section in zip(_NETWORKS, sections, strict=True):
        # torchvision's files are read as plain tensors, and those of pt2 checked for code.
        if section is not None and section.file and section.kind == "torchscript":
            found[key] = section.file
    return found


def remember(recipe: Recipe) -> None:
    """Keeps in mind that this user makes a run with the code that a recipe names.

    Where that cannot be written the user is asked again, and nothing else is amiss.
    """
    folder = _folder()
    for key, file in code_files(recipe).items():
        if folder is None or recipe.refusal(key):
            continue
        with suppress(OSError):
            place, digest = _place(file), _sha256(file)
            about = {"file": place, "sha256": digest, "run": os.path.abspath(recipe.run_dir)}
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = folder / _name(place, digest)
            if not path.exists():
                path.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def is_known(file: str) -> bool:
    """Whether this user has made a run with the code in `file`, as it is and where it lies now."""
    folder = _folder()
    try:
        return folder is not None and (folder / _name(_place(file), _sha256(file))).is_file()
    except OSError:
        return False


def _folder() -> Path | None:
    """Where each file is noted that was used; None where there is no home."""
    given = os.environ.get(VARIABLE, "")
    root = Path(given if os.path.isabs(given) else os.path.expanduser(_DEFAULT))
    return root / "gancompress" / "code" if root.is_absolute() else None


def _name(place: str, digest: str) -> str:
    """A name that tells place and content: that it is there is all that counts."""
    return hashlib.sha256(f"{place}\n{digest}".encode(errors="surrogateescape")).hexdigest()


def _place(file: str) -> str:
    return os.path.realpath(os.path.expanduser(file))


def _sha256(file: str) -> str:
    path = Path(os.path.expanduser(file))
    if path.suffix == ".py":
        return code_sum(path)
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
