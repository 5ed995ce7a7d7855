"""Calls that are timed in turn, so that what else the machine does meets all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def in_turns(calls: Mapping[K, Callable[[], T]], rounds: int) -> Iterator[dict[K, T]]:
    """What all calls return, once a round; nothing is called before its round is asked for.

    Every other round goes backwards, so that none is always the one after the largest.
    """
    names = list(calls)
    for i in range(rounds):
        found = {name: calls[name]() for name in names[:: -1 if i % 2 else 1]}
        yield {name: found[name] for name in names}
