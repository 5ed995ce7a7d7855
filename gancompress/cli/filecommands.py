"""The commands that take runs and model files, as users of a compressed generator have them.

They import what they need in their own first lines, as those of `gancompress.cli.commands` do.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gancompress.cli.arguments import Overrides
from gancompress.cli.exitcodes import exit_codes
from gancompress.errors import DataError, ExportError

ModelArg = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model file, an export folder, a run's folder, "
                   "or the recipe that made the run."),
]  # fmt: skip
OutFolder = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write PNG files to.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")]
Anew = Annotated[bool, typer.Option("--redo", help="Write what is there already anew.")]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Height and width of the images, as 256x256.")
]
OwnCode = Annotated[
    str | None,
    typer.Option("--file", metavar="PY", help="The generator's Python file, where it is "
                 "code of its maker's own; it is run."),
]  # fmt: skip

Domains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain", metavar="NAME", help="The domain to go to, of several; may be repeated."
    ),
]
Colours = Annotated[
    Path | None, typer.Option(metavar="FILE", help="For label maps in colour: lines `r g b`.")
]
Unknown = Annotated[
    int | None, typer.Option(metavar="ID", help="For label maps: of pixels without class.")
]
Instances = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="For label maps: images of instances, same names."),
]  # fmt: skip
Background = Annotated[
    str | None,
    typer.Option(metavar="COLOUR", help="Behind transparent pixels: white, black or "
                 "RED,GREEN,BLUE. Default: as in training."),
]  # fmt: skip
MaxValue = Annotated[
    float | None,
    typer.Option(metavar="VALUE", min=1e-9, help="The value that is white in files of more than 8 "
                 "bits. Default: as in training."),
]  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds these commands to `app`."""
    app.command("report", epilog="Example: gancompress report quickstart")(report)
    app.command("apply", epilog="Example: gancompress apply runs/quickstart photos answers")(apply)
    app.command("sample", epilog="Example: gancompress sample runs/progan-maps samples -n 64")(
        sample
    )
    app.command("benchmark", epilog="Example: gancompress benchmark runs/quickstart --threads 1,2")(
        benchmark
    )
    app.command("demo", epilog="Example: gancompress demo runs/quickstart")(demo)


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, or the recipe that made it.")
    ],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: report.html in the run.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written, and where.")
    ] = False,
) -> None:
    """Write one page, which opens from disk, of all that a run holds: the front, the table, curves,
    pictures, costs. What is not there yet is left out."""
    from gancompress.report import reporting

    with exit_codes():
        if dry_run:
            typer.echo(reporting.plan(run, overrides or [], out))
            return
        root = reporting.run_root(run, overrides or [])
        typer.echo(f"report: {reporting.write_report(root, at_home(out))}")


def apply(
    model: ModelArg,
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, or a folder with any folders in it.")
    ],
    out: OutFolder,
    *,
    batch: Annotated[int, typer.Option(min=1, help="Images of equal size run at once.")] = 8,
    size: Size = None,
    domain: Domains = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the style, where a file takes one.")] = 0,
    colours: Colours = None,
    unknown: Unknown = None,
    instances: Instances = None,
    max_value: MaxValue = None,
    background: Background = None,
    threads: Threads = 0,
    file: OwnCode = None,
    redo: Anew = False,
) -> None:  # fmt: skip
    """Run an exported generator on images. Given again, it goes on where it stopped; images that
    cannot be read are passed over and listed at the end, and the exit code is 2."""
    import torch

    from gancompress.apps import apply as applying
    from gancompress.apps.applyinputs import InputOptions, colour_of
    from gancompress.export.opening import open_model

    with exit_codes():
        sides = None if size is None else size_of(size)
        if threads:
            torch.set_num_threads(threads)
        options = InputOptions(
            sides, tuple(domain or ()), seed, at_home(colours), unknown, at_home(instances),
            max_value, None if background is None else colour_of(background),
        )  # fmt: skip
        done = applying.apply(
            open_model(place_of(model), file),
            images.expanduser(),
            out.expanduser(),
            options,
            typer.echo,
            batch=batch,
            redo=redo,
        )
        if done.left_out:
            raise DataError(
                f"{images}: {len(done.left_out)} image(s) left out, as told above; mend them, or "
                "take them away"
            )


