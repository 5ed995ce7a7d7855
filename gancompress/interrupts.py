"""Ctrl-C: it ends a command that still starts at once, and is an exception in its work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPPED = 130  # 128 + the number of SIGINT, as shells report it
_STDERR = 2


def end_at_once() -> None:
    """From now on Ctrl-C ends the process in one line, with exit code 130.

    KeyboardInterrupt would print its traceback, or be lost where Python ignores what a callback
    raises, as in the importer's own. A signal that is ignored, as of jobs in the background, or
    handled by someone else, stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt, so that work can be saved and locks given back."""
    if signal.getsignal(signal.SIGINT) is not _end:
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):  # a closed stderr is no reason to go on
        os.write(_STDERR, b"\nstopped\n" if os.isatty(_STDERR) else b"stopped\n")
    os._exit(STOPPED)
