"""The directory of one compression: a folder per stage, and the recipe of the last command."""

from __future__ import annotations

from pathlib import Path

from gancompress.storage.checkpoint import remove_dead, write_text
from gancompress.storage.readings import Readings
from gancompress.storage.stagedir import StageDir
from gancompress.storage.stagenames import STAGES


class Run:
    """The directory of one compression.

    ROOT/recipe.yaml is the resolved recipe of the last command. ROOT/STAGE/ holds that stage's
    artefact, `stage.json` (provenance), `metrics.jsonl` and, while in progress, `state.pt`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.readings = Readings()

    def stage(self, name: str, variant: str = "") -> StageDir:
        """The folder of a stage; `variant` is added to its name where a stage is done in several
        ways side by side."""
        assert name in STAGES, f"{name!r} is not one of {list(STAGES)}"
        return StageDir(self.root, name, variant, self.readings)

    def keep_recipe(self, text: str) -> None:
        """Writes ROOT/recipe.yaml. Raises: CheckpointError if that is impossible."""
        write_text(self.root / "recipe.yaml", text)

    def clear(self) -> None:
        """Deletes what killed commands left half-written; others may work on the run meanwhile."""
        remove_dead(self.root)
