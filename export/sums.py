"""`SHA256SUMS` of an export: what every file of it held when it was written.

`sha256sum -c SHA256SUMS` reads it too. A model file that lies with its list is compared before it
is loaded: most formats have no checksum of their own, and a changed bit would answer otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gancompress.errors import ExportError
from gancompress.storage.checkpoint import file_hash, write_text

SUMS = "SHA256SUMS"
MODEL = "model"  # the folder of the model files, in that of the export
_DEPTH = 3  # The list is looked for in so many folders above a file: model/web/page.js.


def sums_of(folder: Path) -> dict[str, str]:
    """SHA-256 of all files in a folder and those in it, by their names from there, sorted.

    Hidden files are left out. Raises: CheckpointError for one that cannot be read.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder) for path in found]
    seen = [name for name in names if not any(part[0] == "." for part in name.parts)]
    return {name.as_posix(): file_hash(folder / name) for name in seen}


def sums_text(sums: Mapping[str, str]) -> str:
    """One line for each file, as `sha256sum` writes them."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def write_sums(folder: Path, also: Iterable[str]) -> list[str]:
    """Writes the list of an export: its model files, and the files named by `also`.

    Returns the names of all, the list's own among them. Raises: CheckpointError.
    """
    sums = {f"{MODEL}/{name}": digest for name, digest in sums_of(folder / MODEL).items()}
    sums |= {name: file_hash(folder / name) for name in also}
    write_text(folder / SUMS, sums_text(sums))
    return [*sums, SUMS]


def check_sums(*paths: Path) -> None:
    """Compares model files, and all files of model folders, with the list that lies near them.

    What has no list cannot be checked. Raises: ExportError naming a file that differs.
    """
    for path in paths:
        for sums in _lists_near(path):
            for name, digest in _read(sums).items():
                file = sums.parent / name
                is_asked = file == path.absolute() or path.absolute() in file.parents
                if is_asked and (not file.is_file() or file_hash(file) != digest):
                    raise ExportError(
                        f"{file}: changed on disk, truncated or gone: its SHA-256 is not the one "
                        f"in {sums}; give `gancompress export … --redo` to make it again, or copy "
                        "the export anew"
                    )


def _lists_near(path: Path) -> Iterator[Path]:
    folders = path.absolute().parents[:_DEPTH]
    return (folder / SUMS for folder in folders if (folder / SUMS).is_file())


def _read(path: Path) -> dict[str, str]:
    """SHA-256 by name; lines of another form are passed over."""
    rows = (line.partition("  ") for line in path.read_text("utf-8", "replace").splitlines())
    return {name: digest for digest, space, name in rows if space and name}
