"""Which teacher a recipe asks for, before there is one."""

from __future__ import annotations

from gancompress.archs.arch import Arch
from gancompress.errors import RecipeError
from gancompress.nets.families.family import Family
from gancompress.teachers.files import teacher_texts
from gancompress.training.options import TeacherSection


def planned_arch(section: TeacherSection, family: Family, recipe_name: str) -> Arch:
    """The arch of the teacher that a recipe trains, or of the one that it is given.

    Raises: CheckpointError if there is no such file; RecipeError if the recipe asks for a width or
    an operator that the given one has not.
    """
    if family.traced_arch is not None:
        return family.traced_arch
    wanted = family.uniform(section.width, section.op)
    if not section.is_given:
        return wanted
    given = Arch.from_json(teacher_texts(section.from_)["arch"], section.from_)
    asked = [f"teacher.{key}" for key in ("width", "op") if key in section.model_fields_set]
    if asked and given != wanted:
        raise RecipeError(
            f"{recipe_name}: {' and '.join(asked)}: found {section.width} {section.op}; the "
            f"teacher {section.from_} is {given.compact}; leave this out, or give "
            "teacher.from=scratch to train another one"
        )
    return given
