"""What is said below the final table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from toymetrics import Toy, evaluator

from gancompress.export.report import ReportedValue, Row, table
from gancompress.export.results import ExportCard
from gancompress.report.sections import final_tables
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


def said(references: Sequence[str], objective: str) -> list[str]:
    judge = evaluator(Toy(), metrics=("l1", "psnr", "kid"))
    return list(worse_than_enlarging(ROWS, references, objective, judge))


def test_who_is_worse_than_plain_enlarging_is_named() -> None:
    (line,) = said(["bicubic"], "psnr")
    assert line.startswith("20x smaller: PSNR 24.8 is worse than that of bicubic enlarging, 24.9;")


@pytest.mark.parametrize(
    ("references", "objective"),
    [(["bicubic"], "l1"), (["bicubic"], "kid"), (["bicubic"], "ssim"), ([], "psnr")],
)
def test_nothing_is_said_of_others(references: list[str], objective: str) -> None:
    # By l1 none is worse; kid is of features; ssim was not measured.
    assert said(references, objective) == []


def test_remarks_stand_below_the_table_and_on_the_page() -> None:
    card = ExportCard(rows=tuple(ROWS), files=(), remarks=("a sentence",))
    assert table(ROWS, card.remarks) == f"{table(ROWS)}\n\na sentence"
    (shown,) = final_tables(card)
    assert shown.notes == ("a sentence",) and len(shown.lines) == len(ROWS)
