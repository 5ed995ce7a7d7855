"""`gancompress`, and `python -m gancompress`."""

from __future__ import annotations

import gc
import io
import sys

from gancompress.interrupts import end_at_once


def main() -> None:
    """The `gancompress` command: 0 done, 2 refused in one sentence, 130 or 143 stopped."""
    end_at_once()  # before anything is imported that takes time
    gc.disable()  # until a command's work begins, see `process.collecting`
    from gancompress.process import configure_runtime

    for stream in (sys.stdout, sys.stderr):  # names of files need not be of the terminal's letters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    configure_runtime()  # before torch is imported, as every command does in its own first lines
    from gancompress.cli.commands import app

    app()


if __name__ == "__main__":
    main()
