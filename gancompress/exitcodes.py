"""How commands end: what each exit code of `gancompress` means."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gancompress.errors import GanCompressError
from gancompress.interrupts import STOPPED, interruptible
from gancompress.process import collecting


@contextmanager
def exit_codes() -> Iterator[None]:
    """Refusals in one sentence and exit code 2; 130 after Ctrl-C; other errors keep their trace."""
    try:
        with interruptible(), collecting():
            yield
    except GanCompressError as error:
        typer.echo(f"gancompress: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        behind_the_mark = "\n" if sys.stderr.isatty() else ""  # of Ctrl-C, which terminals show
        said = "stopped; give the same command again to go on from here"
        typer.echo(f"{behind_the_mark}{said}", err=True)
        raise typer.Exit(STOPPED) from None
