"""`gancompress latency-table`: measures the layers of a recipe's space, and holds the table of
them against whole generators."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import RunError
from gancompress.latency.layers import SpaceLayers, layers_of
from gancompress.latency.measurements import Measurements, Times, medians
from gancompress.latency.places import (
    RUNTIMES,
    RuntimeConfig,
    Say,
    device_text,
    identity_of,
    place_of,
    places_of,
    timing_of,
)
from gancompress.latency.sampled import SampledLayers, sampled_layers_of
from gancompress.latency.table import (
    Calibration,
    LatencyTable,
    accuracy,
    calibrated,
    spread,
)
from gancompress.latency.times import WARMUP, time_layers, time_networks
from gancompress.process import configure_runtime
from gancompress.project import Project
from gancompress.storage.asides import set_aside
from gancompress.storage.filelock import FileLock

__all__ = ["RUNTIMES", "measure_tables", "plan", "table_of", "tables_json"]

CALIBRATED = 12  # generators measured whole that the sum of the layers is fitted to
VERIFIED = 30  # others, drawn uniformly, that the finished table is held against
POOL = 300  # draws that the calibrated ones are chosen from, fastest to slowest
# How many layers are looked for, beyond which some stand for all, and how many forms one may have.
# A ResNet of 8 slots and 3 widths has some hundreds.
MOST_LAYERS = 20_000
TARGET = 0.1  # a larger median error is worth a warning


def measure_tables(
    project: Project, say: Say = print, *, only: str | None = None, redo: bool = False
) -> list[LatencyTable]:
    """The latency tables of the recipe's run, measured as far as they are not there yet.

    only: one of RUNTIMES; default: those that are installed. redo: sets earlier tables aside.
    Raises: RecipeError for an unknown runtime; ExportError if it is not installed, or a layer has
    no ONNX form; RunError if the run holds tables of something else, or if nothing is known of the
    network's parts.
    """
    places = places_of(project, only, say)
    # Without it single layers get fresh memory pages at every call: predictions are then 20 % off.
    configure_runtime()
    with _lock(places[0].folder):
        if redo:
            _set_aside(places, say)
        tables = []
        layout: SpaceLayers | SampledLayers | None = None
        project.run.clear()
        for place in places:
            if place.path.exists():
                table = LatencyTable.load(place.path, identity_of(project, place.runtime))
                note = ", measured already"
            else:
                layout = _layout(project) if layout is None else layout
                table, note = _measured(project, place, layout), ""
            say(f"{place}{note}: {table.error}\n  {table.device}\n  {place.path}")
            if table.error is not None and table.error.median_error > TARGET:
                say(f"  more than {TARGET:.0%}: was the machine busy? --redo measures again")
            tables.append(table)
    return tables


def table_of(project: Project, runtime: str) -> LatencyTable:
    """The finished table of a runtime, on the recipe's device.

    Raises: RunError if it was not measured yet, or is of another space, size or number of threads.
    """
    place = place_of(project, runtime)
    if not place.path.exists():
        raise RunError(
            f"{place.path}: no latency table yet; run `gancompress latency-table …` first"
        )
    return LatencyTable.load(place.path, identity_of(project, runtime))


def plan(project: Project, only: str | None = None) -> str:
    """What `measure_tables` would do, in a few lines, with an estimate of the time."""
    notes: list[str] = []
    places = places_of(project, only, notes.append)
    layout, space = _layout(project), project.space
    lines = [f"{len(layout.configs)} layer configurations of {len(layout.parts)} parts"]
    for place in places:
        if place.path.exists():
            lines.append(f"{place}: measured already, {place.path}")
            continue
        timing = timing_of(project, place)
        ends = [space.smallest, space.largest]
        tried = [ms for turn in time_networks(timing, ends, "trying") for ms in turn.values()]
        runs = timing.repeats + WARMUP
        layers = len(layout.configs) / len(layout.parts)  # each a part's share of a generator
        seconds = float(np.mean(tried)) / 1e3 * runs * (layers + CALIBRATED + VERIFIED)
        if place.runtime == "onnxruntime":
            seconds += len(layout.configs) * 0.5 + (CALIBRATED + VERIFIED) * 3  # to export them
        lines.append(f"{place}: would take some {seconds / 60:.1f} minutes")
    return "\n".join([*notes, *lines])


def tables_json(tables: Sequence[LatencyTable]) -> list[dict[str, Any]]:
    """What each table is, without its times."""
    return [
        {
            "identity": table.identity,
            "device": table.device,
            "calibration": asdict(table.calibration),
            "error": None if table.error is None else asdict(table.error),
        }
        for table in tables
    ]


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    holder = lock.acquire()
    if holder is not None:
        raise RunError(
            f"{folder}: another command (process {holder}) measures; wait for its end, as both "
            "would be slower"
        )
    try:
        yield
    finally:
        lock.release()


def _set_aside(places: Sequence[RuntimeConfig], say: Say) -> None:
    for place in places:
        place.begun.unlink(missing_ok=True)
        if place.path.exists():
            say(f"{place}: earlier table kept as {set_aside(place.path, '.json')}")


def _layout(project: Project) -> SpaceLayers | SampledLayers:
    if not project.parts:
        raise RunError(
            f"{project.name}: latency-table: which slots the modules of this generator depend on "
            f"is not known ({project.cost_note}); call every child in the same way in all archs"
        )
    choices = dict(project.space.choices)
    combinations = [math.prod(len(choices[s]) for s in part.slots) for part in project.parts]
    if max(combinations) > MOST_LAYERS:
        raise RunError(
            f"{project.name}: latency-table: some layer depends on so many slots that it has "
            f"{max(combinations):,} forms; at most {MOST_LAYERS:,} are: give fewer widths, or a "
            "smaller family.slots"
        )
    found = layers_of if sum(combinations) <= MOST_LAYERS else sampled_layers_of
    return found(project.family.build, project.space, project.parts, project.input_shape)


def _measured(
    project: Project, place: RuntimeConfig, layout: SpaceLayers | SampledLayers
) -> LatencyTable:
    """The table of one runtime, measured as far as it is not yet."""
    timing, space = timing_of(project, place), project.space
    identity, device = identity_of(project, place.runtime), device_text(project, place)
    done = Measurements.begin(place.begun, identity, device)

    def is_lacking(times: Times, key: str) -> bool:
        return len(times.get(key, ())) < timing.repeats

    configs = [config for config in layout.configs if is_lacking(done.layers, config.key)]
    done.add(done.layers, time_layers(timing, configs, str(place)))
    parts = layout.times(medians(done.layers))
    raw = LatencyTable(parts, Calibration(1.0, 0.0), identity=identity, device=device)
    fitted, verified = _chosen(space, raw)
    archs = [a for a in _mixed(fitted, verified) if is_lacking(done.generators, a.key)]
    done.add(done.generators, time_networks(timing, archs, str(place)))
    whole_ms = medians(done.generators)
    fit = calibrated([raw.ms(a) for a in fitted], [whole_ms[a.key] for a in fitted])
    table = LatencyTable(parts, fit, identity=identity, device=device)
    error = accuracy([table.ms(a) for a in verified], [whole_ms[a.key] for a in verified])
    table = LatencyTable(parts, fit, identity=identity, device=device, error=error)
    table.save(place.path)
    place.begun.unlink(missing_ok=True)
    return table


def _chosen(space: SearchSpace, raw: LatencyTable) -> tuple[list[Arch], list[Arch]]:
    """Archs to calibrate on, evenly from fastest to slowest, and uniform draws to verify with."""
    random = np.random.default_rng(0)
    pool = [space.largest, space.smallest, *(space.sample(random) for _ in range(POOL))]
    fitted = spread(pool, raw.ms, min(CALIBRATED, max(2, space.size // 2)))
    known = set(fitted)
    others = (arch for arch in (space.sample(random) for _ in range(POOL)) if arch not in known)
    verified = list(dict.fromkeys(others))[:VERIFIED]
    return fitted, verified or fitted


def _mixed(fitted: Sequence[Arch], verified: Sequence[Arch]) -> list[Arch]:
    """All of them in an order that shares a drift of the machine between both kinds."""
    archs = [*fitted, *verified]
    order = np.random.default_rng(1).permutation(len(archs))
    return list(dict.fromkeys(archs[i] for i in order))
