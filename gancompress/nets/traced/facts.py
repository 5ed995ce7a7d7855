"""What is known of a traced generator without torch: recipes are read without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gancompress.errors import ArchError

VERSION = 1
NAMES = "input", "output"  # What they are called where a generator's file names neither.


@dataclass(frozen=True)
class ProgramFacts:
    """What is known of a traced generator without torch.

    size: (height, width) that it was traced on; is_static: whether it takes no other.
    size_multiple: of height and width. enlargement: its output's side over its input's.
    value_range: of the images that it takes and gives, (lowest, highest). names: of its input and
    output, in the program that it comes from. fixed_by: why it takes no other size, where more is
    known than that its code is so.
    """

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    is_static: bool
    size_multiple: int
    enlargement: int
    value_range: tuple[float, float] = (-1.0, 1.0)
    names: tuple[str, str] = NAMES
    fixed_by: str = ""

    @classmethod
    def of(cls, plain: Mapping[str, Any], where: str) -> ProgramFacts:
        """From JSON. Raises: ArchError naming `where`."""
        try:
            found = cls(**{**plain, "size": tuple(plain["size"]),
                           "value_range": tuple(plain["value_range"]),
                           "names": tuple(plain.get("names", NAMES))})  # fmt: skip
            numbers = (found.in_channels, found.out_channels, *found.size, found.size_multiple)
            if min(numbers) < 1 or found.enlargement < 1 or len(found.size) != 2:
                raise ValueError(str(plain))
            low, high = found.value_range
            taken, given = found.names
            if not low < high or not all(isinstance(n, str) and n for n in (taken, given)):
                raise ValueError(str(plain))
        except (TypeError, ValueError, KeyError):
            raise ArchError(f"{where}: not a traced generator; import it again") from None
        return found


def facts_of(text: str, where: str) -> ProgramFacts:
    """The facts of a program's text. Raises: ArchError naming `where`."""
    return ProgramFacts.of(parsed(text, where).get("facts", {}), where)


def parsed(text: str, where: str) -> dict[str, Any]:
    """A program's text as JSON. Raises: ArchError naming `where`, for another version too."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict) or plain.get("version") != VERSION:
        raise ArchError(f"{where}: not a traced generator of this version; import it again")
    return plain
