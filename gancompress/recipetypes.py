"""The types of a recipe's values: strict, each refusing what it does not mean."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

STRICT = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


def _pair(value: Any) -> Any:
    """N as [N, N]; anything else is left to pydantic."""
    return [value, value] if isinstance(value, int) else value


def from_home(text: str) -> str:
    """`~/x` and `~user/x` as the folders that shells mean by them."""
    found = os.path.expanduser(text)
    if text.startswith("~") and found == text:
        raise ValueError(f": found {text}; no user of that name has a home folder here")
    return found


FILE = "file"  # marks the keys that name files and folders
FilePath = Annotated[str, AfterValidator(from_home), FILE]
Integer = Annotated[int, Field(strict=True)]  # strict: true and "3" are no numbers
Real = Annotated[float, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
LossName = Literal["l1", "features", "gan", "ssim"]
Weight = Annotated[float, Field(strict=True, ge=0)]
Size = Annotated[
    tuple[Annotated[Integer, Field(ge=1)], Annotated[Integer, Field(ge=1)]],
    BeforeValidator(_pair),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]


# A list of choices, or lists by the name of what they are for.
T = TypeVar("T")
_Listed = Annotated[tuple[T, ...], Field(min_length=1)]
Listed = Annotated[
    Annotated[_Listed[T], Tag("every slot")]
    | Annotated[dict[str, _Listed[T]], Tag("slot by slot"), Field(min_length=1)],
    Discriminator(lambda given: "slot by slot" if isinstance(given, dict) else "every slot"),
]


def _shares(value: Any) -> Any:
    """ALPHA as [ALPHA, 0]; anything else is left to pydantic."""
    return [value, 0.0] if isinstance(value, int | float) else value


_Part = Annotated[float, Field(strict=True, ge=0, le=1)]
Split = Annotated[
    tuple[_Part, _Part],
    BeforeValidator(_shares),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]


def refuse(problems: list[str]) -> None:
    """Raises: ValueError with one `key: what was found; what is allowed` a line, if any."""
    if problems:
        raise ValueError("\n".join(problems))
