"""Curves as SVG texts for a page: colours are the page's CSS variables, equal input equal text."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW_FRACTION = 0.08  # A smoothed point is the mean of this fraction of a curve's points.
PANEL = (2.9, 2.0)  # inches
ENLARGED = 1.3  # at most, where the page has room
INKS = {  # stand-ins that matplotlib draws with, and what the page has in their place
    "#000001": "var(--ink)",
    "#000002": "var(--muted)",
    "#000003": "var(--line)",
    "#000004": "var(--search)",
    "#000005": "var(--chance)",
    "#000006": "var(--third)",
    "#000007": "var(--teacher)",
    "#000008": "var(--won)",
}
INK, MUTED, LINE, SEARCH, CHANCE, THIRD, TEACHER, WON = INKS
CYCLE = (SEARCH, CHANCE, THIRD, TEACHER)
STYLE: dict[Any, object] = {  # Any: matplotlib's stubs list the names
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from files
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # The layout's font; the page sets its own.
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 8,
}

Content = TypeVar("Content")  # The content of a panel.


@dataclass(frozen=True)
class Curve:
    """Values over steps or evaluations, under a name."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]


def training_curves(panels: Mapping[str, Sequence[Curve]], name: str) -> list[str]:
    """A panel for each loss: every curve as logged, faint, and smoothed. name: unique on a page."""

    def draw(axes: Axes, curves: Sequence[Curve]) -> None:
        for number, curve in enumerate(curves):
            ink = CYCLE[number % len(CYCLE)]
            is_short = len(curve.steps) < 3
            label = curve.name if len(curves) > 1 else None
            axes.plot(curve.steps, curve.values, color=ink, alpha=0.3, lw=0.8)
            smooth, mark = smoothed(curve.values), "o" if is_short else None
            axes.plot(curve.steps, smooth, color=ink, lw=1.6, label=label, marker=mark, ms=3)
        axes.set_xlabel("step")
        if 1 < len(curves) <= len(CYCLE):
            axes.legend()

    return _panels(panels, name, draw)


def progress_curves(panels: Mapping[str, Sequence[Curve]], name: str, score: str) -> list[str]:
    """A panel for each row: the best score so far over the number of evaluations."""

    def draw(axes: Axes, curves: Sequence[Curve]) -> None:
        for curve, ink, dash in zip(curves, (SEARCH, CHANCE), ("-", "--"), strict=False):
            axes.step(
                curve.steps, curve.values, color=ink, ls=dash, lw=1.6, where="post",
                label=curve.name,
            )  # fmt: skip
            axes.plot(curve.steps[-1], curve.values[-1], "o", color=ink, ms=3.5)
        axes.set_xlabel("candidates proposed")
        axes.set_ylabel(f"best {score} so far")
        axes.legend()

    return _panels(panels, name, draw, (PANEL[0], PANEL[1] * 1.2))


def scatter(x: Sequence[float], y: Sequence[float], titles: tuple[str, str], name: str) -> str:
    """One dot for each pair."""

    def draw(axes: Axes, pairs: tuple[Sequence[float], Sequence[float]]) -> None:
        axes.plot(*pairs, "o", color=SEARCH, alpha=0.6, ms=3.5, mew=0)
        axes.set_xlabel(titles[0])
        axes.set_ylabel(titles[1])

    return _panels({"": (x, y)}, name, draw, (3.6, 2.6))[0]


def smoothed(values: Sequence[float]) -> np.ndarray:
    """The mean of the values around each, of fewer towards the ends."""
    reach = math.ceil(WINDOW_FRACTION * len(values) / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def best_so_far(scores: Sequence[float], is_lower_better: bool) -> list[float]:
    turn = np.minimum if is_lower_better else np.maximum
    return [float(score) for score in turn.accumulate(np.asarray(scores, float))]


def _panels(
    panels: Mapping[str, Content],
    name: str,
    draw: Callable[[Axes, Content], None],
    size: tuple[float, float] = PANEL,
) -> list[str]:
    """A drawing for each, so that a narrow page can put them below each other."""

    def titled(title: str, content: Content, axes: Axes) -> None:
        axes.set_title(title)
        draw(axes, content)

    return [
        drawing(partial(titled, title, content), f"{name} {number}", size)
        for number, (title, content) in enumerate(panels.items())
    ]


def drawing(
    draw: Callable[[Axes], None], name: str, size: tuple[float, float], marks: Sequence[str] = ()
) -> str:
    """What `draw` puts on axes, as an SVG element. name: unique on a page.

    size: (width, height) in inches. marks: the tag that opens what was drawn as `gid=mark(i)`.
    """
    from matplotlib import rc_context  # here, because importing it takes half a second
    from matplotlib.figure import Figure

    with rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        draw(axes)
        page = io.StringIO()
        about = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(page, format="svg", metadata=about)
    return _inlined(page.getvalue(), marks)


def mark(number: int) -> str:
    """The `gid` of an artist that the page has a tag of its own for."""
    return f"mark-{number}"


def _inlined(svg: str, marks: Sequence[str]) -> str:
    """Matplotlib's file as an element of a page: no names that two drawings may share."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<g id="mark-(\d+)">', lambda found: marks[int(found[1])], svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    (width,) = re.findall(r'<svg[^>]*? width="([0-9.]+)pt"', svg)
    widest = f'style="max-width:{ENLARGED * float(width):.0f}pt"'
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf"\1 {widest}", svg, count=1)
    for stand_in, ink in INKS.items():
        svg = svg.replace(stand_in, ink)
    return svg