def sample(
    model: ModelArg,
    out: OutFolder,
    *,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, help="How many images to make.")
    ] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Another one draws other images.")] = 0,
    upscale: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A generator that enlarges each image, such as the run "
                     "srgan-maps."),
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="The run's teacher, not what was exported.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Images run at once.")] = 16,
    threads: Threads = 0,
    redo: Anew = False,
) -> None:  # fmt: skip
    """Make images with a generator that takes random vectors (progan, lsgan), and a picture of
    them all. Image number i of a seed is always the same; given again, it goes on."""
    import torch

    from gancompress.apps import sample as sampling
    from gancompress.export.opening import open_model

    with exit_codes():
        if threads:
            torch.set_num_threads(threads)
        place = place_of(model)
        sampling.sample(
            sampling.teacher_model(place) if teacher else open_model(place),
            out.expanduser(),
            count,
            typer.echo,
            seed=seed,
            upscale=None if upscale is None else open_model(place_of(upscale)),
            batch=batch,
            redo=redo,
        )


def benchmark(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="RUN|FILE…", help="A run's folder or recipe, export folders, model "
                       "files."),
    ],
    *,
    formats: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Of a run. Default: export.formats of its "
                     "recipe, and what its export has."),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(metavar="N,…", help="Default: 1, and as many as there are processors."),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, help="Images of a call.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls of each file.")] = 30,
    warmup: Annotated[int, typer.Option(min=0, help="Calls before those.")] = 5,
    file: OwnCode = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:  # fmt: skip
    """Time teacher and compressed generator in every format: latency, throughput, memory, and what
    this machine would allow. For a run, benchmark.json and benchmark.md are kept in it."""
    from gancompress.benchmark import benchmark as benchmarking
    from gancompress.benchmark import table as benchtable
    from gancompress.benchmark.turns import Settings

    with exit_codes():
        settings = Settings(batch, repeats, warmup, None if size is None else size_of(size))
        found = benchmarking.benchmark(
            [place_of(target) for target in targets],
            settings,
            partial(typer.echo, err=as_json),
            formats=[name.strip() for name in formats.split(",")] if formats else (),
            threads=threads_of(threads) if threads else (),
            file=file,
        )
        kept = benchtable.as_json(found)
        typer.echo(json.dumps(kept, indent=2) if as_json else benchtable.table(found))


def place_of(text: str) -> Path:
    """What a user names: a path, or a recipe for the folder of its run. Raises: RecipeError."""
    from gancompress.recipe.reading import packaged_recipes
    from gancompress.report.reporting import run_root

    path = Path(text).expanduser()
    is_recipe = text in packaged_recipes() or path.suffix in (".yaml", ".yml")
    return run_root(text) if is_recipe and not path.is_dir() else path


def at_home(path: Path | None) -> Path | None:
    """`~/x` of an option written `--option=~/x`, which shells leave as it is."""
    return None if path is None else path.expanduser()


def demo(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL", help="A run's folder, the recipe that made it, or a model file."
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Changes to the recipe: run=/tmp/first"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Default: the first free one from 7860 on."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 lets other machines see the page.")
    ] = "127.0.0.1",
    file: OwnCode = None,
) -> None:
    """Serve a page on which an input is drawn or uploaded, and teacher and compressed generator
    answer side by side with their times; a model file answers alone."""
    from gancompress.apps import demopage
    from gancompress.apps.demo import demo_of

    with exit_codes():
        demopage.gradio()  # says what is missing before anything is loaded
        found = demo_of(target, overrides or [], typer.echo, file)
        demopage.serve(found, host, port, typer.echo)


def size_of(text: str) -> tuple[int, int]:
    """(height, width) from `256x128`. Raises: ExportError."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text.strip())
    if found is None:
        raise ExportError(f"--size {text}: not a size; give height and width as 256x256")
    return int(found[1]), int(found[2])


def threads_of(text: str) -> list[int]:
    """Thread counts from `1,2`. Raises: ExportError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,3}", part) for part in parts):
        raise ExportError(f"--threads {text}: not counts of threads; give them as 1,2")
    return [int(part) for part in parts]
