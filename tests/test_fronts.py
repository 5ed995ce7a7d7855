"""What a search says at its end."""

from __future__ import annotations

import pytest

from gancompress.archs.arch import Arch
from gancompress.search.results import Front, Measured, RowWinner
from gancompress.stages.fronts import told

FOUND, DRAWN = (Arch.of("toy", {"a.width": width}) for width in (4, 8))


def front(winner: Arch, *, most: float = 1, lead: tuple[float, float] | None = None) -> Front:
    """Of one row, where the search and chance scored 21 and 20, or the other way round."""
    costs: dict[str, float] = {"macs": 1}
    scores = {arch: {"psnr": 21.0 if arch == winner else 20.0} for arch in (FOUND, DRAWN)}
    row = RowWinner(
        row="compressed",
        limits={"macs": most},
        arch=winner,
        costs=costs,
        scores=scores[winner],
        by_search=Measured(FOUND, costs, scores[FOUND]),
        by_chance=Measured(DRAWN, costs, scores[DRAWN]),
        lead=lead,
    )
    return Front(
        objective="psnr", better="max", cost="macs", features="none", images=4, first_images=0,
        algorithm="pareto", first_look=None, winners=(row,), points=(),
    )  # fmt: skip


def test_what_chance_found_is_said_beside_what_the_search_found() -> None:
    assert [*told(front(FOUND))] == [
        "  compressed: 4, psnr 21 on split search; the best of as many at random 20"
    ]


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        ((0.4, 1.6), "0.4 to 1.6 worse (95 %)"),
        ((-0.4, 2.4), "-0.4 to 2.4 worse (95 %): the choice of images explains it"),
        ((-1.5, -0.5), "0.5 to 1.5 better (95 %)"),
    ],
)
def test_a_lead_is_said_with_its_interval(lead: tuple[float, float], said: str) -> None:
    (line,) = told(front(FOUND, lead=lead))
    assert line.endswith(f"; the best of as many at random 20, {said}")


def test_a_budget_that_is_hardly_used_is_said() -> None:
    (line,) = told(front(FOUND, most=2))
    assert "it has 50% of the macs that the row allows" in line


def test_a_search_that_brought_nothing_says_so() -> None:
    assert [*told(front(DRAWN))] == [
        "  compressed: 8, psnr 21 on split search; the best of as many at random: the search "
        "brought nothing here"
    ]
