"""How commands end: what each exit code of `gancompress` means."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from gancompress.errors import GanCompressError
from gancompress.interrupts import STOPPED, TERMINATED, Terminated, interruptible
from gancompress.process import collecting, is_too_little_memory

_BYTES = re.compile(r"tried to allocate (\d+) bytes")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Refusals in one sentence and exit code 2, too little memory among them; 130 after Ctrl-C and
    143 after SIGTERM; other errors keep their trace."""
    try:
        with interruptible(), collecting():
            yield
    except GanCompressError as error:
        _refuse(str(error))
    except KeyboardInterrupt as error:
        # Terminals show a mark for Ctrl-C; the message begins behind it.
        behind_the_mark = "\n" if sys.stderr.isatty() else ""
        said = "stopped; give the same command again to go on from here"
        typer.echo(f"{behind_the_mark}{said}", err=True)
        is_sigterm = isinstance(error, Terminated)
        raise typer.Exit(TERMINATED if is_sigterm else STOPPED) from None
    except (MemoryError, RuntimeError, OSError) as error:
        if not is_too_little_memory(error):
            raise
        _refuse(
            f"too little memory{_asked(error)}; smaller images or batch sizes, fewer workers or "
            "other programs closed leave more of it; then give the same command again"
        )


def _asked(error: Exception) -> str:
    found = _BYTES.search(str(error))
    return f", {int(found[1]) / 1e9:.1f} GB more were needed at once" if found else ""


def _refuse(sentence: str) -> NoReturn:
    typer.echo(f"gancompress: {sentence}", err=True)
    raise typer.Exit(2) from None
