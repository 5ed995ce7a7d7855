"""What stands below the final table for whoever takes a generator from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from gancompress.export.report import Row
from gancompress.metrics import metric_named
from gancompress.metrics.evaluate import Evaluator

BEFORE = " before fine-tuning"  # The names of such rows end so; nobody takes these.


def worse_than_enlarging(
    rows: Sequence[Row], references: Collection[str], objective: str, evaluator: Evaluator
) -> Iterator[str]:
    """A sentence for each generator that a row of `references` beats by the search's objective.

    rows: of the table, the teacher's first. evaluator: of their values. Objectives on features say
    nothing here: a picture without detail can have likely features.
    """
    metric = metric_named(objective)
    if "features" in metric.needs or objective not in evaluator.metrics:
        return
    sign = 1 if metric.better == "min" else -1
    label = evaluator.label_of(objective)
    found = {row.name: _value(row, label) for row in rows[1:]}
    for plain in references:
        bar = found.get(plain)
        for name, value in found.items():
            if value is None or bar is None or name in references or name.endswith(BEFORE):
                continue
            if sign * value > sign * bar:
                yield (
                    f"{name}: {label} {value:.4g} is worse than that of {plain} enlarging, "
                    f"{bar:.4g}; train it (finetune.archs counts the rows that are), or longer"
                )


def _value(row: Row, label: str) -> float | None:
    return next((figure.value for figure in row.figures if figure.label == label), None)
