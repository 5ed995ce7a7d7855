"""Every file of a data set opened once, in the background where that takes long."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from gancompress import interrupts

AT_ONCE_SECONDS = 2.0  # A command waits so long for the check of files before it goes on beside it.


@runtime_checkable
class Checked(Protocol):
    """A data set of files."""

    def check(self) -> None:
        """Decodes every file once. Raises: DataError naming the first that is unusable."""


class FileCheck:
    """Opens the files of a data set; as a context manager it ends its block for a damaged one.

    The block is stopped as by Ctrl-C, so that a training keeps its state, and the refusal of the
    file is raised in its place. A data set that has no files, or None, is not looked at.
    """

    def __init__(self, dataset: object) -> None:
        self._error: Exception | None = None
        self._is_awaited = False
        self._change = threading.Lock()
        self._thread: threading.Thread | None = None
        if isinstance(dataset, Checked):
            self._thread = threading.Thread(target=self._open, args=(dataset,), daemon=True)
            self._thread.start()

    def wait(self, seconds: float = AT_ONCE_SECONDS) -> bool:
        """Whether all were opened within that time. Raises: DataError naming a damaged one."""
        if self._thread is not None:
            self._thread.join(seconds)
        self._refuse()
        return self._thread is None or not self._thread.is_alive()

    def _open(self, dataset: Checked) -> None:
        if sys.platform == "linux":  # Threads have a niceness there: training goes first.
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            dataset.check()
        except Exception as error:  # whatever it is, it is raised where the command waits
            with self._change:
                self._error = error
                if self._is_awaited:
                    interrupts.ask_to_stop()

    def _refuse(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        with self._change:
            self._refuse()
            self._is_awaited = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._change:
            self._is_awaited = False
            if self._error is not None:
                interrupts.forget_to_stop()
        if isinstance(error, KeyboardInterrupt) and self._error is not None:
            raise self._error from None
