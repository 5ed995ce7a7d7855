"""Text as it was typed, for the keys of a recipe that are texts: `run: 1.10` is no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from gancompress.fields.types import FILE
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.yamlreading import Scalar, parse_scalars, plain

_UNSET = ("", "null")  # The texts that mean that a key has no value.


def typed(value: Any, kinds: Sequence[Any]) -> Any:
    """A value of `parse_scalars` without scalars: their text where `kinds` has it, else the value.

    Nothing and `null` leave a key without value; in a list both are texts, as any word is.
    """
    if isinstance(value, dict):
        return {key: typed(inner, _kinds_at(kinds, key, value)) for key, inner in value.items()}
    if isinstance(value, list):
        inner_kinds = [k for kind in kinds if _is_list(kind) for k in _leaves(*get_args(kind))]
        return [_text(v, inner_kinds, unsets=()) for v in value]
    return _text(value, kinds, unsets=_UNSET)


def override_value(text: str, path: Sequence[str], where: str) -> Any:
    """What a user wrote behind `key=`: YAML, but for texts, which need no quotes.

    Raises: RecipeError naming `where`.
    """
    kinds: Sequence[Any] = (Recipe,)
    for part in path:
        kinds = _kinds_at(kinds, part, {})
    is_text = str in kinds and set(kinds) <= {str, NoneType}
    if not is_text or text.strip()[:1] in ("'", '"', ""):
        return typed(parse_scalars(text, where), kinds)
    return None if text.strip() in _UNSET else text.strip()


def file_keys(section: BaseModel, before: str = "") -> dict[str, str]:
    """The names of files and folders in a recipe, by their dotted keys, without those unset."""
    found: dict[str, str] = {}
    for key, field in type(section).model_fields.items():
        value, name = getattr(section, key), f"{before}{key}"
        if isinstance(value, BaseModel):
            found |= file_keys(value, f"{name}.")
        elif isinstance(value, str) and FILE in (*field.metadata, *_marks(field.annotation)):
            found[name] = value
    return found


def _text(value: Any, kinds: Sequence[Any], unsets: Sequence[str]) -> Any:
    if isinstance(value, (dict, list)):
        return typed(value, kinds)
    if not isinstance(value, Scalar):
        return value
    read = plain(value)
    # One data set's key may be a word where another's of the same name is a number alone.
    is_number = int in kinds and type(read) is int
    return value.text if str in kinds and value.text not in unsets and not is_number else read


def _kinds_at(kinds: Sequence[Any], key: str, given: dict[str, Any]) -> list[Any]:
    """What may stand at a key of a section, or of a mapping, of these kinds.

    given: the section, whose `name` chooses among several.
    """
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    named = [model for model in models if given.get("name") in _names(model)]
    found = [
        leaf
        for model in named or models
        if key in model.model_fields
        for leaf in _leaves(model.model_fields[key].annotation)
    ]
    mappings = (get_args(kind)[1] for kind in kinds if get_origin(kind) is dict)
    return [*found, *(leaf for value in mappings for leaf in _leaves(value))]


def _names(model: type[BaseModel]) -> tuple[Any, ...]:
    field = model.model_fields.get("name")
    return get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()


def _leaves(*annotations: Any) -> Iterator[Any]:
    """The types of annotations, out of unions and without what is noted beside them."""
    for annotation in annotations:
        if get_origin(annotation) is Annotated:
            yield from _leaves(get_args(annotation)[0])
        elif get_origin(annotation) in (Union, UnionType):
            yield from _leaves(*get_args(annotation))
        elif annotation is not Ellipsis:
            yield annotation


def _marks(annotation: Any) -> Iterator[Any]:
    """What is noted beside the types of an annotation."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    if get_origin(annotation) in (Annotated, Union, UnionType):
        for inner in get_args(annotation):
            yield from _marks(inner)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list)
