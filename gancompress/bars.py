"""Progress bars: one line that moves on a terminal, a line now and then in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, overload

from tqdm import tqdm

if TYPE_CHECKING:
    Tqdm = tqdm[Any]
else:
    Tqdm = tqdm  # takes no brackets when it runs

T = TypeVar("T")

LINE_SECONDS = 10.0  # between two lines of a bar in a file: some 360 an hour


@overload
def progress(iterable: Iterable[T], desc: str, **look: Any) -> tqdm[T]: ...
@overload
def progress(iterable: None = None, desc: str = "", **look: Any) -> tqdm[Any]: ...
def progress(
    iterable: Iterable[Any] | None = None,
    desc: str = "",
    *,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.time,
    is_summed_up: bool = False,
    **look: Any,
) -> tqdm[Any]:
    """A bar on `stream`, by default stderr, to iterate over or to `update`; closed at the end.

    On a terminal as tqdm draws it with `look`. Elsewhere a line at most every LINE_SECONDS and one
    of the final state; with leave=False that one only where others came before, so that what is
    over soon leaves none. is_summed_up: so in files too where a sentence follows that says as much.
    """
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        return tqdm(iterable, desc, file=stream, **look)
    look["leave"] = look.get("leave", True) and not is_summed_up
    return _Lines(iterable, desc, stream=stream, clock=clock, **look)


def say_above(text: str) -> None:
    """A line on stderr that no bar runs into."""
    tqdm.write(text, file=sys.stderr)


class _Lines(Tqdm):
    """Every state that it shows is a line by itself, ended by a newline."""

    def __init__(
        self,
        iterable: Iterable[Any] | None,
        desc: str,
        *,
        stream: TextIO,
        clock: Callable[[], float],
        **look: Any,
    ) -> None:
        self._clock, self._shown, self._is_final = clock, clock(), False
        self._has_lines = False
        # miniters: every step asks the clock, as steps may take any time.
        timed = {**look, "mininterval": LINE_SECONDS, "miniters": 1}
        super().__init__(iterable, desc, file=stream, **timed)
        self._time = clock
        self.start_t = self.last_print_t = clock()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Writes the state if it is time to; tqdm calls this for everything that it shows.

        An empty message would take a bar back: lines stay.
        """
        is_due = self._clock() - self._shown >= LINE_SECONDS or self._is_final
        if not is_due or msg == "":
            return
        self._shown, self._has_lines = self._clock(), True
        self.fp.write(f"{self}\n")
        self.fp.flush()

    def clear(self, nolock: bool = False) -> None:
        """Nothing to take back: lines stay."""

    def close(self) -> None:
        """Writes the final state."""
        if not self.disable and (self.leave or self._has_lines):
            self._is_final = True
            self.display()
        self.leave = False  # as far as tqdm is concerned
        super().close()
