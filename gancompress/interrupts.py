"""Ctrl-C and SIGTERM: they end a command that still starts at once, and are exceptions in its work.

SIGTERM is what `kill`, batch systems and machines that shut down send.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
STOPPED = 130  # 128 + the number of the signal, as shells report it
TERMINATED = 143
_STDERR = 2
_asked = threading.Event()


def ask_to_stop() -> None:
    """Asks the main thread to stop as by Ctrl-C, from a thread beside it.

    Where Ctrl-C is ignored, as in jobs in the background, so is the signal that this sends: what
    works for long also looks at `is_asked_to_stop`.
    """
    _asked.set()
    _thread.interrupt_main()


def is_asked_to_stop() -> bool:
    return _asked.is_set()


def forget_to_stop() -> None:
    """What was asked for has happened, or is wanted no longer."""
    _asked.clear()


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever saves work, gives locks back or takes files away after Ctrl-C does so."""


def end_at_once() -> None:
    """From now on Ctrl-C and SIGTERM end the process in one line, with exit code 130 or 143.

    KeyboardInterrupt would print its traceback, or be lost where Python ignores what a callback
    raises, as in the importer's own. A signal that is ignored, as of jobs in the background, or
    handled by someone else, stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt and SIGTERM its child `Terminated`, so that work can
    be saved, locks given back and temporary files deleted."""
    raising: dict[signal.Signals, Handler] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: _terminating(os.getpid()),
    }
    ours = {sign: one for sign, one in raising.items() if signal.getsignal(sign) is _end}
    try:
        for sign, handler in ours.items():
            signal.signal(sign, handler)
        yield
    finally:
        for sign in ours:
            signal.signal(sign, _end)


def _terminating(process: int) -> Handler:
    """What SIGTERM does in that process. One that was forked from it ends as it would by itself:
    libraries end those that load data so, and nothing of them is to be saved."""

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(TERMINATED)
        raise Terminated

    return terminate


def _end(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):  # a closed stderr is no reason to go on
        os.write(_STDERR, b"\nstopped\n" if os.isatty(_STDERR) else b"stopped\n")
    os._exit(128 + number)
