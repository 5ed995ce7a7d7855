"""The files that make up a user's Python code: one, and those beside it that it imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from importlib.machinery import all_suffixes
from pathlib import Path


def code_sum(path: Path) -> str:
    """SHA-256 of a Python file; where it imports files beside it, of all of them with their names.

    Raises: OSError if one cannot be read.
    """
    files = code_files(path)
    sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    if len(files) == 1:
        return sums[0]
    folder = path.resolve().parent
    lines = [
        f"{found}  {file.relative_to(folder)}" for found, file in zip(sums, files, strict=True)
    ]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def code_files(path: Path) -> list[Path]:
    """The file, then those in its folder that it imports, or that these import, by name.

    What is imported by a name that is computed cannot be known without running the code.
    Raises: OSError if one cannot be read.
    """
    first = path.resolve()
    found, waiting = {first}, [first]
    while waiting:
        for name in _imported(waiting.pop()):
            new = set(_beside(first.parent, name)) - found
            found |= new
            waiting += sorted(new)
    return [first, *sorted(found - {first})]


def _imported(file: Path) -> Iterator[str]:
    """The first parts of the names of modules that a file imports; none of one that is no text."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # It cannot be run either.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _beside(folder: Path, name: str) -> Iterator[Path]:
    """The files in `folder` that an import of `name` may run: a module's, or all of a package."""
    suffixes = tuple(all_suffixes())
    yield from (file for s in suffixes if (file := folder / f"{name}{s}").is_file())
    yield from (file for file in (folder / name).rglob("*") if file.name.endswith(suffixes))
