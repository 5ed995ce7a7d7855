"""Few of many, spread evenly over them."""

from __future__ import annotations


def evenly(count: int, wanted: int, *, from_start: bool = False) -> list[int]:
    """`wanted` rising places of `count`, or all if there are fewer.

    They are the middles of as many equal parts, or the first places of them with `from_start`.
    """
    wanted = min(wanted, count)
    offset = 0 if from_start else 1
    return [(2 * i + offset) * count // (2 * wanted) for i in range(wanted)]
