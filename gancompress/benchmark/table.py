"""What `gancompress benchmark` found, as one markdown table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gancompress.benchmark.roofline import Rates, Roofline, Work, roofline
from gancompress.benchmark.turns import BURST, FileTimes, Settings
from gancompress.export.report import NONE, aligned, quantity, ratio

MB = 1e6


@dataclass(frozen=True)
class BenchmarkRow:
    """One file on so many threads, beside what it is compared with.

    first_ms: median of the first file, the teacher in torch for a run; same_ms: of that generator
    in this row's format; both timed in turn with this row, None where there is none. work: of one
    call, None where nothing is known of the network.
    """

    measured: FileTimes
    file_bytes: int
    first_ms: float | None
    same_ms: float | None
    work: Work | None
    rates: Rates

    @property
    def p50_ms(self) -> float:
        return float(np.median(self.measured.times_ms))

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.measured.times_ms, 95))

    @property
    def roofline(self) -> Roofline | None:
        return None if self.work is None else roofline(self.work, self.rates, self.p50_ms)


@dataclass(frozen=True)
class Benchmark:
    """All rows, the machine in words, how calls were made, and what was left out and why."""

    rows: tuple[BenchmarkRow, ...]
    machine: str
    settings: Settings
    left_out: tuple[str, ...] = ()

    @property
    def first(self) -> FileTimes:
        return self.rows[0].measured


def as_json(found: Benchmark) -> dict[str, Any]:
    """Everything, in milliseconds, bytes and ratios; `times_ms` hold every timed call."""
    settings = asdict(found.settings)
    rates = {str(row.rates.threads): asdict(row.rates) for row in found.rows}
    return {
        "machine": found.machine,
        "compared_with": {"name": found.first.subject.name, "format": found.first.format},
        **{name: settings[name] for name in ("batch", "repeats", "warmup")},
        "rates": rates,
        "rows": [_row_json(row, found.settings.batch) for row in found.rows],
        "left_out": list(found.left_out),
    }


def _row_json(row: BenchmarkRow, batch: int) -> dict[str, Any]:
    one, bound = row.measured, row.roofline
    return {
        "name": one.subject.name,
        "format": one.format,
        "file": one.subject.path.name,
        "precision": one.card.precision,
        "size": list(one.size),
        "threads": one.threads,
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "images_per_s": batch / row.p50_ms * 1e3,
        "peak_bytes": one.peak_bytes,
        "imported_bytes": one.imported_bytes,
        "file_bytes": row.file_bytes,
        "first_ms": row.first_ms,
        "same_format_ms": row.same_ms,
        "faster_than_first": _faster(row.first_ms, row),
        "faster_in_same_format": _faster(row.same_ms, row),
        "work": None if row.work is None else asdict(row.work),
        "roofline": None if bound is None else {**asdict(bound), "bound_ms": bound.bound_ms},
        "times_ms": list(one.times_ms),
    }


def _faster(whole_ms: float | None, row: BenchmarkRow) -> float | None:
    return None if whole_ms is None else whole_ms / row.p50_ms


def table(found: Benchmark) -> str:
    """A markdown table with a row for each file and number of threads, and what it means below."""
    first = found.first
    titles = [
        "generator", "format", "threads", "p50 ms", "p95 ms", "images/s", "peak MB",
        "of it the model", "file", f"than {_in_words(first)}", f"than {first.subject.name} in same",
        "GMACs/s", "of rate", "GB/s", "of rate", "bound ms",
    ]  # fmt: skip
    cells = [_cells(row, found.settings.batch) for row in found.rows]
    safe = [[text.replace("|", "/") for text in line] for line in (titles, *cells)]
    return "\n".join([*aligned(safe[0], safe[1:]), "", *_notes(found)])


def _in_words(one: FileTimes) -> str:
    return f"{one.subject.name} in {'torch' if one.format == 'safetensors' else one.format}"


def _cells(row: BenchmarkRow, batch: int) -> list[str]:
    one, bound = row.measured, row.roofline
    above = max(0, one.peak_bytes - one.imported_bytes)
    rates = [NONE] * 5
    if bound is not None:
        rates = [
            f"{bound.macs_per_s / 1e9:.1f}",
            f"{bound.macs_share:.0%}",
            f"{bound.bytes_per_s / 1e9:.1f}",
            f"{bound.bytes_share:.0%}",
            _ms(bound.bound_ms),
        ]
    return [
        one.subject.name,
        one.format,
        str(one.threads),
        _ms(row.p50_ms),
        _ms(row.p95_ms),
        f"{batch / row.p50_ms * 1e3:.3g}",
        f"{one.peak_bytes / MB:.0f}",
        f"{above / MB:.0f}",
        f"{quantity(row.file_bytes)}B",
        NONE if row.first_ms is None else ratio(row.first_ms, row.p50_ms),
        NONE if row.same_ms is None else ratio(row.same_ms, row.p50_ms),
        *rates,
    ]


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}".removesuffix(".")


def _notes(found: Benchmark) -> list[str]:
    settings = found.settings
    images = "1 image" if settings.batch == 1 else f"{settings.batch} images"
    sizes = dict.fromkeys("x".join(map(str, row.measured.size)) for row in found.rows)
    rates: Mapping[int, Rates] = {row.rates.threads: row.rates for row in found.rows}
    return [
        f"{found.machine}; {images} of {', '.join(sizes)} (height x width) a call",
        f"ms: of {settings.repeats} calls, after {settings.warmup} to warm up; each file in a "
        f"process of its own, in turns of {BURST} calls behind one more that is not counted; "
        "images/s are at p50",
        "peak MB: the most that the process held; of it the model: above what it held before it "
        "read the file",
        *(
            f"rates, float32, {n} thread{'' if n == 1 else 's'}: "
            f"{rate.macs_per_s / 1e9:.3g} GMACs/s ({rate.product}), {rate.bytes_per_s / 1e9:.3g} "
            f"GB/s read and written (a copy of {rate.buffer_bytes / 2**20:.0f} MiB)"
            for n, rate in rates.items()
        ),
        "bound: what these rates leave for the MACs, or for every layer's inputs, outputs and "
        "weights as float32, whichever is longer; above a measured time where a file fuses "
        "layers, keeps features in the cache or computes in fewer bits",
        *(f"left out: {sentence}" for sentence in found.left_out),
    ]
