"""The types of a recipe's values: strict, each refusing what it does not mean."""

from __future__ import annotations

import os
import re
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

from gancompress.fields.bounds import shown

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4096  # Linux's limits; those of other systems are no larger.
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


def _fits_a_disk(text: str) -> str:
    parts = text.split("/")
    if _bytes(text) >= MAX_PATH_BYTES or max(map(_bytes, parts)) > MAX_NAME_BYTES:
        raise ValueError(
            f": found a path of {len(text)} characters; names of at most {MAX_NAME_BYTES} bytes, "
            f"in a path of fewer than {MAX_PATH_BYTES}, are allowed"
        )
    return text


def _bytes(text: str) -> int:
    return len(text.encode())


def _of_64_bits(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # no tensor, file or loop takes it
        raise ValueError(f": found {shown(str(value))}; a number of at most 63 bits is allowed")
    return value


def _as_text(value: Any) -> Any:
    """A path object, which code may give, as recipes have it."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


FILE = "file"  # marks the keys that name files and folders
FilePath = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(from_home),
    AfterValidator(_fits_a_disk),
    FILE,
]
# strict: true and "3" are no numbers
Integer = Annotated[int, BeforeValidator(_of_64_bits), Field(strict=True)]
Real = Annotated[float, Field(strict=True)]
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1)]
# What tasks choose data by: an image and its true translation; a label map and its photograph;
# images of two kinds; images of several labelled domains; images alone; small images and the large
# ones of them; inputs that a trained generator answers.
Kind = Literal["pairs", "label maps", "unpaired", "domains", "images", "superres", "inputs"]
LabelKind = Literal["exclusive", "independent"]  # one label an image, or any number of them
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
_SHORT = "short:"


def _load(value: Any) -> Any:
    """A side as both; `none`, `short:SIDE` and `short:LEAST-MOST` as they are."""
    if not isinstance(value, str):
        return _pair(value)
    if value.isdecimal():  # texts come as they were typed
        return _pair(int(value))
    found = re.fullmatch(rf"{_SHORT}([1-9]\d{{0,5}})(-([1-9]\d{{0,5}}))?", value)
    if value == "none" or (found and int(found[1]) <= int(found[3] or found[1])):
        return value
    raise ValueError(
        f": found {value[:60]!r}; a side, [height, width], {_SHORT}SIDE, {_SHORT}LEAST-MOST or "
        "none is allowed"
    )


def short_sides(load_size: str) -> tuple[int, int]:
    """The least and the largest shorter side that images of a shape of their own are resized to;
    0 and 0: not at all."""
    if not load_size.startswith(_SHORT):
        return 0, 0
    least, _, most = load_size.removeprefix(_SHORT).partition("-")
    return int(least), int(most or least)


def short_side(load_size: str) -> int:
    """The least of `short_sides`."""
    return short_sides(load_size)[0]


# The size that images have before a part is cut out: [height, width], or their own shape.
Load = Annotated[
    Annotated[tuple[Annotated[Integer, Field(ge=1)], Annotated[Integer, Field(ge=1)]], Tag("sides")]
    | Annotated[str, Tag("own shape")],
    Discriminator(lambda given: "own shape" if isinstance(given, str) else "sides"),
    BeforeValidator(_load),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                {"type": "string", "pattern": "^(none|short:[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})?)$"},
            ]
        }
    ),
]

COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}


def _colour(value: Any) -> Any:
    """A named colour as its parts; parts are left to pydantic."""
    if isinstance(value, str):
        if value not in COLOURS:
            names = ", ".join(COLOURS)
            raise ValueError(f": found {value[:60]!r}; {names} or [red, green, blue] is allowed")
        return COLOURS[value]
    return value


Byte = Annotated[Integer, Field(ge=0, le=255)]
Background = Annotated[
    tuple[Byte, Byte, Byte],
    BeforeValidator(_colour),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(COLOURS)},
                {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
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
