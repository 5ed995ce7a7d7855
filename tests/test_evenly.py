"""Few of many, against the parts that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from gancompress.evenly import evenly


@pytest.mark.parametrize("count", [0, 1, 2, 7, 10, 64])
@pytest.mark.parametrize("wanted", [0, 1, 3, 7, 10, 100])
def test_each_place_is_the_middle_or_the_start_of_its_part(count: int, wanted: int) -> None:
    parts = min(wanted, count)
    edges = np.arange(parts) * count / max(1, parts)
    assert evenly(count, wanted, from_start=True) == np.floor(edges).astype(int).tolist()
    middles = edges + count / max(1, 2 * parts)
    assert evenly(count, wanted) == np.floor(middles + 1e-9).astype(int).tolist()


def test_all_are_taken_where_there_are_no_more() -> None:
    assert evenly(3, 5) == evenly(3, 3, from_start=True) == [0, 1, 2]
    assert evenly(10, 2) == [2, 7] and evenly(10, 2, from_start=True) == [0, 5]
