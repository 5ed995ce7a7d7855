"""The recipe's model of a generator that was imported as it is."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from gancompress.errors import ArchError, CheckpointError
from gancompress.fields.bounds import shown
from gancompress.fields.types import FilePath, Integer, refuse
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.nets.traced.facts import ProgramFacts, facts_of
from gancompress.teachers.files import teacher_texts
from gancompress.teachers.published import PUBLISHED

if TYPE_CHECKING:
    from gancompress.nets.families.family import Family

PROGRAM = "program"  # The key of a teacher's file that holds the text of its program.


class TracedOptions(FamilyOptions):
    """A generator of any program, imported as a graph of operators."""

    beside: ClassVar[frozenset[str]] = frozenset({"file", "slots"})

    name: Literal["traced"] = Field(default="traced", description="an imported generator")
    file: FilePath = Field(
        default="",
        description="what `gancompress compress` has imported, .safetensors, or the name of a "
        "published teacher; default: teacher.from",
    )
    slots: Integer = Field(
        default=12, ge=1, le=64, description="width slots; groups of equal role share one"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_there(cls, given: Any) -> Any:
        file = given.get("file", "") if isinstance(given, dict) else None
        if file == "":
            refuse(["file: missing; give it, or teacher.from"])
        if isinstance(file, str):
            file = os.path.expanduser(file)
            try:
                _facts_of(file)
            except (CheckpointError, ArchError) as error:
                refuse([f"file: {shown(str(error), 300)}"])
        return given

    @cached_property
    def facts(self) -> ProgramFacts:
        """What is known of the generator."""
        return _facts_of(self.file)

    @property
    def size_multiple(self) -> int:
        return self.facts.size_multiple

    @property
    def enlargement(self) -> int:
        return self.facts.enlargement

    def size_problems(self, size: tuple[int, int]) -> list[str]:
        if self.facts.is_static and size != self.facts.size:
            return [f"found {list(size)}; {self.file} takes {list(self.facts.size)} alone"]
        return []

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.traced import TracedGenerator

        return TracedGenerator

    def family(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> Family:
        """Raises: ArchError for images of other channels than it takes and makes."""
        facts = self.facts
        if (in_channels, out_channels) != (facts.in_channels, facts.out_channels):
            raise ArchError(
                f"family: {self.file} takes {facts.in_channels} channels and makes "
                f"{facts.out_channels}; data has {in_channels} and {out_channels}"
            )
        return self.of(
            in_channels=in_channels,
            out_channels=out_channels,
            program=_program_of(self.file),
            most_slots=self.slots,
        )


def _facts_of(file: str) -> ProgramFacts:
    """What is known of the generator in a file, or of a published one, which nobody has to fetch.

    Raises: CheckpointError, ArchError.
    """
    if file in PUBLISHED:
        return ProgramFacts.of(PUBLISHED[file].facts, file)
    return facts_of(_program_of(file), file)


def _program_of(file: str) -> str:
    text = teacher_texts(file).get(PROGRAM)
    if text is None:
        raise CheckpointError(
            f"{file}: not an imported generator; make one with `gancompress compress`"
        )
    return text
