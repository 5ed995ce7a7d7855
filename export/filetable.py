"""The table of an export's files: what each weighs, how exact and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gancompress.export.latency import Latency
from gancompress.export.report import NONE, ReportedValue, aligned, quantity, ratio
from gancompress.storage.resultfiles import Numbers

Column = tuple[str, list[str]]


@dataclass(frozen=True)
class FileRow:
    """One format of the exported generator.

    difference: the largest one to the supernet's own float32 output, of [-1, 1]. figures: the
    file's own, where it is computed in less than float32; those of the generator otherwise.
    loss: by the values' labels, how much more than the generator's, as a fraction. rewrites: how
    often each step of `rewrite.STEPS` changed the network before it was written.
    """

    name: str
    file: str
    bytes: int
    precision: str
    difference: float
    latency: Latency | None = None
    figures: tuple[ReportedValue, ...] = ()
    loss: Numbers = field(default_factory=dict)
    rewrites: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


def file_table(rows: Sequence[FileRow], teacher: Latency | None, name: str = "teacher") -> str:
    """A markdown table of the files and, below, what is to be known of each.

    teacher: its time in torch on as many threads, which "faster" compares with; name: what the
    table of generators calls it.
    """
    labels = list(dict.fromkeys(f.label for row in rows for f in row.figures))
    columns: list[Column] = [
        ("format", [row.name for row in rows]),
        ("file", [f"model/{row.file}" for row in rows]),
        ("size", [f"{quantity(row.bytes)}B" for row in rows]),
        ("computed in", [row.precision for row in rows]),
        ("largest difference", [f"{row.difference:.2g}" for row in rows]),
        *_times(rows, teacher, name),
        *((_title(label, rows), [_figure(row, label) for row in rows]) for label in labels),
    ]
    titles = [title for title, _ in columns]
    cells = [[column[i] for _, column in columns] for i in range(len(rows))]
    notes = [f"{row.name}: {' '.join(row.note.split())}" for row in rows if row.note]
    return "\n".join([*aligned(titles, cells), *(["", *notes] if notes else [])])


def _times(rows: Sequence[FileRow], teacher: Latency | None, name: str) -> list[Column]:
    timed = [row.latency for row in rows if row.latency is not None]
    if not timed:
        return []
    threads = timed[0].threads
    plural = "" if threads == 1 else "s"
    ms = [NONE if r.latency is None else f"{r.latency.median_ms:#.3g}".rstrip(".") for r in rows]
    found: list[Column] = [(f"ms, {threads} thread{plural}", ms)]
    if teacher is None:
        return found
    faster = [
        NONE if r.latency is None else ratio(teacher.median_ms, r.latency.median_ms) for r in rows
    ]
    return [*found, (f"faster than the {name} in torch", faster)]


def _title(label: str, rows: Sequence[FileRow]) -> str:
    counts = {f.images for row in rows for f in row.figures if f.label == label}
    return f"{label} (n={counts.pop()})" if len(counts) == 1 else label


def _figure(row: FileRow, label: str) -> str:
    for figure in row.figures:
        if figure.label == label:
            loss = row.loss.get(label)
            more = "" if loss is None else f" ({loss:+.1%})"
            return f"{figure.value:#.4g}".rstrip(".") + more
    return NONE
