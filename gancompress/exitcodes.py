"""How commands end: what each exit code of `gancompress` means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gancompress.errors import GanCompressError


@contextmanager
def exit_codes() -> Iterator[None]:
    """Refusals in one sentence and exit code 2; 130 after Ctrl-C; other errors keep their trace."""
    try:
        yield
    except GanCompressError as error:
        typer.echo(f"gancompress: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("\nstopped; give the same command again to go on from here", err=True)
        raise typer.Exit(130) from None
