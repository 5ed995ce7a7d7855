"""Why the work in a stage's folder is not gone on with: other sections, other files or parents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gancompress.errors import RunError
from gancompress.storage.contents import Files, changes
from gancompress.storage.stagenames import STAGES
from gancompress.storage.stagerecords import StageRecord, changed, differences


def refuse_changed(
    maker: Path, contents: Mapping[str, str] | None, files: Files, stage: str, folder: Path
) -> None:
    """Raises: RunError if `maker`, the folder of a stage or of its parent, was made from files of
    other contents; stage and its folder: what is to be made."""
    if contents and (found := changes(folder.parent, contents, files.read())):
        raise RunError(
            f"{maker}: made from other files than there are now: {found}; put back what "
            f"was there, or give `gancompress {STAGES[stage]} … --redo` to make "
            f"{folder.name} from what is there now"
        )


def refuse_other(
    folder: Path,
    record: StageRecord,
    sections: dict[str, Any],
    hashes: Mapping[str, str],
    files: Files | None,
) -> None:
    """Raises: RunError if a stage's folder, whose record this is, holds the work of other sections,
    or of parents with other hashes."""
    ways_out = "give another run=DIR, or --redo to set this one aside and begin again"
    before, parents = record.sections, record.parents
    if files is not None:
        before = files.spelled_alike(before, sections, any_place=record.contents is not None)
    if told := other_length(replace(record, sections=before), sections):
        raise RunError(f"{folder}: {told}")
    if told := differences(before, sections):
        raise RunError(f"{folder}: made with another recipe, {told}; {ways_out}")
    for parent in sorted({*parents, *hashes}):
        if parents.get(parent) != hashes.get(parent):
            path = folder.parent / parent
            if parent in parents and parent in hashes:
                found = f"made from another {parent} than {path} holds now"
            else:  # a parent that the stage can do without: nothing before it is to be redone
                ways_out = f"give `gancompress {STAGES[record.kind]} … --redo` to make it again"
                found = f"made before {path} was"
                if parent in parents:
                    found = f"made from {path}, which is no longer finished or up to date"
            raise RunError(f"{folder}: {found}; {ways_out}")


def other_length(record: StageRecord, sections: dict[str, Any]) -> str:
    """The refusal of a number of steps, if nothing else differs; empty otherwise.

    The learning rate falls to 0 over all steps: the first steps of a longer training are others
    than those of a shorter one.
    """
    stage = record.kind
    key, told = f"{stage}.steps", changed(record.sections, sections)
    if set(told) != {key}:
        return ""
    what = "trained to its end" if record.finished else "in training"
    return (
        f"{what} with {told[key]}; its learning rate falls to 0 over all its steps, so another "
        f"number of them is another training, from the first step on: "
        f"{key}={record.sections[stage]['steps']} goes on with this one; for the other give "
        "another run=DIR, or --redo, which keeps this one beside it"
    )
