"""Recipes from files, packaged recipes and the command line, with all problems told at once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gancompress.errors import RecipeError
from gancompress.recipe import Recipe
from gancompress.recipeerrors import Problem, problems_of
from gancompress.recipetexts import override_value, typed
from gancompress.recipeyaml import RecipeDumper, parse_scalars, plain


@dataclass(frozen=True)
class Override:
    """One `key.sub=value` of the command line."""

    text: str
    path: tuple[str, ...]
    value: Any


# Of two keys of which a recipe has exactly one: the other.
ALTERNATIVES: dict[tuple[str, ...], str] = {
    ("search", "budget_macs"): "reduction",
    ("search", "reduction"): "budget_macs",
    ("space", "preset"): "widths",
    ("space", "widths"): "preset",
}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, or the packaged one of that name, with `key.sub=value` changes.

    Values of overrides are YAML: `supernet.losses={l1: 10}`; `key=null` unsets, and one of two
    `ALTERNATIVES` takes the other's place. Keys that are texts take the text as it was typed:
    `run=1.10`, `domains: [no, 1.10]`; quoted, `null` is one too. `~` in front of a file's or
    folder's name is the home folder. `name` is the file's stem where nothing else is said.

    Raises: RecipeError with one line per problem.
    """
    where, stem, text = _find(str(name_or_path))
    raw = parse_scalars(text, where)
    if not isinstance(raw, dict):
        raw = plain(raw)
        found = "nothing" if raw is None else repr(raw)[:60]
        raise RecipeError(f"{where}: found {found}; a recipe of lines `key: value` is needed")
    raw = typed(raw, (Recipe,))
    raw.setdefault("name", stem)
    changes, lines = _parse_overrides(overrides)
    for change in changes:
        lines += _apply(raw, change)
    _replace(raw, changes)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        lines += [_line(where, changes, problem) for problem in problems_of(error, raw)]
        raise RecipeError("\n".join(lines)) from None
    if lines:
        raise RecipeError("\n".join(lines))
    return recipe


def _find(given: str) -> tuple[str, str, str]:
    """Where the recipe is, for messages; its stem; its text."""
    path = Path(given).expanduser()
    if path.is_file():
        try:
            return given, path.stem, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise RecipeError(f"{given}: not UTF-8 text; a YAML file is needed") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RecipeError(f"{given}: cannot be read ({reason}); give a readable file") from None
    names = packaged_recipes()
    if given in names:
        return f"recipe {given}", given, _packaged_text(given)
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise RecipeError(
            f"{given}: no such file; give a recipe file, or one of {', '.join(names)}"
        )
    close = difflib.get_close_matches(given, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"give a file, or one of {', '.join(names)}"
    raise RecipeError(f"{given}: no such recipe or file; {hint}")


def _parse_overrides(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and one line for each that cannot."""
    changes, lines = [], []
    for text in texts:
        key, equals, value = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        if not equals or not all(path):
            lines.append(f"override {text}: not of the form key=value; write section.key=value")
            continue
        try:
            changes.append(Override(text, path, override_value(value, path, f"override {text}")))
        except RecipeError as error:
            lines.append(str(error))
    return changes, lines


def _apply(raw: dict[str, Any], change: Override) -> list[str]:
    """Sets one value in `raw`; returns a line if its way is barred by a plain value."""
    place = raw
    for depth, part in enumerate(change.path[:-1], start=1):
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            key = ".".join(change.path[:depth])
            return [f"override {change.text}: {key} is {place!r}; it has no keys of its own"]
    place[change.path[-1]] = change.value
    return []


def _replace(raw: dict[str, Any], changes: Sequence[Override]) -> None:
    """Takes out of the file what an override says in the other of two forms."""
    given = {change.path for change in changes}
    for change in changes:
        section, other = change.path[0], ALTERNATIVES.get(change.path)
        if other and change.value is not None and (section, other) not in given:
            raw[section].pop(other, None)


def _line(where: str, changes: Sequence[Override], problem: Problem) -> str:
    """`FILE: key: …`, or `override key=value: …` where an override set that key (the last)."""
    for change in reversed(changes):
        shorter = min(len(problem.path), len(change.path))
        if shorter and problem.path[:shorter] == change.path[:shorter]:
            inner = ".".join(problem.path) + ": " if problem.path != change.path else ""
            return f"override {change.text}: {inner}{problem.text}"
    return f"{where}: {'.'.join(problem.path)}: {problem.text}"


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe with every default written out; `load_recipe` reads an equal one from it."""
    plain = recipe.model_dump(mode="json", by_alias=True)
    return yaml.dump(plain, Dumper=RecipeDumper, sort_keys=False, width=100, allow_unicode=True)


def packaged_recipes() -> list[str]:
    """The names of the recipes that come with the package, sorted."""
    files = resources.files("gancompress.recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def recipe_comment(name: str) -> list[str]:
    """The comment that a packaged recipe begins with, line by line, without the marks.

    Its first line is the command, the rest says what to expect.
    """
    lines = []
    for line in _packaged_text(name).splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return lines


def _packaged_text(name: str) -> str:
    return resources.files("gancompress.recipes").joinpath(f"{name}.yaml").read_text("utf-8")
