"""Pydantic's findings about a recipe as *key: what was found; what is allowed*."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gancompress.fields.bounds import shown
from gancompress.recipe.recipe import Recipe

Path = tuple[str, ...]
MAX_PROBLEMS = 30  # The most problems that are listed at once; further ones are counted.
# Keys and values of recipes by the names that they had before 2026-11-29.
RENAMED = {
    "critic_width": "discriminator_width",
    "critic_layers": "discriminator_layers",
    "critic_scales": "discriminator_scales",
    "critic_bands": "discriminator_bands",
    "critic_op": "discriminator_op",
    "critic_steps": "discriminator_steps",
    "lr_critic": "lr_discriminator",
    "truth": "ground-truth",
}
MAX_LINE = 500  # characters of what our own validators say of one key

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping {key: value, …}",
    "model": "a section of keys",
}
_BOUNDS = {
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
    "multiple_of": "a multiple of {multiple_of:g}",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "text matching {pattern}",
    "string_too_long": "text of at most {max_length} characters",
}


@dataclass(frozen=True)
class Problem:
    """What is wrong at one key of a recipe."""

    path: Path
    text: str

    @property
    def key(self) -> str:
        """The path as a recipe's user writes it, cut to what fits on a line."""
        return ".".join(shown(part) for part in self.path)


def problems_of(error: ValidationError, raw: dict[str, Any]) -> tuple[list[Problem], int]:
    """The first `MAX_PROBLEMS` things that are wrong in `raw`, in the order of the recipe's
    sections, and how many findings there are beyond."""
    order = {name: i for i, name in enumerate(Recipe.model_fields)}
    details = error.errors(include_url=False)
    details.sort(key=lambda d: order.get(str(d["loc"][0]) if d["loc"] else "", len(order)))
    lengths: dict[tuple[str | int, ...], int] = {}  # Lengths that too short lists should have.
    for detail in details:
        if detail["type"] == "missing" and isinstance(detail["loc"][-1], int):
            lengths[detail["loc"][:-1]] = detail["loc"][-1] + 1
    problems: dict[Problem, None] = {}  # an ordered set
    for number, detail in enumerate(details):
        if len(problems) >= MAX_PROBLEMS:
            return _in_order(problems, order), len(details) - number
        if (length := lengths.get(detail["loc"][:-1])) and detail["type"] == "missing":
            found = _shown(_value_at(raw, _path(detail, raw)[:-1]))
            text = f"found {found}; a list of {length} is allowed"
            problems[Problem(_path(detail, raw)[:-1], text)] = None
        else:
            problems |= dict.fromkeys(_problems(detail, raw))
    return _in_order(problems, order), 0


def _in_order(problems: Iterable[Problem], order: Mapping[str, int]) -> list[Problem]:
    return sorted(problems, key=lambda p: order.get(p.path[0] if p.path else "", len(order)))


