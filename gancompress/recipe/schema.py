"""The JSON schema of a recipe, by which editors complete and check one."""

from __future__ import annotations

from typing import Any

from gancompress.recipe.recipe import Recipe


def _ask_for_name(section: dict[str, Any]) -> None:
    """Lets a section that its name chooses need the name, whose default is for code alone."""
    name = section.get("properties", {}).get("name", {})
    if "const" in name and "default" in name:
        del name["default"]
        section["required"] = ["name", *section.get("required", ())]


# pydantic passes constraints behind a validator on in its own spelling, which editors do not know.
_SCHEMA_WORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}


def json_schema() -> dict[str, Any]:
    """JSON schema of a recipe file, for editors; `name` may be left out there."""
    schema: dict[str, Any] = _in_schema_words(Recipe.model_json_schema())
    schema["required"] = [key for key in schema["required"] if key != "name"]
    for section in schema["$defs"].values():
        _ask_for_name(section)
    own = schema["$defs"]["OwnOptions"]  # `family: {file: …}` alone says which family is meant
    own["required"] = [key for key in own["required"] if key != "name"]
    return schema


def _in_schema_words(node: Any) -> Any:
    """`node` of a JSON schema with each constraint in the words of JSON Schema."""
    if isinstance(node, dict):
        return {_SCHEMA_WORDS.get(key, key): _in_schema_words(value) for key, value in node.items()}
    return [_in_schema_words(value) for value in node] if isinstance(node, list) else node
