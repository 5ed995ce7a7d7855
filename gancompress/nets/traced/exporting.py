"""torch's tracers: a module as an exported program, in a limited time."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import Tensor, nn
from torch._export.converter import TS2EPConverter
from torch.export import Dim, ExportedProgram

from gancompress.errors import ArchError
from gancompress.nets.families.ownfile import reason

# Most networks take seconds, some of free height and width minutes or hours.
SECONDS = 45.0


class TracerTimeout(BaseException):
    """The tracer's time is over. No Exception, as the tracer goes on after many of these."""


def of_module(net: nn.Module, x: Tensor, is_static: bool, seconds: float) -> ExportedProgram:
    """The program of a network in evaluation; free in the number of images, and unless it is
    static in height and width, as far as its code allows.

    Raises: whatever its code or the tracer raises; TracerTimeout.
    """
    sizes = {0: Dim.AUTO} if is_static else {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with torch.no_grad(), warnings.catch_warnings(), _quiet(), time_limit(seconds):
        warnings.simplefilter("ignore")  # They are about code that loses nothing here.
        return torch.export.export(net, (x,), dynamic_shapes=(sizes,))


def of_script(net: torch.jit.ScriptModule, x: Tensor, where: str) -> ExportedProgram:
    """The program of TorchScript. Raises: ArchError naming `where`."""
    try:
        program: ExportedProgram = TS2EPConverter(net, (x,)).convert()
    except Exception as error:
        raise ArchError(
            f"{where}: this TorchScript cannot be turned into a graph ({reason(error)[:300]}); "
            "give the module that it was made of"
        ) from error
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what the tracer logs of sides that it cannot free: pages of its own code."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TracerTimeout within after so many seconds of the clock; 0: no limit.

    There is none where alarms are not known, in threads other than the main one, which alone hears
    them, and where somebody else waits for an alarm.
    """
    has_alarm = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    if not seconds or not has_alarm or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TracerTimeout

    before = signal.signal(signal.SIGALRM, stop)
    # Again after as long: what is raised in a callback of the interpreter's own is lost.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