def _value_at(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[int(part)] if isinstance(raw, list) else raw[part]
    return raw


def _problems(detail: ErrorDetails, raw: dict[str, Any]) -> list[Problem]:
    path, kind, context = _path(detail, raw), detail["type"], detail.get("ctx", {})
    if kind == "value_error":  # our own validators: lines of `key: what was found; …`
        return [_own(path, line) for line in str(context["error"]).splitlines()]
    if kind == "too_short" and len(detail["input"]) >= context["min_length"]:
        return []  # entries were refused for themselves, and are not counted by pydantic
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return [_unknown_kind(path, kind, context)]
    if kind == "extra_forbidden":
        return [Problem(path, _unknown_key(path, _model_at(detail["loc"])))]
    if kind == "missing":
        return [Problem(path, _missing(path[-1], _model_at(detail["loc"])))]
    if kind == "literal_error":
        is_key = detail["loc"][-1] == "[key]"  # A mapping's key, where keys are fixed.
        found = "unknown key" if is_key else f"found {_shown(detail['input'])}"
        allowed = _one_of(detail["input"], _names(context["expected"]))
        return [Problem(path, f"{found}; {allowed}")]
    return [Problem(path, f"found {_shown(detail['input'])}; {_allowed(detail)} is allowed")]


def _path(detail: ErrorDetails, raw: dict[str, Any]) -> Path:
    """Pydantic's location without the names of union members, which no recipe contains."""
    loc = _untagged(detail["loc"])
    path: list[str] = []
    place: Any = raw
    for depth, part in enumerate(loc):
        if _holds(place, part):
            place = place[part]
        elif depth < len(loc) - 1 or detail["type"] != "missing":
            continue
        path.append(str(part))
    return tuple(path)


def _holds(place: object, part: str | int) -> bool:
    if isinstance(place, dict):
        return part in place
    return isinstance(place, list) and isinstance(part, int) and part < len(place)


def _untagged(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    field = Recipe.model_fields.get(str(loc[0])) if loc else None
    if field is not None and field.discriminator is not None and len(loc) > 1:
        return (loc[0], *loc[2:])
    return tuple(loc)


def _model_at(loc: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose key `loc` ends in."""
    if len(loc) == 1:
        return Recipe
    field = Recipe.model_fields[str(loc[0])]
    for model in get_args(field.annotation) or (field.annotation,):
        if isinstance(model, type) and issubclass(model, BaseModel):
            names = get_args(model.model_fields["name"].annotation) if field.discriminator else ()
            if not names or loc[1] in names:
                return _inner(model, [part for part in loc[1:-1] if part not in names])
    return None


def _inner(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel]:
    """The section that `path` leads to from `model`, as far as there are sections."""
    for part in path:
        field = model.model_fields.get(str(part))
        kinds = get_args(field.annotation) if field else ()
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), model)
    return model


def _own(path: Path, line: str) -> Problem:
    """A line of our validators; its key, which may be empty, is relative to `path`."""
    key, _, text = line.partition(": ")
    if len(text) > MAX_LINE:  # What is allowed stands at the end.
        text = f"{shown(text, MAX_LINE // 2)}{text[-MAX_LINE // 2 :]}"
    return Problem(path + tuple(part for part in key.split(".") if part), text)


def _unknown_kind(path: Path, kind: str, context: dict[str, Any]) -> Problem:
    field = Recipe.model_fields[path[0]]
    names = [
        name
        for model in get_args(field.annotation)
        for name in get_args(model.model_fields["name"].annotation)
    ]
    if kind == "union_tag_not_found":
        return Problem((*path, "name"), f"missing; {_one_of('', names)}")
    found = context["tag"]
    return Problem((*path, "name"), f"found {_shown(found)}; {_one_of(found, names)}")


def _missing(key: str, model: type[BaseModel] | None) -> str:
    field = model.model_fields[key] if model else None
    if field is not None and get_origin(field.annotation) is Literal:
        return f"missing; {_one_of('', get_args(field.annotation))}"
    meaning = field.description if field else None
    return "missing; it is needed" + (f": {meaning}" if meaning else "")


def _unknown_key(path: Path, model: type[BaseModel] | None) -> str:
    keys = [field.alias or key for key, field in model.model_fields.items()] if model else []
    if (now := RENAMED.get(path[-1])) in keys:
        return f'unknown key; it is called "{now}" now'
    if close := difflib.get_close_matches(path[-1], keys, n=1):
        return f'unknown key; did you mean "{close[0]}"?'
    elsewhere = [
        f'"{section}.{path[-1]}"'
        for section, field in Recipe.model_fields.items()
        if section != path[0]
        and any(
            path[-1] in getattr(model, "model_fields", {})
            for model in get_args(field.annotation) or (field.annotation,)
        )
    ]
    if elsewhere:
        return f"unknown key here; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; {', '.join(keys)} are allowed"


def _one_of(found: object, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is allowed"
    allowed = f"one of {', '.join(names)}"
    if (now := RENAMED.get(str(found))) in names:
        return f'{allowed}; it is called "{now}" now'
    close = difflib.get_close_matches(str(found), names, n=1)
    return allowed + (f'; did you mean "{close[0]}"?' if close else "")


def _names(expected: str) -> list[str]:
    """`'a', 'b' or 'c'`, as pydantic writes a Literal, taken apart."""
    return [part.strip(" '") for part in expected.replace("' or '", "', '").split(",")]


def _allowed(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind in ("too_short", "too_long"):
        bound = "at least" if kind == "too_short" else "at most"
        count = context["min_length" if kind == "too_short" else "max_length"]
        return f"a list or mapping of {bound} {count}"
    return _KINDS.get(kind.split("_")[0], detail["msg"].lower())


def _shown(value: object) -> str:
    """A value as a recipe would have it, shortened."""
    return shown(json.dumps(value, ensure_ascii=False, default=str))
