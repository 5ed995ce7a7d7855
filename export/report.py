"""The closing table: teacher against compressed generators, as aligned text that is markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gancompress.export.latency import Latency
from gancompress.storage.resultfiles import Numbers

NONE = "-"
T = TypeVar("T")


@dataclass(frozen=True)
class ReportedValue:
    """One measured quality: its full name (`L1`, `FD-EffNetLite0`), value, number of images.

    details: what it is made of, where that is told: values by their names, for each class.
    interval: 95 % confidence, of the mean over test sets of as many such images; above_teacher:
        the same of the value minus the teacher's on the same images. None where nobody asked.
    """

    label: str
    value: float
    images: int
    details: Mapping[str, Numbers] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    above_teacher: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """One generator in the table.

    macs are of one image; file_bytes is its weights file; latencies by the name of the runtime.
    """

    name: str
    params: int
    macs_true: int
    macs_published: int
    file_bytes: int | None = None
    latencies: Mapping[str, Latency] = field(default_factory=dict)
    figures: tuple[ReportedValue, ...] = ()


Column = tuple[str, Callable[[Row], str]]


def table(rows: Sequence[Row], remarks: Sequence[str] = ()) -> str:
    """A markdown table, padded so that it reads well as plain text; ends without a newline.

    The first row is the teacher: ratios are to it. Latency is of one image, thread count stated;
    every figure says of how many images it is. Differences to the teacher, and `remarks`, stand
    below.
    """
    columns = [*_sizes(rows), *_times(rows), *_figures(rows)]
    titles = [title for title, _ in columns]
    cells = [[cell(row) for _, cell in columns] for row in rows]
    notes = [*_notes(rows), *remarks]
    return "\n".join([*aligned(titles, cells), *([""] if notes else []), *notes])


def class_table(rows: Sequence[Row]) -> str:
    """What the rows' values are made of, a table for each, as `table` lays it out; "" if nothing.

    That is classes, levels of size, or the real images beside the generated ones. A value that all
    generators share, as the pixels of a class, has one column.
    """
    labels = dict.fromkeys(f.label for r in rows for f in r.figures if f.details)
    return "\n\n".join("\n".join(_details(rows, label)) for label in labels)


def _details(rows: Sequence[Row], label: str) -> list[str]:
    told = [
        (r.name, c, d)
        for r in rows
        for f in r.figures
        if f.label == label
        for c, d in f.details.items()
    ]
    found: dict[str, dict[str, dict[str, float]]] = {}  # measure, generator, class -> value
    for name, kind, details in told:
        for measure, value in details.items():
            found.setdefault(measure, {}).setdefault(name, {})[kind] = value
    columns: dict[str, dict[str, float]] = {}
    for measure, by_name in found.items():
        same = len(by_name) == len(rows) and len({str(by_name[n]) for n in by_name}) == 1
        shared = {measure: next(iter(by_name.values()))}
        columns |= shared if same else {f"{n} {measure}": v for n, v in by_name.items()}
    kinds = dict.fromkeys(kind for _, kind, _ in told)
    cells = [[k, *(_or_none(c.get(k), _figure_text) for c in columns.values())] for k in kinds]
    safe = [[text.replace("|", "/") for text in line] for line in ([label, *columns], *cells)]
    return aligned(safe[0], safe[1:])


def aligned(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a markdown table, padded: the first column to the left, others to the right.

    Each cell is one line without a bar, which would end it.
    """
    titles, *cells = [[_one_line(cell) for cell in line] for line in (titles, *cells)]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    rule = ["-" * max(widths[0], 3), *("-" * (max(w, 2) - 1) + ":" for w in widths[1:])]
    return [_line(titles, widths), _line(rule, widths), *(_line(c, widths) for c in cells)]


def _one_line(cell: str) -> str:
    return " ".join(cell.replace("|", "/").split())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"


def _sizes(rows: Sequence[Row]) -> list[Column]:
    teacher = rows[0]
    columns: list[Column] = [
        ("generator", lambda r: r.name),
        ("params", lambda r: quantity(r.params)),
        ("true MACs", lambda r: quantity(r.macs_true)),
        ("fewer", lambda r: ratio(teacher.macs_true, r.macs_true)),
        ("published MACs", lambda r: quantity(r.macs_published)),
    ]
    if any(r.file_bytes is not None for r in rows):
        columns.append(("file", lambda r: _or_none(r.file_bytes, lambda n: f"{quantity(n)}B")))
    return columns


