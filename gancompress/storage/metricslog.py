"""Values of a stage, one JSON object a line, that survive being killed while writing."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import write_text


class MetricsLog:
    """An append-only file of rows `{"step": N, …}`."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def write(self, step: int, **values: Any) -> None:
        """Appends one row of plain JSON values. Raises: CheckpointError if the disk is full."""
        row = json.dumps({"step": step, **values}, ensure_ascii=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(row + "\n")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise CheckpointError(
                f"{self.path}: no space left on disk; free some and give the same command again"
            ) from None

    def truncate_after(self, step: int) -> None:
        """Drops rows of later steps than `step`, and whatever was not written to its end.

        Call it before going on from a state of `step` (-1 begins anew).
        """
        if self.path.exists():
            kept = [json.dumps(r, ensure_ascii=False) for r in self.rows() if r["step"] <= step]
            write_text(self.path, "".join(line + "\n" for line in kept))

    def rows(self) -> list[dict[str, Any]]:
        """All rows that were written to their end."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut off by a kill
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
        return rows
