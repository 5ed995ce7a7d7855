"""What `gancompress list` says: every name that a recipe or the command line takes.

Read from the recipe's models, so that nothing else is imported; tests hold them equal to the
registries.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from gancompress.distill.options import SupernetSection
from gancompress.fields.names import FORMAT_PACKAGES, PROGRAMS
from gancompress.fields.types import LossName
from gancompress.metrics import METRICS, MIOU
from gancompress.metrics.options import MetricsSection
from gancompress.nets.discriminators.names import NAMES
from gancompress.nets.families.spaceoptions import Operator, Preset
from gancompress.recipe.reading import packaged_recipes, recipe_comment
from gancompress.recipe.recipe import Recipe
from gancompress.search.options import SearchSection
from gancompress.teachers.published import PUBLISHED


def listing() -> str:
    """The recipes with their first sentence, then a line for each other kind of name."""
    recipes = {name: _first_sentence(recipe_comment(name)) for name in packaged_recipes()}
    wide = max(map(len, recipes), default=0)
    lines = ["recipes", *(f"  {name:<{wide}}  {text}" for name, text in recipes.items())]
    return "\n".join(lines + [f"{kind}: {', '.join(names)}" for kind, names in kinds().items()])


def kinds() -> dict[str, Sequence[str]]:
    """The names of each kind but the recipes."""
    return {
        "families": _union_names("family"),
        "space presets": get_args(Preset),
        "tasks": _union_names("task"),
        "discriminators": NAMES,
        "data sets": _union_names("data"),
        "operators": get_args(Operator),
        "bands": ("0", "ALPHA (Octave)", "[ALPHA, BETA] (Multi-Octave)"),
        "distillation losses": get_args(LossName),
        "archs a step trains": _literal_names(SupernetSection, "archs"),
        "metrics": (*METRICS, f"{MIOU} (metrics.segmentation)"),
        "feature networks": _literal_names(MetricsSection, "features"),
        "search algorithms": _literal_names(SearchSection, "algorithm"),
        "teachers from": tuple(PROGRAMS),
        "published teachers": tuple(PUBLISHED),
        "formats": [n + ("" if _is_usable(n) else " (not installed)") for n in FORMAT_PACKAGES],
    }


def _union_names(section: str) -> list[str]:
    """The names that choose the model of a section: `family.name` and the like."""
    models = get_args(Recipe.model_fields[section].annotation)
    return [name for model in models for name in _literal_names(model, "name")]


def _literal_names(model: type[BaseModel], key: str) -> tuple[Any, ...]:
    return get_args(model.model_fields[key].annotation)


def _is_usable(format: str) -> bool:
    return all(importlib.util.find_spec(package) for package in FORMAT_PACKAGES[format])


def _first_sentence(comment: Sequence[str]) -> str:
    """Of a recipe's opening comment: its first line is the command, the text comes after."""
    text = " ".join(comment[1:]).strip()
    return text.split(": ")[0].split(". ")[0]
