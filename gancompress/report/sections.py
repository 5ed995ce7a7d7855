"""The page's sections, from what the stages left: tables as plain cells, drawings as SVG."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancompress.archs.arch import Arch
from gancompress.distill.results import Finetuning, Halving
from gancompress.export.filetable import file_table
from gancompress.export.report import Row, class_table, ratio, table
from gancompress.export.results import ExportCard
from gancompress.latency.table import LatencyTable
from gancompress.report.archplot import ArchPlot, arch_plot
from gancompress.report.plots import Curve, best_so_far, progress_curves, scatter, training_curves
from gancompress.report.words import arch_text, cost_text, cost_title, score_title, shown_costs
from gancompress.search.results import Front, LowFidelityTrial, Measured, RowWinner, SearchTrials
from gancompress.storage.metricslog import MetricsLog
from gancompress.training.symptoms import symptom_of


@dataclass(frozen=True)
class Table:
    """Cells as texts; the first column names the line, the last is long where `is_wordy`."""

    titles: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    is_wordy: bool = False


@dataclass(frozen=True)
class Chosen:
    """A winner of the search for the page: its drawing, and its values as (what, value)."""

    row: str
    plot: ArchPlot
    facts: tuple[tuple[str, str], ...]


def final_tables(card: ExportCard) -> list[Table]:
    """What export prints, cell by cell: the same numbers in the same words."""
    rows, files = card.rows, card.files
    texts = [
        table(rows, card.remarks),
        class_table(rows),
        file_table(files, card.teacher_latency, rows[0].name) if files else "",
    ]
    return [_cells(text) for text in texts if text]


def _cells(markdown: str) -> Table:
    lines = [line for line in markdown.splitlines() if line]
    cells = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in lines
        if line.startswith("|")
    ]
    notes = tuple(line for line in lines if not line.startswith("|"))
    return Table(cells[0], tuple(cells[2:]), notes)  # after the titles comes the rule


def tiles(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The few values to remember: (figure, what it is) of what was exported beside its teacher."""
    if len(rows) < 2:
        return []
    teacher, chosen = rows[:2]
    found = [
        (ratio(teacher.macs_true, chosen.macs_true), "fewer MACs"),
        (ratio(teacher.params, chosen.params), "fewer parameters"),
    ]
    for runtime, latency in chosen.latencies.items():
        if runtime in teacher.latencies:
            faster = ratio(teacher.latencies[runtime].median_ms, latency.median_ms)
            found.append((faster, f"faster in {runtime}"))
    of_teacher = {figure.label: figure for figure in teacher.figures}
    for figure in chosen.figures[:2]:
        before = of_teacher.get(figure.label)
        beside = f", {teacher.name} {before.value:.4g}" if before else ""
        found.append((f"{figure.value:.4g}", f"{figure.label}{beside} (n={figure.images})"))
    return found


def curves_of(logs: Mapping[str, Path], name: str) -> list[str]:
    """Drawings of the losses in these logs, a curve for each log; none where nothing was logged."""
    panels: dict[str, list[Curve]] = {}
    for label, path in logs.items():
        found: dict[str, list[tuple[float, float]]] = {}
        for row in MetricsLog(path).rows():
            for key, value in row.items():
                is_number = isinstance(value, int | float) and math.isfinite(value)
                if key != "step" and is_number:
                    found.setdefault(key, []).append((row["step"], value))
        for key, pairs in found.items():
            steps, values = zip(*pairs, strict=True)
            panels.setdefault(key, []).append(Curve(label, steps, values))
    return training_curves(panels, name)


def findings_table(logs: Mapping[str, Path]) -> Table | None:
    """What the trainings' guards found, by the training's name; None if nothing."""
    lines: list[tuple[str, ...]] = []
    for label, path in logs.items():
        rows = MetricsLog(path).rows()
        for number, row in enumerate(rows):
            key = (row.get("where"), row.get("what"))
            later = (r for r in rows[number + 1 :] if (r.get("where"), r.get("what")) == key)
            until = next((str(r.get("since")) for r in later if r.get("is_over")), "-")
            if not row.get("is_over"):
                known = symptom_of(str(key[0]), str(key[1]))
                cells = (" ".join(map(str, key)), row.get("since"), until, row.get("found"))
                lines.append(
                    (label, *map(str, cells), known.advice(label.split(" ")[0]) if known else "-")
                )
    titles = ("", "found", "since step", "over at", "what was seen", "what to try")
    return Table(titles, tuple(lines), is_wordy=True) if lines else None


