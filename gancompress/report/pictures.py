"""What the stages of a run left, checked and as data that the page draws."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, CheckpointError
from gancompress.export.filetable import FileRow
from gancompress.export.latency import Latency
from gancompress.export.report import ReportedValue, Row
from gancompress.report.words import shown_costs
from gancompress.storage.checkpoint import read_json
from gancompress.storage.runs import STAGES

# The most bytes of the embedded picture, so that the page stays below 3 MB.
MOST_PICTURE_BYTES = 1_200_000
_MISSHAPEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArchError)


@dataclass(frozen=True)
class Point:
    """A generator that was measured: what it costs, and its scores, by name."""

    arch: Arch
    costs: Mapping[str, float]
    scores: Mapping[str, float]


@dataclass(frozen=True)
class RowWinner:
    """What the search chose for one row of the final table, inside its limits (by cost).

    by_search, by_chance: the best that the search and that random draws found; None for nothing.
    """

    row: str
    limits: Mapping[str, float]
    point: Point
    by_search: Point | None
    by_chance: Point | None


@dataclass(frozen=True)
class Front:
    """What the search found. points: the front, cheap first; teacher: measured on the same images.

    first_look: Kendall's tau and how many archs it is of; None where there was no evaluation on few
    images.
    """

    objective: str
    is_lower_better: bool
    cost: str
    features: str
    images: int
    first_images: int
    algorithm: str
    first_look: tuple[float, int] | None
    winners: tuple[RowWinner, ...]
    points: tuple[Point, ...]
    teacher: Point | None


@dataclass(frozen=True)
class ReportedSearch:
    """One search, all that it measured in order; first_look: on few images, by other scores."""

    name: str
    is_baseline: bool
    first_look: tuple[Point, ...]
    full: tuple[Point, ...]


@dataclass(frozen=True)
class Tuned:
    """A generator's scores as it was in the supernet and after training alone."""

    name: str
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class Finetuning:
    """What training further changed, evaluated on `images`; tau: of the orders before and after."""

    steps: int
    objective: str
    images: int
    tau: float | None
    generators: tuple[Tuned, ...]


def read_front(path: Path) -> Front:
    """Raises: CheckpointError, here and below, for a file that is not what its stage writes."""
    with _reading(path, "search"):
        raw = read_json(path)
        look, teacher = raw["first_look"], raw.get("teacher")
        return Front(
            str(raw["objective"]),
            raw["better"] == "min",
            str(raw["cost"]),
            str(raw["features"]),
            int(raw["images"]),
            int(raw["first_images"]),
            str(raw["algorithm"]),
            None if look is None else (float(look["kendall_tau"]), int(look["n"])),
            tuple(_winner(winner) for winner in raw["winners"]),
            tuple(_point(point) for point in raw["points"]),
            None if teacher is None else _point(teacher),
        )


def read_searches(path: Path) -> list[ReportedSearch]:
    with _reading(path, "search"):
        return [
            ReportedSearch(
                str(one["name"]),
                bool(one["is_baseline"]),
                tuple(_point(point) for point in one["first_look"] or ()),
                tuple(_point(point) for point in one["full"]),
            )
            for one in read_json(path)
        ]


def read_finetuning(path: Path) -> Finetuning:
    with _reading(path, "finetune"):
        raw = read_json(path)
        tau = raw["rank_agreement"]["kendall_tau"]
        return Finetuning(
            int(raw["steps"]),
            str(raw["objective"]),
            int(raw["images"]),
            None if tau is None else float(tau),
            tuple(
                Tuned(str(one["name"]), _numbers(one["before"]), _numbers(one["after"]))
                for one in raw["generators"]
            ),
        )


def read_rows(path: Path) -> list[Row]:
    """The rows of export's card, the teacher's first, then that of what was exported."""
    with _reading(path, "export"):
        return [_row(row) for row in read_json(path)["rows"]]


def read_files(path: Path) -> tuple[list[FileRow], Latency | None]:
    """The files of export's card, and the teacher's time in torch that was taken beside theirs."""
    with _reading(path, "export"):
        raw = read_json(path)
        teacher = raw.get("teacher_latency")
        return [_file(row) for row in raw["files"]], teacher and _latency(teacher)


def picture_uri(path: Path) -> str:
    """The picture as a data URI: as it is, or as a JPEG where that keeps the page small."""
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise _damaged(path, "export") from None
    if len(content) <= MOST_PICTURE_BYTES:
        return "data:image/png;base64," + base64.b64encode(content).decode()
    while True:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=85)
        if packed.tell() <= MOST_PICTURE_BYTES:
            return "data:image/jpeg;base64," + base64.b64encode(packed.getvalue()).decode()
        image = image.reduce(2)


@contextmanager
def _reading(path: Path, stage: str) -> Iterator[None]:
    try:
        yield
    except _MISSHAPEN:
        raise _damaged(path, stage) from None


def _damaged(path: Path, stage: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: not what this version's {stage} writes, or changed on disk; give "
        f"`gancompress {STAGES[stage]} … --redo` to make it again"
    )


def _winner(raw: Mapping[str, Any]) -> RowWinner:
    def known(name: str) -> Point | None:
        return None if raw.get(name) is None else _point(raw[name])

    limits = _numbers(raw["limits"])
    return RowWinner(str(raw["row"]), limits, _point(raw), known("by_search"), known("by_chance"))


def _point(raw: Mapping[str, Any]) -> Point:
    arch = Arch.from_json(json.dumps(raw["arch"]))
    return Point(arch, shown_costs(_numbers(raw["costs"])), _numbers(raw["scores"]))


def _numbers(raw: Mapping[str, Any]) -> dict[str, float]:
    """By name; what is not finite is left out. Raises: ValueError, TypeError."""
    numbers = {str(name): float(value) for name, value in raw.items()}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def _row(raw: Mapping[str, Any]) -> Row:
    size = raw["file_bytes"]
    return Row(
        name=str(raw["name"]),
        params=int(raw["params"]),
        macs_true=int(raw["macs_true"]),
        macs_published=int(raw["macs_published"]),
        file_bytes=None if size is None else int(size),
        latencies={str(runtime): _latency(one) for runtime, one in raw["latencies"].items()},
        figures=tuple(_figure(figure) for figure in raw["figures"]),
    )


def _file(raw: Mapping[str, Any]) -> FileRow:
    latency = raw["latency"]
    return FileRow(
        str(raw["name"]),
        str(raw["file"]),
        int(raw["bytes"]),
        str(raw["precision"]),
        float(raw["difference"]),
        None if latency is None else _latency(latency),
        tuple(_figure(figure) for figure in raw["figures"]),
        _numbers(raw["loss"]),
        {str(step): int(times) for step, times in raw["rewrites"].items()},
        str(raw["note"]),
    )


def _latency(raw: Mapping[str, Any]) -> Latency:
    return Latency(
        float(raw["median_ms"]), float(raw["p95_ms"]), int(raw["repeats"]), int(raw["threads"])
    )


def _figure(raw: Mapping[str, Any]) -> ReportedValue:
    return ReportedValue(
        str(raw["label"]),
        float(raw["value"]),
        int(raw["images"]),
        {str(kind): _numbers(of) for kind, of in raw["details"].items()},
        _ends(raw.get("interval")),
        _ends(raw.get("above_teacher")),
    )


def _ends(raw: Sequence[Any] | None) -> tuple[float, float] | None:
    if raw is None:
        return None
    low, high = (float(end) for end in raw)
    return low, high
