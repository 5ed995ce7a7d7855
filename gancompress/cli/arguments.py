"""What the commands that take a recipe have alike: its argument and options, and how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gancompress.cli.exitcodes import exit_codes

if TYPE_CHECKING:
    from gancompress.recipe.recipe import Recipe

RecipeArg = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a packaged one.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]…", help="Changes to the recipe: teacher.steps=500"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be done.")
]
Redo = Annotated[
    bool, typer.Option("--redo", help="Set this stage's earlier result aside and begin anew.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def read_recipe(recipe: str, overrides: list[str] | None) -> Recipe:
    """The recipe; what is wrong with it ends the command before torch is imported."""
    from gancompress.recipe.reading import load_recipe

    with exit_codes():
        read = load_recipe(recipe, overrides or [])
    return read


def print_recipe(recipe: Recipe) -> None:
    """The resolved recipe, as `--dry-run` shows it."""
    from gancompress.recipe.reading import resolved_yaml

    typer.echo(resolved_yaml(recipe))