def front_table(front: Front) -> Table:
    """Every point of the front with all its values, cheap first."""
    if not front.points:
        return Table((), ())
    costs, scores = list(shown_costs(front.points[0].costs)), list(front.points[0].scores)
    titles = ("", *map(cost_title, costs), *map(score_title, scores), "arch")
    lines = tuple(
        (str(number), *_figures(point, costs, scores), arch_text(point.arch))
        for number, point in enumerate(front.points, 1)
    )
    notes = (f"scores of split search, {front.images} images, features {front.features}",)
    return Table(titles, lines, notes, is_wordy=True)


def _figures(point: Measured, costs: Sequence[str], scores: Sequence[str]) -> list[str]:
    texts = [cost_text(cost, point.costs.get(cost, math.nan)) for cost in costs]
    found = (point.scores.get(score) for score in scores)
    return texts + ["-" if score is None else f"{score:.4g}" for score in found]


def chosen(front: Front, teacher: Arch | None, units: Mapping[str, int]) -> list[Chosen]:
    """The rows' winners, the one to export first."""
    return [
        Chosen(w.row, arch_plot(w.arch, teacher, units, w.row), tuple(_facts(front, w)))
        for w in front.winners
    ]


def _facts(front: Front, winner: RowWinner) -> list[tuple[str, str]]:
    title = score_title(front.objective)

    def score(point: Measured | None) -> str:
        found = None if point is None else point.scores.get(front.objective)
        return "-" if found is None else f"{found:.4g}"

    costs = [
        (cost_title(c), cost_text(c, v) + _limit(winner.limits, c))
        for c, v in shown_costs(winner.costs).items()
    ]
    found = [*costs, (title, f"{score(winner.measured)} (split search, n={front.images})")]
    if winner.by_search is not None:
        found.append(("best of the search", f"{title} {score(winner.by_search)}"))
    if winner.by_chance is not None:
        found.append(("best at random", f"{title} {score(winner.by_chance)}{winner.lead_text}"))
    return [*found, ("arch", arch_text(winner.arch))]


def _limit(limits: Mapping[str, float], cost: str) -> str:
    return f", at most {cost_text(cost, limits[cost])}" if cost in limits else ""


def progress(front: Front, searches: Sequence[SearchTrials]) -> list[str]:
    """A drawing of `best_by_row` for each row that has one."""
    panels = {row: curves for row, curves in best_by_row(front, searches).items() if curves}
    return progress_curves(panels, "progress", score_title(front.objective))


def best_by_row(front: Front, searches: Sequence[SearchTrials]) -> dict[str, list[Curve]]:
    """By row of the table, the best score so far inside its limits: the search's, the baseline's.

    A search for all rows is that of every row that has none of its own.
    """
    found: dict[str, list[Curve]] = {}
    for winner in front.winners:
        row = winner.row
        proposed = [one for one in searches if not one.is_baseline]
        own = [one for one in proposed if one.name == row] or proposed
        random = [one for one in searches if one.is_baseline and one.name.startswith(f"{row},")]
        curves = (
            _best(front, winner, own, front.algorithm),
            _best(front, winner, random, "random"),
        )
        found[row] = [curve for curve in curves if curve is not None]
    return found


def _best(
    front: Front, winner: RowWinner, searches: Sequence[SearchTrials], name: str
) -> Curve | None:
    """Candidates in the order in which they were proposed; those outside the row's limits, or that
    fell out after an evaluation on few images, count as evaluations, but not as the best."""
    worst = math.inf if front.is_lower_better else -math.inf
    scores = [
        full.get(front.objective, worst)
        if all(point.costs.get(c, 0) <= most for c, most in winner.limits.items())
        else worst
        for plan in searches
        for point, full in _proposed(plan)
    ]
    best = best_so_far(scores, front.is_lower_better)
    known = [(n, score) for n, score in enumerate(best, 1) if math.isfinite(score)]
    return Curve(name, *zip(*known, strict=True)) if known else None


