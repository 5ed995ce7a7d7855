"""The Pareto front as a drawing that a page can answer questions about: where each point lies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gancompress.archs.arch import Arch
from gancompress.report.axes import Axis, stairs
from gancompress.report.words import cost_text, cost_title, score_title, shown_costs, tick_text
from gancompress.search.results import Front, Measured, SearchTrials

WIDTH, HEIGHT = 760, 430
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 52
MOST_DOTS = 1500  # candidates drawn; of more, every second, third, …
# The axis shows this fraction of the candidates, so that the worst do not stretch it.
SHOWN_SHARE = 0.97
LABEL_HEIGHT, LABEL_WIDTH = 16, 170


@dataclass(frozen=True)
class Dot:
    """A measured generator at (x, y); number: of its values in `FrontPlot.data`."""

    x: float
    y: float
    number: int
    title: str


@dataclass(frozen=True)
class Label:
    """A winner's name beside its place; anchor: of the SVG text."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Tick:
    place: float
    text: str


@dataclass(frozen=True)
class Frame:
    """The drawing's size, the places of its axes' ends, and what stands at the axes."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class FrontPlot:
    """All that the template draws, at places in its frame.

    budgets: places of the rows' limits; teacher_y: of the teacher's score, None if not known.
    hidden: candidates worse than what the scale shows; step: one of so many is drawn.
    data: by number, the costs, scores and slot values of every dot, as plain JSON.
    """

    frame: Frame
    searched: tuple[Dot, ...]
    random: tuple[Dot, ...]
    front: tuple[Dot, ...]
    path: str
    winners: tuple[Dot, ...]
    labels: tuple[Label, ...]
    budgets: tuple[Tick, ...]
    teacher_y: float | None
    hidden: int
    step: int
    data: Mapping[str, Any]


class _Numbered:
    """Values of archs, each once, for the page's script."""

    def __init__(self, front: Front) -> None:
        self.slots = [slot for slot, _ in front.points[0].arch.slots]
        first = front.points[0]
        self.costs, self.scores = list(shown_costs(first.costs)), list(first.scores)
        self._at: dict[Arch, int] = {}
        self._rows: list[list[object]] = []

    def number(self, point: Measured) -> int:
        if point.arch not in self._at:
            self._at[point.arch] = len(self._rows)
            costs = [cost_text(c, point.costs.get(c, math.nan)) for c in self.costs]
            scores = [f"{point.scores.get(s, math.nan):.4g}" for s in self.scores]
            values = [point.arch.values.get(slot, "") for slot in self.slots]
            self._rows.append([costs, scores, values])
        return self._at[point.arch]

    def data(self) -> dict[str, Any]:
        return {
            "slots": self.slots,
            "costs": [cost_title(cost) for cost in self.costs],
            "scores": [score_title(score) for score in self.scores],
            "points": self._rows,
        }


