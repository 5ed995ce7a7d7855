"""The Pareto front as a drawing that a page can answer questions about: which mark is which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from gancompress.archs.arch import Arch
from gancompress.report.plots import CHANCE, INK, MUTED, SEARCH, TEACHER, WON, drawing, mark
from gancompress.report.words import cost_text, cost_title, score_title, shown_costs, tick_text
from gancompress.search.results import Front, Measured, RowWinner, SearchTrials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (7.6, 4.6)  # inches
MOST_DOTS = 1500  # candidates drawn; of more, every second, third, …
# The axis shows this fraction of the candidates, so that the worst do not stretch it.
SHOWN_SHARE = 0.97
MARGIN = 0.04  # The fraction of an axis that stays free at both ends.
LOG_FROM = 4.0  # the largest cost by the smallest; from here on their axis is logarithmic
FEW_TICKS_FROM = 20.0  # from here on its ticks are 1, 2 and 5 alone
LABEL_WIDTH, LABEL_HEIGHT = 110, 12  # points of room for the name of a row


@dataclass(frozen=True)
class FrontPlot:
    """The drawing, and what the page and its script know of it.

    first: the number of the mark to begin with. hidden: candidates worse than what the scale
    shows; step: one of so many is drawn. data: by number, the costs, scores and slot values of
    every mark, as plain JSON.
    """

    svg: str
    first: int
    hidden: int
    step: int
    data: Mapping[str, Any]


def front_plot(front: Front, searches: Sequence[SearchTrials]) -> FrontPlot | None:
    """The front and every candidate that was measured in full; None if there is nothing to draw."""
    if not (line := _drawable(front, front.points)):
        return None
    winners = [w for w in front.winners if _drawable(front, [w.measured])]
    chosen = [winner.measured for winner in winners]
    searched, at_random = (
        _drawable(front, [p for s in searches if s.is_baseline == is_random for p in s.full])
        for is_random in (False, True)
    )
    everything = [*searched, *at_random]
    low, high = _shown(front, everything, [*line, *chosen])
    step, marks = max(1, -(-len(everything) // MOST_DOTS)), _Marks(front)

    def inside(points: Iterable[Measured]) -> list[Measured]:
        return [p for p in points if low <= p.scores[front.objective] <= high]

    def draw(axes: Axes) -> None:
        axes.set_ylim(low, high)
        _dress(axes, front, [p.costs[front.cost] for p in [*everything, *line, *chosen]])
        axes.step(*_places(front, line), where="post", color=SEARCH, lw=1.6)
        dot, cross = {"marker": "o", "mew": 0, "c": SEARCH}, {"marker": "x", "c": CHANCE}
        marks.draw(axes, inside(searched[::step]), "measured by the search", "dot", ms=4.5, **dot)
        marks.draw(axes, inside(at_random[::step]), "drawn at random", "dot", ms=4.5, **cross)
        marks.draw(axes, line, "front", "point", ms=7, **dot)
        marks.draw(axes, chosen, "chosen", "point", c=WON, marker="D", ms=8, mew=0)
        _name(axes, front, winners)
        figure = axes.get_figure()
        assert figure is not None, "drawing() made the axes on one"
        figure.legend(loc="outside lower center", ncols=5)

    svg = drawing(draw, "front", SIZE, marks.tags)
    first = marks.number(chosen[0] if chosen else line[-1])
    return FrontPlot(svg, first, len(everything) - len(inside(everything)), step, marks.data())


class _Marks:
    """Points as marks of a drawing, and their values, each arch's once, for the page's script."""

    def __init__(self, front: Front) -> None:
        self.tags: list[str] = []
        self._front = front
        self._slots = [slot for slot, _ in front.points[0].arch.slots]
        self._costs, self._scores = (
            list(shown_costs(front.points[0].costs)),
            list(front.points[0].scores),
        )
        self._at: dict[Arch, int] = {}
        self._rows: list[list[object]] = []

    def draw(
        self, axes: Axes, points: Sequence[Measured], label: str, kind: str, **style: Any
    ) -> None:
        """kind: "dot", or "point" for one that keys reach as well."""
        for i, point in enumerate(points):
            x, y = point.costs[self._front.cost], point.scores[self._front.objective]
            gid = mark(len(self.tags))
            axes.plot(x, y, gid=gid, label=None if i else label, clip_on=False, ls="none", **style)
            self.tags.append(self._tag(point, kind))

    def _tag(self, point: Measured, kind: str) -> str:
        cost = cost_text(self._front.cost, point.costs[self._front.cost])
        score = f"{point.scores[self._front.objective]:.4g}"
        title = f"{cost}, {score_title(self._front.objective)} {score}: {point.arch.compact}"
        text, reached = escape(title), ""
        if kind == "point":
            reached = f' tabindex="0" role="button" aria-label="{text}"'
        number = self.number(point)
        return f'<g class="{kind}" data-i="{number}"{reached}><title>{text}</title>'

    def number(self, point: Measured) -> int:
        if point.arch not in self._at:
            self._at[point.arch] = len(self._rows)
            costs = [cost_text(c, point.costs.get(c, math.nan)) for c in self._costs]
            scores = [f"{point.scores.get(s, math.nan):.4g}" for s in self._scores]
            values = [point.arch.values.get(slot, "") for slot in self._slots]
            self._rows.append([costs, scores, values])
        return self._at[point.arch]

    def data(self) -> dict[str, Any]:
        return {
            "slots": self._slots,
            "costs": [cost_title(cost) for cost in self._costs],
            "scores": [score_title(score) for score in self._scores],
            "points": self._rows,
        }


def _drawable(front: Front, points: Iterable[Measured]) -> list[Measured]:
    """Those whose cost and score are known."""
    return [p for p in points if front.cost in p.costs and front.objective in p.scores]


def _places(front: Front, points: Sequence[Measured]) -> tuple[list[float], list[float]]:
    return [p.costs[front.cost] for p in points], [p.scores[front.objective] for p in points]


def _teacher(front: Front) -> float | None:
    return None if front.teacher is None else front.teacher.scores.get(front.objective)


def _shown(
    front: Front, everything: Sequence[Measured], marked: Sequence[Measured]
) -> tuple[float, float]:
    """The ends of the axis of scores: all that is marked, and candidates but for the worst few."""
    ranked = sorted(_places(front, everything)[1], reverse=not front.is_lower_better)
    scores = ranked[: math.ceil(SHOWN_SHARE * len(ranked))] + _places(front, marked)[1]
    if (teacher := _teacher(front)) is not None:
        scores.append(teacher)
    low, high = min(scores), max(scores)
    room = MARGIN * (high - low) or abs(high) * MARGIN or 1.0
    return low - room, high + room


def _dress(axes: Axes, front: Front, costs: Sequence[float]) -> None:
    """Ticks, titles, and the lines of budgets and teacher."""
    from matplotlib.ticker import LogLocator  # here, because matplotlib takes half a second

    budgets = [w.limits[front.cost] for w in front.winners if front.cost in w.limits]
    low, high = min([*costs, *budgets]), max([*costs, *budgets])
    is_log = low > 0 and high / low >= LOG_FROM
    if is_log:
        subs = (1, 2, 5) if high / low >= FEW_TICKS_FROM else (1, 1.5, 2, 3, 5, 7)
        axes.set_xscale("log", subs=[])
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.margins(x=MARGIN)
    axes.xaxis.set_major_formatter(lambda cost, _: tick_text(cost))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel(cost_title(front.cost) + (", logarithmic" if is_log else ""))
    better = "lower is better" if front.is_lower_better else "higher is better"
    axes.set_ylabel(f"{score_title(front.objective)}, {better}")
    for number, budget in enumerate(budgets):
        axes.axvline(budget, color=MUTED, ls=":", lw=1, label=None if number else "budget")
    if (teacher := _teacher(front)) is not None:
        axes.axhline(teacher, color=TEACHER, ls="--", lw=1.2)
        axes.annotate("teacher", (1, teacher), (0, 3), ("axes fraction", "data"), "offset points",
                      color=TEACHER, weight="bold", ha="right")  # fmt: skip


def _name(axes: Axes, front: Front, winners: Sequence[RowWinner]) -> None:
    """Names beside the winners, one for each arch, on the side of the front that is free."""
    rows: dict[Arch, list[str]] = {}
    for winner in winners:
        rows.setdefault(winner.measured.arch, []).append(winner.row)
    named = {winner.measured.arch: winner.measured for winner in winners}
    axes.autoscale_view(scaley=False)  # places in points are asked for before all is drawn
    down = -1 if front.is_lower_better else 1
    taken: list[tuple[float, float]] = []
    for arch, point in sorted(named.items(), key=lambda item: -item[1].costs[front.cost]):
        at = (point.costs[front.cost], point.scores[front.objective])
        x, y = axes.transData.transform(at) * 72 / axes.figure.dpi
        offset = down * LABEL_HEIGHT
        while any(
            abs(x - left) < LABEL_WIDTH and abs(y + offset - height) < LABEL_HEIGHT
            for left, height in taken
        ):
            offset += down * LABEL_HEIGHT
        taken.append((x, y + offset))
        is_left = x < LABEL_WIDTH
        axes.annotate(", ".join(rows[arch]), at, (7 if is_left else -7, offset), "data",
                      "offset points", color=INK, weight="bold", va="center",
                      ha="left" if is_left else "right")  # fmt: skip
