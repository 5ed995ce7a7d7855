"""One generator drawn stage by stage: a bar as long as it has channels, split into its bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.layers.features import Bands
from gancompress.report.plots import MUTED, SEARCH, TEACHER, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, ROW = 6.8, 0.27  # inches; of the drawing, and the height of a stage's line
BAR = 0.6  # A bar takes this fraction of its line.
SHADES = (1.0, 0.6, 0.35)  # The opacity of the bands, finest first.


@dataclass(frozen=True)
class StageRow:
    """One stage: its channels by band, the teacher's in all (0 where it has none), and a note."""

    name: str
    op: str
    parts: tuple[int, ...]
    whole: int
    note: str


@dataclass(frozen=True)
class ArchPlot:
    """The drawing, and what its caption has to explain."""

    svg: str
    has_separable: bool
    has_bands: bool
    in_channels: bool  # whether bars count channels; otherwise the family's base widths


def channels_per_unit(build: Callable[[Arch], nn.Module], arch: Arch) -> dict[str, int]:
    """By width slot, the channels of one unit of it, found by doubling the slot in `arch`.

    Where some layers have more channels of a slot than others (as the norms of SPADE), those count
    that hold most weights. Raises: ArchError if a network cannot be built.
    """
    before, found = _shapes(build, arch), {}
    for slot, value in arch.slots:
        if isinstance(value, int):
            after = _shapes(build, arch.replace({slot: 2 * value}))
            weights: Counter[int] = Counter()
            for name, shape in before.items():
                for size, grown in zip(shape, after.get(name, shape), strict=True):
                    weights[(grown - size) // value] += shape.numel()
            del weights[0]  # the axes of other slots
            if weights:
                found[slot] = weights.most_common(1)[0][0]
    return found


def _shapes(build: Callable[[Arch], nn.Module], arch: Arch) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build(arch).named_parameters()}


def arch_plot(arch: Arch, teacher: Arch | None, units: Mapping[str, int], name: str) -> ArchPlot:
    """`arch` over the outline of `teacher`.

    units: `channels_per_unit`, of no slot if unknown. name: unique on a page.
    """
    rows = stage_rows(arch, teacher, units)
    return ArchPlot(
        svg=drawing(partial(_draw, rows), f"arch {name}", (WIDTH, ROW * len(rows) + 0.1)),
        has_separable=any(row.op == "separable" and row.parts for row in rows),
        has_bands=any(len(row.parts) > 1 for row in rows),
        in_channels=bool(units),
    )


def stage_rows(arch: Arch, teacher: Arch | None, units: Mapping[str, int]) -> list[StageRow]:
    """The stages of `arch` in order, those that have no width of their own last."""
    stages = dict.fromkeys(_stage(slot) for slot, value in arch.slots if isinstance(value, int))
    stages |= dict.fromkeys(s.removesuffix(".op") for s, _ in arch.slots if s.endswith(".op"))
    return [_row(stage, arch, teacher, units) for stage in stages]


def _draw(rows: Sequence[StageRow], axes: Axes) -> None:
    for y, row in enumerate(rows):
        is_separable, end = row.op == "separable", 0
        if row.whole:
            axes.barh(y, row.whole, BAR, fill=False, ec=TEACHER, ls="--", lw=0.8)
        for count, alpha in zip(row.parts, SHADES, strict=False):
            axes.barh(y, count, BAR, left=end, alpha=alpha, lw=0.6, ec=SEARCH,
                      fc="none" if is_separable else SEARCH,
                      hatch="/////" if is_separable else None)  # fmt: skip
            end += count
        axes.annotate(row.note, (max(end, row.whole), y), (6, 0), "data", "offset points",
                      va="center_baseline", color=MUTED)  # fmt: skip
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.tick_params(length=0)
    axes.xaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _stage(slot: str) -> str:
    return slot.removesuffix(".width")


def _row(stage: str, arch: Arch, teacher: Arch | None, units: Mapping[str, int]) -> StageRow:
    values = arch.values
    slot = next((s for s in (f"{stage}.width", stage) if isinstance(values.get(s), int)), None)
    op = str(values.get(f"{stage}.op", ""))
    if slot is None:
        return StageRow(stage, op, (), 0, op)
    unit = units.get(slot, 1)
    channels = unit * int(values[slot])
    whole = int(teacher.values.get(slot, 0)) * unit if teacher is not None else 0
    parts = _bands(str(values.get(f"{stage}.bands", "0")), channels)
    split = f" ({' + '.join(map(str, parts))})" if len(parts) > 1 else ""
    of = f" of {whole}" if whole else ""
    note = f"{channels}{of}{split}" + (f", {op}" if op else "")
    return StageRow(stage, op, parts, whole, note)


def _bands(text: str, channels: int) -> tuple[int, ...]:
    try:
        return Bands.parse(text).channels(channels)
    except ArchError:
        return (channels,)
