"""Archs as users name them."""

from __future__ import annotations

from pathlib import Path

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_size
from gancompress.nets.layers.features import ONE, Bands
from gancompress.project.project import Project


def parse_arch(
    project: Project, text: str, op: str | None = None, bands: Bands | None = None
) -> Arch:
    """The arch that a user names: largest, smallest, teacher, widths as `24_24_40_…`, JSON text or
    a JSON file. Widths and the teacher take `op` in the trunk and `bands` as the family lays them
    out; without them, widths have the space's last operator, the cheap one, and no bands.

    Raises: ArchError if it is none of these or if the family does not admit it.
    """
    arch = _named_arch(project, text, op, bands)
    check_size(project.family, arch, project.recipe.data.image_size)
    return arch


def _named_arch(project: Project, text: str, op: str | None, bands: Bands | None) -> Arch:
    space, family, teacher = project.space, project.family, project.recipe.teacher
    named = {
        "largest": lambda: space.largest,
        "smallest": lambda: space.smallest,
        "teacher": lambda: (
            family.uniform(teacher.width, op or teacher.op, bands or ONE)
            if op or bands
            else project.planned_arch
        ),
    }
    is_json, is_widths = text.lstrip().startswith("{"), text.replace("_", "").isdigit()
    if (op or bands) and not (is_widths or text == "teacher"):
        raise ArchError(f"--arch {text}: has operators and bands itself; leave out --op, --bands")
    if text in named:
        return named[text]()
    if is_widths:
        widths = [int(width) for width in text.split("_")]
        cheap = space.smallest.op(f"{family.body[-1]}.op") if family.body else "dense"
        return family.arch(widths, op or cheap, bands or ONE)
    if is_json:
        return Arch.from_json(text, "--arch")
    if Path(text).is_file():
        return Arch.from_json(Path(text).read_text(encoding="utf-8"), text)
    raise ArchError(
        f"--arch {text}: not an arch; give {', '.join(named)}, widths like "
        f"{space.largest.compact}, JSON text or a JSON file"
    )
