"""Recipes from files, packaged recipes and the command line, with all problems told at once."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gancompress.errors import RecipeError
from gancompress.fields.bounds import MAX_CHARACTERS, check_text, shown
from gancompress.recipe.messages import Problem, problems_of
from gancompress.recipe.recipe import Recipe
from gancompress.recipe.texts import override_value, typed
from gancompress.recipe.trust import is_of_run, with_trust
from gancompress.recipe.yamlreading import RecipeDumper, parse_scalars, plain


@dataclass(frozen=True)
class Override:
    """One `key.sub=value` of the command line; where: how messages name it."""

    where: str
    path: tuple[str, ...]
    value: Any


MAX_PATH = 200  # characters of a file's name or of an override in a message
FAULT = "cannot be read, for a fault of gancompress"
_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Of two keys of which a recipe has exactly one: the other.
ALTERNATIVES: dict[tuple[str, ...], str] = {
    ("search", "budget_macs"): "reduction",
    ("search", "reduction"): "budget_macs",
    ("space", "preset"): "widths",
    ("space", "widths"): "preset",
}


def load_recipe(
    name_or_path: str | Path, overrides: Sequence[str] = (), *, of_run: bool = False
) -> Recipe:
    """The recipe in a file, or the packaged one of that name, with `key.sub=value` changes.

    Values of overrides are YAML: `supernet.losses={l1: 10}`; `key=null` unsets, and one of two
    `ALTERNATIVES` takes the other's place. Keys that are texts take the text as it was typed:
    `run=1.10`, `domains: [no, 1.10]`; quoted, `null` is one too. `~` in front of a file's or
    folder's name is the home folder. The `recipe.yaml` of a run's folder is of the run there,
    wherever the folder was when it was made. `name` is the file's stem where nothing else is said,
    see `name_of`.

    of_run: it is a run's own, not one that the user gives: code that it names is run only as
    `recipe.trust` allows. One that lies in a run's folder counts so anyhow.
    Raises: RecipeError with one line per problem.
    """
    found = _find(str(name_or_path))
    where = found.where
    try:
        return _read(found, overrides, of_run=of_run)
    except _FAULTS as error:  # No recipe is known that comes here; whatever it is, it is refused.
        reason = shown(f"{type(error).__name__}: {' '.join(str(error).split())}", MAX_PATH)
        raise RecipeError(f"{where}: {FAULT} ({reason}); please report this recipe") from error


def _read(found: _Found, overrides: Sequence[str], *, of_run: bool) -> Recipe:
    where = found.where
    raw = parse_scalars(found.text, where)
    if not isinstance(raw, dict):
        raw = plain(raw)
        what = "nothing" if raw is None else shown(repr(raw))
        raise RecipeError(f"{where}: found {what}; a recipe of lines `key: value` is needed")
    raw = typed(raw, (Recipe,))
    is_foreign = of_run or (found.path is not None and is_of_run(found.path, raw))
    raw.setdefault("name", name_of(found.stem))
    if found.path is not None:
        _stay_in_run(raw, found.path)
    changes, lines = _parse_overrides(overrides)
    for change in changes:
        lines += _apply(raw, change)
    _replace(raw, changes)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        problems, left_out = problems_of(error, raw)
        lines += [_line(where, changes, problem) for problem in problems]
        lines += [f"{where}: and {left_out} problems more"] if left_out else []
        raise RecipeError("\n".join(lines)) from None
    if lines:
        raise RecipeError("\n".join(lines))
    return with_trust(recipe, where, [one.path for one in changes], is_foreign=is_foreign)


@dataclass(frozen=True)
class _Found:
    """A recipe's text. where: how messages name it; path: None for a packaged one."""

    where: str
    stem: str
    text: str
    path: Path | None = None


def _stay_in_run(raw: dict[str, Any], path: Path) -> None:
    """Lets the recipe that lies in a run's folder mean that run, which may have been copied."""
    here = path.parent
    if path.name != "recipe.yaml" or not any(here.glob("*/stage.json")):
        return
    told = raw.get("run") or f"runs/{raw['name']}"
    if isinstance(told, str) and os.path.realpath(os.path.expanduser(told)) != str(here.resolve()):
        raw["run"] = str(here)


def name_of(stem: str) -> str:
    """A recipe's name from that of its file: letters without accents, a dash for all else.

    `meine Schuhe ü` gives `meine-Schuhe-u`; what has no such letters gives `recipe`.
    """
    letters = unicodedata.normalize("NFKD", stem)
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", bare).lstrip("-._").rstrip("-") or "recipe"


def _find(given: str) -> _Found:
    """Raises: RecipeError."""
    path, where = Path(os.path.expanduser(given)), shown(given, MAX_PATH)
    if os.path.isfile(path):  # Unlike Path's own, it takes names that are too long for a file's.
        try:
            with path.open(encoding="utf-8") as file:
                return _Found(where, path.stem, file.read(MAX_CHARACTERS + 1), path)
        except UnicodeDecodeError:
            raise RecipeError(f"{where}: not UTF-8 text; a YAML file is needed") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RecipeError(f"{where}: cannot be read ({reason}); give a readable file") from None
    names = packaged_recipes()
    if given in names:
        return _Found(f"recipe {given}", given, _packaged_text(given))
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise RecipeError(
            f"{where}: no such file; give a recipe file, or one of {', '.join(names)}"
        )
    close = difflib.get_close_matches(given, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"give a file, or one of {', '.join(names)}"
    raise RecipeError(f"{where}: no such recipe or file; {hint}")


def _parse_overrides(texts: Sequence[str]) -> tuple[list[Override], list[str]]:
    """The overrides that can be read, and one line for each that cannot."""
    changes, lines = [], []
    for text in texts:
        key, equals, value = text.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        where = f"override {shown(text, MAX_PATH)}"
        if not equals or not all(path):
            lines.append(f"{where}: not of the form key=value; write section.key=value")
            continue
        try:
            check_text(text, where)
            changes.append(Override(where, path, override_value(value, path, where)))
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
            found = shown(repr(place))
            return [f"{change.where}: {shown(key)} is {found}; it has no keys of its own"]
    place[change.path[-1]] = change.value
    return []


def _replace(raw: dict[str, Any], changes: Sequence[Override]) -> None:
    """Takes out of the file what an override says in the other of two forms."""
    given = {change.path for change in changes}
    for change in changes:
        section, other = change.path[0], ALTERNATIVES.get(change.path)
        is_replaced = change.value is not None and (section, other) not in given
        if other and is_replaced and isinstance(raw.get(section), dict):
            raw[section].pop(other, None)


def _line(where: str, changes: Sequence[Override], problem: Problem) -> str:
    """`FILE: key: …`, or `override key=value: …` where an override set that key (the last)."""
    for change in reversed(changes):
        shorter = min(len(problem.path), len(change.path))
        if shorter and problem.path[:shorter] == change.path[:shorter]:
            inner = f"{problem.key}: " if problem.path != change.path else ""
            return f"{change.where}: {inner}{problem.text}"
    return f"{where}: {problem.key}: {problem.text}"


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
