"""A run to report on: what its recipe says, as far as this version reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, ForeignCodeError, RecipeError
from gancompress.project import Project
from gancompress.project.results import stored_arch
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.yamlreading import parse
from gancompress.report.archplot import channels_per_unit
from gancompress.storage.runs import Run


@dataclass(frozen=True)
class ReportedRun:
    """A run to report on: its recipe as plain values, and as a `Recipe` if this version reads it.

    arch: the teacher's, None if there is none yet. units: channels of one unit of its width slots.
    """

    run: Run
    raw: Mapping[str, Any]
    text: str
    recipe: Recipe | None
    arch: Arch | None = None
    units: Mapping[str, int] = field(default_factory=dict)

    def command(self, name: str, *changes: str) -> str:
        """The line that makes what is missing; the run holds the recipe that it needs."""
        root = self.run.root
        moved = () if self.raw.get("run") == str(root) else (f"run={root}",)
        words = ("gancompress", name, str(root / "recipe.yaml"), *moved, *changes)
        return " ".join(map(shlex.quote, words))

    def part(self, section: str) -> Mapping[str, Any]:
        found = self.raw.get(section)
        return found if isinstance(found, dict) else {}


def source_of(root: Path) -> ReportedRun:
    """Raises: RecipeError, CheckpointError."""
    run, path = Run(root), root / "recipe.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RecipeError(f"{path}: cannot be read as text; give the recipe's run again") from None
    raw = parse(text, str(path))
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: not a recipe; give the command that made the run again")
    try:
        recipe = load_recipe(path, of_run=True)
    except RecipeError:  # another version's run is reported on as far as it can be read
        recipe = None
    arch = stored_arch(run) if run.stage("teacher").is_finished() else None
    units: dict[str, int] = {}
    if recipe is not None and arch is not None:
        with suppress(ArchError, ForeignCodeError):  # bars are then in the family's own widths
            units = channels_per_unit(Project(recipe, root).family.build, arch)
    return ReportedRun(run, raw, text, recipe, arch, units)