def _proposed(plan: SearchTrials) -> list[tuple[Measured | LowFidelityTrial, Mapping[str, float]]]:
    """Every candidate in order, and its scores in full, none if it was only looked at."""
    if not plan.first_look:
        return [(point, point.scores) for point in plan.full]
    full = {point.arch: point.scores for point in plan.full}
    return [(point, full.get(point.arch, {})) for point in plan.first_look]


def first_look_scatter(front: Front, searches: Sequence[SearchTrials]) -> str | None:
    """Each arch's score on few images against that on all; None where one of them is unknown."""
    looks = {p.arch: p.scores for plan in searches for p in plan.first_look or ()}
    full = {p.arch: p.scores for plan in searches for p in plan.full}
    both = [arch for arch in looks if arch in full and front.objective in full[arch]]
    if len(both) < 3:
        return None
    name = next(iter(looks[both[0]]), "")
    pairs = [(looks[a][name], full[a][front.objective]) for a in both if name in looks[a]]
    if len(pairs) < 3:
        return None
    titles = (f"{name}, {front.first_images} images", f"{score_title(front.objective)}, in full")
    few, all_ = zip(*pairs, strict=True)
    return scatter(few, all_, titles, "first-look")


def finetuning_table(found: Finetuning) -> Table:
    names = list(dict.fromkeys(name for one in found.generators for name in one.before))
    titles = ["generator"]
    for name in names:
        titles += [f"{score_title(name)} before", "after"]
    learnt = list(dict.fromkeys(name for one in found.generators for name in one.learnt))
    titles += [f"{score_title(name)} on images that it learnt from" for name in learnt]
    lines = []
    for one in found.generators:
        scores = [(s, name) for name in names for s in (one.before, one.after)]
        scores += [(one.learnt, name) for name in learnt]
        cells = (f"{s[name]:.4g}" if name in s else "-" for s, name in scores)
        lines.append((one.name, *cells))
    note = f"{found.steps} steps each, evaluated on split search (n={found.images})"
    if (tau := found.rank_agreement.kendall_tau) is not None:
        note += f"; the orders agree with Kendall's tau {tau:.2f} (n={len(found.generators)})"
    return Table(tuple(titles), tuple(lines), (note,))


def preview_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The values of a training's previews by step."""
    found = [(row["step"], {k: v for k, v in row.items() if k != "step"}) for row in rows]
    names = [(net, value) for net, values in found[-1][1].items() for value in values]
    lines = []
    for step, values in found:
        cells = (values.get(net, {}).get(value) for net, value in names)
        lines.append((str(step), *("-" if cell is None else f"{cell:.3g}" for cell in cells)))
    note = "Saturation and sharpness are fractions of those of the images that are learnt."
    return Table(("step", *(f"{net}, {value}" for net, value in names)), tuple(lines), (note,))


def halving_table(found: Halving) -> Table:
    """How the finalists of a row ranked, in the supernet and after each rung."""
    title = score_title(found.metric)
    titles = [found.row]
    for rung in found.rungs:
        after = f" after {rung.steps} steps" if rung.steps else " in the supernet"
        titles.append(title + after)
    scores = [{one.arch: one.score for one in rung.ranked} for rung in found.rungs]
    lines = [
        (arch_text(one.arch), *(f"{of[one.arch]:.4g}" if one.arch in of else "-" for of in scores))
        for one in found.rungs[0].ranked
    ]
    return Table(tuple(titles), tuple(lines), ("The better half goes on after each rung.",))


def latency_tables(folder: Path) -> list[tuple[str, str, str]]:
    """(runtime, device, accuracy) of the finished tables. Raises: CheckpointError."""
    finished = re.compile(r"[a-z]+-[a-z]+\.json")  # not one that is being made, or was set aside
    paths = sorted(p for p in folder.glob("*.json") if finished.fullmatch(p.name))
    found = [LatencyTable.load(path) for path in paths]
    return [(t.runtime, t.device, str(t.error or "accuracy not measured")) for t in found]


def size_text(raw: Mapping[str, Any]) -> str:
    """A recipe's image size, `64 x 64`, as far as it tells."""
    size = raw.get("size")
    sides = size if isinstance(size, list) else [size, size]
    return " x ".join(map(str, sides)) + " px" if size else ""
