"""The files that a project's recipe names, as stages keep them in mind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gancompress.project.project import Project
from gancompress.recipe.texts import file_keys
from gancompress.storage.contents import Contents, Files, changes, read_contents


def files_of(project: Project, sections: Mapping[str, Any]) -> Files:
    """The files that `sections` of the recipe name, to be read when a stage needs to compare."""
    listed = file_keys(project.recipe)
    named = {key: name for key, name in listed.items() if _holds(sections, key)}
    return Files(named, _reading(project, named))


def changed_since(project: Project) -> str:
    """One sentence if the latest stage was made from other files than there are now, else nothing.

    For what evaluates and makes no stage of its own. Raises: DataError.
    """
    run = project.run
    done = [name for name in ("teacher", "supernet", "search") if run.stage(name).is_finished()]
    if not done:
        return ""
    record = run.stage(done[-1]).record()
    files = files_of(project, record.sections)
    if not record.contents or not (found := changes(run.root, record.contents, files.read())):
        return ""
    return f"note: {run.root / done[-1]} was made from other files than there are now: {found}"


def _reading(project: Project, named: Mapping[str, str]) -> Callable[[], Contents]:
    # The own generator's file has its hash in the recipe.
    weights = {
        key: Path(name)
        for key, name in named.items()
        if not key.startswith("data.") and key != "family.file"
    }
    root, hashes = project.run.root, project.hashes
    return cache(lambda: read_contents(root, weights, project.files.origin.named(), hashes))


def _holds(sections: Mapping[str, Any], key: str) -> bool:
    """Whether a dotted key is among the plain values that decide a stage."""
    place: Any = sections
    for part in key.split("."):
        if not isinstance(place, dict) or part not in place:
            return False
        place = place[part]
    return True