def front_plot(front: Front, searches: Sequence[SearchTrials]) -> FrontPlot | None:
    """The front and every candidate that was measured in full; None if there is nothing to draw."""
    if not (line := _drawable(front, front.points)):
        return None
    everything = _drawable(front, [point for plan in searches for point in plan.full])
    winners = _drawable(front, [winner.measured for winner in front.winners])
    across, up = _axes(front, everything, [*line, *winners])
    numbered, step = _Numbered(front), max(1, -(-len(everything) // MOST_DOTS))

    def dots(wanted: Iterable[Measured]) -> tuple[Dot, ...]:
        return tuple(
            Dot(
                across.place(point.costs[front.cost]),
                up.place(point.scores[front.objective]),
                numbered.number(point),
                _title(point, front),
            )
            for point in wanted
            if up.low <= point.scores[front.objective] <= up.high
        )

    def candidates(is_random: bool) -> tuple[Dot, ...]:
        of = [p for plan in searches if plan.is_baseline == is_random for p in plan.full]
        return dots(_drawable(front, of)[::step])

    best, chosen, score = dots(line), dots(winners), _teacher(front)
    return FrontPlot(
        frame=_frame(front, across, up),
        searched=candidates(False),
        random=candidates(True),
        front=best,
        path=stairs([(dot.x, dot.y) for dot in best]),
        winners=chosen,
        labels=_labels(front, chosen),
        budgets=tuple(Tick(across.place(most), row) for most, row in _budgets(front).items()),
        teacher_y=None if score is None else up.place(score),
        hidden=sum(not up.low <= p.scores[front.objective] <= up.high for p in everything),
        step=step,
        data=numbered.data(),
    )


def _axes(
    front: Front, everything: Sequence[Measured], marked: Sequence[Measured]
) -> tuple[Axis, Axis]:
    """Costs across and scores up, so that all that is marked is inside."""
    costs = [p.costs[front.cost] for p in [*everything, *marked]] + list(_budgets(front))
    scores = _shown([p.scores[front.objective] for p in everything], front.is_lower_better)
    scores += [p.scores[front.objective] for p in marked]
    if (teacher := _teacher(front)) is not None:
        scores.append(teacher)
    across = Axis.over(costs, LEFT, WIDTH - RIGHT, log=True)
    return across, Axis.over(scores, HEIGHT - BOTTOM, TOP)


def _frame(front: Front, across: Axis, up: Axis) -> Frame:
    better = "lower is better" if front.is_lower_better else "higher is better"
    return Frame(
        WIDTH,
        HEIGHT,
        LEFT,
        WIDTH - RIGHT,
        TOP,
        HEIGHT - BOTTOM,
        cost_title(front.cost) + (", logarithmic" if across.is_log else ""),
        f"{score_title(front.objective)}, {better}",
        tuple(Tick(across.place(t), tick_text(t)) for t in across.ticks()),
        tuple(Tick(up.place(t), f"{t:.6g}") for t in up.ticks()),
    )


def _budgets(front: Front) -> dict[float, str]:
    """Most of the front's cost -> the row whose limit it is."""
    return {w.limits[front.cost]: w.row for w in front.winners if front.cost in w.limits}


def _teacher(front: Front) -> float | None:
    return None if front.teacher is None else front.teacher.scores.get(front.objective)


def _drawable(front: Front, points: Iterable[Measured]) -> list[Measured]:
    """Those whose cost and score are known."""
    return [p for p in points if front.cost in p.costs and front.objective in p.scores]


def _shown(scores: Sequence[float], is_lower_better: bool) -> list[float]:
    """Without the worst few."""
    ranked = sorted(scores, reverse=not is_lower_better)
    return ranked[: math.ceil(SHOWN_SHARE * len(ranked))]


def _title(point: Measured, front: Front) -> str:
    cost = cost_text(front.cost, point.costs[front.cost])
    score = f"{score_title(front.objective)} {point.scores[front.objective]:.4g}"
    return f"{cost}, {score}: {point.arch.compact}"


def _labels(front: Front, winners: Sequence[Dot]) -> tuple[Label, ...]:
    """Names beside the winners, on the side of the front where nothing can be; one for each dot."""
    names: dict[Dot, list[str]] = {}
    drawn = [w for w in front.winners if _drawable(front, [w.measured])]
    for dot, winner in zip(winners, drawn, strict=True):
        names.setdefault(dot, []).append(winner.row)
    placed: list[Label] = []
    down = 1 if front.is_lower_better else -1
    for dot, rows in sorted(names.items(), key=lambda item: -item[0].x):
        is_left = dot.x < LEFT + LABEL_WIDTH
        x = dot.x + (10 if is_left else -10)
        y = dot.y + down * LABEL_HEIGHT + (0 if down > 0 else 8)
        while any(abs(x - o.x) < LABEL_WIDTH and abs(y - o.y) < LABEL_HEIGHT for o in placed):
            y += down * LABEL_HEIGHT
        y = min(max(y, TOP + 10), HEIGHT - BOTTOM - 4)
        placed.append(Label(x, y, ", ".join(rows), "start" if is_left else "end"))
    return tuple(placed)
