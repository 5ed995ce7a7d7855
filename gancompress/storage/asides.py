"""Earlier results, set aside before they are made again."""

from __future__ import annotations

from pathlib import Path


def set_aside(path: Path, ending: str = "") -> Path:
    """Renames a file or folder to NAME.1, NAME.2, …, the first that is free; the new place.

    The number stands before `ending`, with which the name ends.
    """
    name, number = path.name.removesuffix(ending), 1
    while (aside := path.with_name(f"{name}.{number}{ending}")).exists():
        number += 1
    path.rename(aside)
    return aside
