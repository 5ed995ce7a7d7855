"""What is said below the final table."""

from __future__ import annotations

from gancompress.export.report import ReportedValue, Row
from gancompress.stages.remarks import worse_than_enlarging


def row(name: str, psnr: float, l1: float) -> Row:
    figures = (ReportedValue("PSNR", psnr, 4), ReportedValue("L1", l1, 4))
    return Row(name, 1, 1, 1, figures=figures)


ROWS = [
    row("teacher", 60.0, 0.0),
    row("compressed, fine-tuned", 28.0, 0.05),
    row("compressed before fine-tuning", 23.0, 0.2),
    row("20x smaller", 24.8, 0.07),
    row("bicubic", 24.9, 0.08),
]


def test_who_is_worse_than_plain_enlarging_is_named() -> None:
    (said,) = worse_than_enlarging(ROWS, ["bicubic"], "psnr")
    assert said.startswith("20x smaller: PSNR 24.8 is worse than that of bicubic enlarging, 24.9;")


def test_the_objective_decides() -> None:
    assert [*worse_than_enlarging(ROWS, ["bicubic"], "l1")] == []
    assert [*worse_than_enlarging(ROWS, ["bicubic"], "kid")] == []  # of features: says nothing
    assert [*worse_than_enlarging(ROWS, [], "psnr")] == []
