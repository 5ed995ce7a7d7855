"""The recipe's model of a generator of the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from gancompress.fields.bounds import shown
from gancompress.fields.types import FilePath, refuse
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.storage.codefiles import code_sum

if TYPE_CHECKING:
    from gancompress.nets.families.family import Family


class OwnOptions(FamilyOptions):
    """A generator of the user's own: a Python file with a function build(arch)."""

    size_multiple: ClassVar[int] = 1  # the file says: it is not run while recipes are read
    beside: ClassVar[frozenset[str]] = frozenset({"sha256"})

    name: Literal["own"] = Field(
        default="own", description="a generator from a file; may be left out beside file"
    )
    file: FilePath = Field(description="Python file with a function build(arch); it is run")
    sha256: str = Field(
        default="",
        description="of the file and those beside it that it imports; filled in, and refused "
        "where it differs",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("file"), str):
            return given
        path = Path(os.path.expanduser(given["file"]))
        if not os.path.isfile(path):  # which takes names too long for a file's, unlike Path's own
            name = shown(repr(given["file"]))
            refuse([f"file: {name} is not there; give a Python file with build(arch)"])
        try:
            found = code_sum(path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            refuse([f"file: {path} cannot be read ({reason}); give a readable file"])
        if given.get("sha256", found) not in ("", found):
            refuse(
                [
                    f"sha256: {path}, or a file that it imports, has changed to {found}; give "
                    "another run and the new sum, or the file as it was"
                ]
            )
        return {**given, "sha256": found}

    @property
    def code_file(self) -> str:
        """The file, which is run."""
        return self.file

    @classmethod
    def made(cls) -> type[Family]:
        from gancompress.nets.families.own import OwnGenerator

        return OwnGenerator


def named_own(given: Any) -> Any:
    """`{file: …}` as `{name: own, file: …}`; anything else as it is."""
    if isinstance(given, dict) and "file" in given and "name" not in given:
        return {"name": "own", **given}
    return given
