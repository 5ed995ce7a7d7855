"""The commands that look at a recipe, its search space and its generators, and train nothing.

They import what they need in their own first lines, as those of `gancompress.cli.commands` do.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from gancompress.cli.arguments import (
    DryRun,
    Json,
    Overrides,
    RecipeArg,
    Redo,
    print_recipe,
    read_recipe,
)
from gancompress.cli.exitcodes import exit_codes
from gancompress.metrics import METRICS, MIOU


def register(app: typer.Typer) -> None:
    """Adds these commands to `app`."""
    app.command("list", epilog="Example: gancompress list")(list_)
    app.command("schema", epilog="Example: gancompress schema > recipe.schema.json")(schema)
    app.command(
        "profile", epilog="Example: gancompress profile edges2shoes --arch 24_24_40_56_24_56_16_40"
    )(profile)
    app.command("space", epilog="Example: gancompress space quickstart search.reduction=20")(space)
    app.command("latency-table", epilog="Example: gancompress latency-table quickstart")(
        latency_table
    )
    app.command("evaluate", epilog="Example: gancompress evaluate quickstart --arch smallest")(
        evaluate
    )


def list_() -> None:
    """The recipes, families, tasks, data sets, operators, metrics and formats that there are."""
    from gancompress.cli.listing import listing

    with exit_codes():
        typer.echo(listing())


def schema() -> None:
    """Print the JSON schema of a recipe file, by which editors complete and check one."""
    from gancompress.recipe.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def profile(
    recipe: RecipeArg,
    overrides: Overrides = None,
    *,
    arch: Annotated[
        str,
        typer.Option(
            metavar="JSON|largest|smallest|teacher",
            help="Which generator: one of these names, widths as 24_24_40_…, JSON or a JSON file.",
        ),
    ] = "teacher",
    op: Annotated[
        str | None, typer.Option(help="dense or separable: the trunk of the teacher or of widths.")
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="ALPHA[,BETA]",
            help="Split the features of the teacher or of widths, and those of a discriminator "
            "that takes bands: fractions of the channels at half and quarter of the resolution.",
        ),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Parameters, MACs and activation memory of a generator; needs no data and no weights."""
    read = read_recipe(recipe, overrides)
    if dry_run:
        print_recipe(read)
        return
    from gancompress.cli import describe
    from gancompress.project import Project

    with exit_codes():
        costs = describe.profile(Project(read), arch, op, bands)
        typer.echo(json.dumps(costs, indent=2) if as_json else describe.profile_text(costs))


def space(
    recipe: RecipeArg, overrides: Overrides = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """How many generators the search chooses from, what they cost, and how many of them keep the
    budgets; needs no data and no weights."""
    read = read_recipe(recipe, overrides)
    if dry_run:
        print_recipe(read)
        return
    from gancompress.cli import spaces
    from gancompress.project import Project

    with exit_codes():
        summary = spaces.space_summary(Project(read))
        typer.echo(json.dumps(summary, indent=2) if as_json else spaces.space_text(summary))
        spaces.refused(summary)


def latency_table(
    recipe: RecipeArg,
    overrides: Overrides = None,
    runtime: Annotated[
        str | None,
        typer.Option(metavar="torch|onnxruntime", help="Default: both, if installed."),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    redo: Redo = False,
) -> None:
    """Measure the layers of the search space on this device, so that any generator's time is known.
    Needs no data and no weights. Given again, it goes on where it stopped."""
    read = read_recipe(recipe, overrides)
    from gancompress.latency import timing
    from gancompress.project import Project

    with exit_codes():
        if dry_run:
            typer.echo(timing.plan(Project(read), runtime))
            return
        say = partial(typer.echo, err=as_json)
        tables = timing.measure_tables(Project(read), say, only=runtime, redo=redo)
        if as_json:
            typer.echo(json.dumps(timing.tables_json(tables), indent=2))


def evaluate(
    recipe: RecipeArg,
    overrides: Overrides = None,
    *,
    arch: Annotated[
        list[str] | None,
        typer.Option(help="A generator as `profile` takes it; may be repeated. Default: the "
                     "teacher and, once searched, the winners."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, search or test.")] = "test",
    metrics: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]…", help=f"In place of the final table's: any of "
                     f"{', '.join(METRICS)}, {MIOU}."),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:  # fmt: skip
    """Evaluate teacher and generators of the supernet on real images: every value with its n."""
    read = read_recipe(recipe, overrides)
    from gancompress.cli import describe
    from gancompress.project import Project
    from gancompress.recipe.reading import resolved_yaml

    with exit_codes():
        if dry_run:
            names = ", ".join(arch or ["teacher and winners"])
            if metrics is not None:
                names += f" by {', '.join(describe.metric_names(Project(read), metrics))}"
            typer.echo(f"{resolved_yaml(read)}\nwould evaluate {names} on split {split}")
            return
        say = partial(typer.echo, err=as_json)
        rows = describe.evaluate(Project(read), arch or [], split, metrics, say)
        text = json.dumps(describe.rows_json(rows), indent=2) if as_json else describe.tables(rows)
        typer.echo(text)
