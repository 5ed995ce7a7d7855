"""The types of a recipe's values: strict, each refusing what it does not mean."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
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


Integer = Annotated[int, Field(strict=True)]  # strict: true and "3" are no numbers
Real = Annotated[float, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
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


# What tasks choose data by: an image and its true translation; a label map and its photograph;
# images of two kinds; images of several labelled domains.
Kind = Literal["pairs", "label maps", "unpaired", "domains"]
LabelKind = Literal["exclusive", "independent"]  # one label an image, or any number of them


class DataSection(BaseModel):
    """What the models of all data sets say."""

    model_config = STRICT

    kind: ClassVar[Kind] = "pairs"
    size_key: ClassVar[str] = "size"  # that decides image_size

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of what the generator sees in training."""
        side = getattr(self, self.size_key)
        return side if isinstance(side, tuple) else (side, side)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of input and target."""
        return 3, 3

    @property
    def labels(self) -> LabelKind | None:
        """Whether an image has one label, or any number of them; None where it has no labels."""
        return None

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the label planes behind the input's image."""
        return ()

    @property
    def label_planes(self) -> int:
        """Planes of the input, where it is a label map."""
        return 0


class FamilySection(BaseModel):
    """What the models of all generator families say."""

    model_config = STRICT

    @property
    def style_planes(self) -> int:
        """Constant planes behind the input's, a style code for each image."""
        return 0


class TaskSection(BaseModel):
    """What the models of all tasks say."""

    model_config = STRICT

    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)
    styled: ClassVar[bool] = False  # whether it knows what style planes are
    families: ClassVar[tuple[str, ...]] = ()  # that it can train; all, if none is named

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return 1


def layout_problems(section: BaseModel, layout: str, wanted: dict[str, list[str]]) -> list[str]:
    """Keys that `section`'s layout lacks, or has no use for; `wanted`: the keys of each layout."""
    problems, needed = [], wanted[layout]
    for key in dict.fromkeys(key for keys in wanted.values() for key in keys):
        is_given = getattr(section, key) not in (None, ())
        if key in needed and not is_given:
            problems.append(f"{key}: missing; layout {layout} needs it")
        if is_given and key not in needed:
            names = " and ".join(needed)
            problems.append(f"{key}: given; layout {layout} takes {names} alone")
    return problems


def crop_problems(crop_size: tuple[int, int], load_size: tuple[int, int]) -> list[str]:
    """A crop that exceeds the image that it is taken from."""
    if all(crop <= load for crop, load in zip(crop_size, load_size, strict=True)):
        return []
    crop, load = list(crop_size), list(load_size)
    return [f"crop_size: found {crop}; at most load_size, {load}, is allowed"]


def share_problems(search: float, test: float) -> list[str]:
    """Shares that leave nothing to learn from."""
    if search + test < 1:
        return []
    return [f"search_fraction: {search + test:g} with test_fraction; together below 1 is allowed"]


def refuse(problems: list[str]) -> None:
    """Raises: ValueError with one `key: what was found; what is allowed` a line, if any."""
    if problems:
        raise ValueError("\n".join(problems))