def _times(rows: Sequence[Row]) -> list[Column]:
    runtimes = dict.fromkeys(runtime for row in rows for runtime in row.latencies)
    return [column for runtime in runtimes for column in _times_of(runtime, rows)]


def _times_of(runtime: str, rows: Sequence[Row]) -> list[Column]:
    """Milliseconds in one runtime, and how many times faster than the teacher in the same one."""
    threads = {r.latencies[runtime].threads for r in rows if runtime in r.latencies}
    shared = next(iter(threads)) if len(threads) == 1 else None
    base = rows[0].latencies.get(runtime)

    def milliseconds(row: Row) -> str:
        latency = row.latencies.get(runtime)
        if latency is None:
            return NONE
        own = "" if shared else f" ({_threads(latency.threads)})"
        return f"{_short(latency.median_ms, 3)}{own}"

    def faster(row: Row) -> str:
        latency = row.latencies.get(runtime)
        return NONE if base is None or latency is None else ratio(base.median_ms, latency.median_ms)

    title = f"{runtime} ms, {_threads(shared)}" if shared else f"{runtime} ms"
    columns: list[Column] = [(title, milliseconds)]
    return [*columns, ("faster", faster)] if base is not None else columns


def _figures(rows: Sequence[Row]) -> list[Column]:
    labels = dict.fromkeys(f.label for r in rows for f in r.figures)
    return [_figure(label, rows) for label in labels]


def _figure(label: str, rows: Sequence[Row]) -> Column:
    counts = {f.images for r in rows for f in r.figures if f.label == label}
    shared = next(iter(counts)) if len(counts) == 1 else None

    def cell(row: Row) -> str:
        for figure in row.figures:
            if figure.label == label:
                own = "" if shared else f" (n={figure.images})"
                between = "" if figure.interval is None else f" {_interval(*figure.interval)}"
                return f"{_short(figure.value)}{between}{own}"
        return NONE

    return (f"{label} (n={shared})" if shared else label), cell


def _notes(rows: Sequence[Row]) -> list[str]:
    """Under the table: how the times were taken, and what the intervals say."""
    notes = []
    if repeats := sorted({latency.repeats for r in rows for latency in r.latencies.values()}):
        counts = " or ".join(map(str, repeats))
        notes.append(f"ms: one image, median of {counts} runs taken in turn")
    if any(f.interval for r in rows for f in r.figures):
        notes.append(
            "[from, to]: the mean over test sets of as many such images, with 95 % confidence"
        )
    gaps: dict[str, list[str]] = {}
    for row, figure in ((r, f) for r in rows for f in r.figures):
        if figure.above_teacher is not None:
            low, high = figure.above_teacher
            text = f"{(low + high) / 2:+.{_decimals(low, high)}f} {_interval(low, high)}"
            gaps.setdefault(figure.label, []).append(f"{row.name} {text}")
    notes += [f"{n} minus that of {rows[0].name}: {', '.join(g)}" for n, g in gaps.items()]
    return notes


def _threads(count: int | None) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def quantity(n: float) -> str:
    """A count with four digits and a decimal prefix: 11378179 -> `11.38 M`."""
    for prefix, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= unit * 0.99995:  # Four digits round up to the unit.
            return f"{_digits(n / unit)} {prefix}"
    return f"{n:g} "


def ratio(whole: float, part: float) -> str:
    """How many times `part` goes into `whole`: `25.6x`."""
    return f"{_digits(whole / part, 3)}x" if part else NONE


def _digits(value: float, digits: int = 4) -> str:
    """`value` with so many significant digits, never in exponent form."""
    whole = len(f"{value:.0f}")
    return f"{value:.{max(0, digits - whole)}f}"


def _short(value: float, digits: int = 4) -> str:
    """`value` with so many significant digits, zeros at the end included."""
    return f"{value:#.{digits}g}".removesuffix(".")


def _interval(low: float, high: float) -> str:
    """`[438, 465]`."""
    digits = _decimals(low, high)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _decimals(low: float, high: float) -> int:
    """Digits behind the point, down to the second one of the interval's half."""
    reach = (high - low) / 2
    return max(0, 1 - math.floor(math.log10(reach))) if reach > 0 else 4


def _figure_text(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else _short(value)


def _or_none(value: T | None, text: Callable[[T], str]) -> str:
    return NONE if value is None else text(value)
