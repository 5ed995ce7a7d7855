"""The command line: `gancompress COMMAND RECIPE [key=value …]`.

A command imports what it needs in its own first lines, behind the recipe: `--help` and a wrong
recipe cost no torch. Ctrl-C ends these imports at once (`interrupts`); then see `exit_codes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gancompress import __version__
from gancompress.cli import compresscommand, filecommands, lookcommands
from gancompress.cli.arguments import (
    DryRun,
    Overrides,
    RecipeArg,
    Redo,
    read_recipe,
)
from gancompress.cli.exitcodes import exit_codes
from gancompress.fields.names import PROGRAMS

app = typer.Typer(
    help=(
        "Compress a trained conditional GAN: train or take a teacher, distil a once-for-all "
        "supernet from it, search the best generator under a MACs budget, export it."
    ),
    epilog="Example: gancompress run quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"gancompress {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    pass


_PROGRAMS = "; ".join(f"{name}: {files}" for name, files in PROGRAMS.items())


def _stages(
    names: tuple[str, ...] | None,
    recipe: str,
    overrides: list[str] | None,
    dry_run: bool,
    redo: bool,
) -> None:
    """names: None for all that `run` does."""
    read = read_recipe(recipe, overrides)
    from gancompress.cli import describe
    from gancompress.project import Project
    from gancompress.recipe.reading import resolved_yaml
    from gancompress.stages import pipeline

    with exit_codes():
        project = Project(read)
        names = pipeline.stages_of(project) if names is None else names
        if dry_run:
            typer.echo(f"{resolved_yaml(read)}\n{describe.plan(project, names)}")
            return
        pipeline.run_stages(project, names, typer.echo, redo=redo)


@app.command("train-teacher", epilog="Example: gancompress train-teacher quickstart")
def train_teacher(
    recipe: RecipeArg, overrides: Overrides = None, dry_run: DryRun = False, redo: Redo = False
) -> None:
    """Train the generator that is to be compressed. Given again, it goes on where it stopped."""
    _stages(("teacher",), recipe, overrides, dry_run, redo)


@app.command(
    "import-teacher",
    epilog="Example: gancompress import-teacher latest_net_G.pth --from cyclegan edges2shoes",
)
def import_teacher(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights of its generator.")],
    recipe: RecipeArg,
    layout: Annotated[
        str, typer.Option("--from", metavar="PROGRAM", help=f"Who wrote it. {_PROGRAMS}")
    ],
    overrides: Overrides = None,
    *,
    part: Annotated[
        str | None, typer.Option(metavar="KEY", help="Which network, where FILE holds several.")
    ] = None,
    check: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="IN OUT", help="An input and the program's own answer to it, as "
                     "pictures or .npy: refused if the imported generator gives another."),
    ] = None,
    dry_run: DryRun = False,
    redo: Redo = False,
) -> None:  # fmt: skip
    """Take a generator that another program has trained as the teacher; runs no code from FILE."""
    read = read_recipe(recipe, overrides)
    from gancompress.project import Project
    from gancompress.stages import importing

    with exit_codes():
        importing.import_teacher(
            Project(read),
            file.expanduser(),
            layout,
            typer.echo,
            part=part,
            pair=check,
            redo=redo,
            is_dry=dry_run,
        )


@app.command("train-supernet", epilog="Example: gancompress train-supernet quickstart")
def train_supernet(
    recipe: RecipeArg, overrides: Overrides = None, dry_run: DryRun = False, redo: Redo = False
) -> None:
    """Distil the teacher into all generators of the search space at once."""
    _stages(("supernet",), recipe, overrides, dry_run, redo)


@app.command("search", epilog="Example: gancompress search quickstart search.reduction=10")
def search(
    recipe: RecipeArg, overrides: Overrides = None, dry_run: DryRun = False, redo: Redo = False
) -> None:
    """Find the best generator of the supernet under the recipe's MACs budget."""
    _stages(("search",), recipe, overrides, dry_run, redo)


@app.command("finetune", epilog="Example: gancompress finetune quickstart finetune.steps=500")
def finetune(
    recipe: RecipeArg, overrides: Overrides = None, dry_run: DryRun = False, redo: Redo = False
) -> None:
    """Train what the search chose further, each generator alone; export then takes these."""
    _stages(("finetune",), recipe, overrides, dry_run, redo)


@app.command("export", epilog="Example: gancompress export quickstart")
def export(
    recipe: RecipeArg,
    overrides: Overrides = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="One more than export.formats of the "
                     "recipe has, as web; may be repeated."),
    ] = None,
    dry_run: DryRun = False,
    redo: Redo = False,
) -> None:  # fmt: skip
    """Write the winner as model files, each proven equal; print the table, draw the picture."""
    if formats:
        listed = dict.fromkeys([*read_recipe(recipe, overrides).export.formats, *formats])
        overrides = [*(overrides or []), f"export.formats=[{', '.join(listed)}]"]
    _stages(("export",), recipe, overrides, dry_run, redo)


@app.command("run", epilog="Example: gancompress run quickstart run=/tmp/first")
def run(
    recipe: RecipeArg, overrides: Overrides = None, dry_run: DryRun = False, redo: Redo = False
) -> None:
    """All stages, one after the other; finished ones are passed over. Fine-tuning is among them
    where finetune.steps is above 0."""
    _stages(None, recipe, overrides, dry_run, redo)


lookcommands.register(app)
compresscommand.register(app)
filecommands.register(app)
