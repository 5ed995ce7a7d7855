"""`gancompress compress`: any trained generator and a folder of images, in one command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gancompress.cli.arguments import Overrides
from gancompress.cli.exitcodes import exit_codes
from gancompress.cli.filecommands import at_home, size_of
from gancompress.errors import CheckpointError


def register(app: typer.Typer) -> None:
    """Adds the command to `app`."""
    example = "gancompress compress net.py:Generator --weights net.pth --images photos --out small"
    app.command("compress", epilog=f"Example: {example}")(compress)


def compress(
    teacher: Annotated[
        str,
        typer.Argument(
            metavar="TEACHER",
            help="A checkpoint of a program that is known; module.py:Name or package.module:Name "
            "with --weights; a torch.export .pt2, an .onnx or a TorchScript file. Or, without a "
            "teacher, pairs:DIR.",
        ),
    ],
    overrides: Overrides = None,
    *,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Inputs: train/, search/ and test/, or files. Needed "
                     "where a teacher is given."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="resnet|unet", help="Of pairs: the generator that learns them. "
                     "Default: resnet."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder. Default: runs/NAME of the teacher."),
    ] = None,
    reduction: Annotated[
        float, typer.Option(min=1.0, help="How many times fewer MACs; twice as many is a row too.")
    ] = 10.0,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long training may take here, about.")
    ] = 30.0,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a module: its state dict.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="KEY", help="Which network, where a file holds several.")
    ] = None,
    args: Annotated[
        str, typer.Option(metavar="JSON", help="Arguments of a module's constructor.")
    ] = "{}",
    bind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE.npy", help="A constant value of a further input."),
    ] = None,
    value_range: Annotated[
        str | None,
        typer.Option("--range", metavar="0,1|-1,1|0,255", help="Values of its images. Default: "
                     "found by its answers to yours."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Of the inputs in training. Default: 128x128, or 48x48 "
                     "where it enlarges, or what it takes."),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Of its input. Default: found by trying.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="FORMAT", help="A file format to write, as onnx; may be "
                     "repeated. Default: safetensors, pt2, onnx."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what was understood, and stop there.")
    ] = False,
) -> None:  # fmt: skip
    """Take a trained generator as it is and give back a cheaper one: import, supernet, search,
    fine-tuning, export and report. Given again, it goes on where it stopped."""
    from gancompress.importers.generators import How, bound_value
    from gancompress.report.reporting import write_report
    from gancompress.stages import pipeline
    from gancompress.stages.asked import CompressOptions, run_name
    from gancompress.stages.compress import compressed_project
    from gancompress.stages.compresspairs import images_and_likeness

    with exit_codes():
        how = How(
            at_home(weights),
            part,
            _arguments(args),
            dict(bound_value(text) for text in bind or ()),
        )
        has_options = how != How() or value_range is not None or channels is not None
        folder, likeness = images_and_likeness(teacher, images, like, has_options=has_options)
        options = CompressOptions(
            teacher,
            folder,
            at_home(out) or Path("runs") / run_name(teacher),
            how,
            reduction,
            minutes,
            value_range,
            None if size is None else size_of(size),
            channels,
            tuple(formats or ()),
            tuple(overrides or ()),
            likeness,
        )
        project = compressed_project(options, typer.echo, is_dry=dry_run)
        if project is None:
            return
        pipeline.run_stages(project, pipeline.stages_of(project), typer.echo)
        typer.echo(f"report: {write_report(project.run.root, None)}")


def _arguments(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CheckpointError(f"--args {text}: not a JSON object; give '{{\"width\": 64}}'")
    return found
