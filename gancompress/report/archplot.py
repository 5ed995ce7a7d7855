"""One generator drawn stage by stage: a bar as long as it has channels, split into its bands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.layers.features import Bands

# The drawing's width, and the heights of a stage's line and of its bar.
WIDTH, ROW, BAR = 680, 26, 16
LABEL, NOTE = 92, 250  # left and right of the bars, for names and numbers
RESOLUTIONS = ("", "1/2 resolution", "1/4 resolution")  # The names of the bands, finest first.


@dataclass(frozen=True)
class Segment:
    """One band's part of a bar; band: 0 for the finest."""

    x: float
    width: float
    band: int
    title: str


@dataclass(frozen=True)
class StageRow:
    """One stage; `outline` is the length of the teacher's bar, 0 where it has none."""

    name: str
    y: int
    op: str
    segments: tuple[Segment, ...]
    outline: float
    note: str


@dataclass(frozen=True)
class ArchPlot:
    width: int
    height: int
    label: int
    bar: int
    rows: tuple[StageRow, ...]
    operators: tuple[str, ...]
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


def arch_plot(arch: Arch, teacher: Arch | None, units: Mapping[str, int]) -> ArchPlot:
    """`arch` over the outline of `teacher`; units: `channels_per_unit`, of no slot if unknown."""
    most = max(
        [v * units.get(s, 1) for a in (arch, teacher) if a for s, v in a.slots if type(v) is int],
        default=1,
    )
    scale = (WIDTH - LABEL - NOTE) / most
    stages = dict.fromkeys(_stage(slot) for slot, value in arch.slots if isinstance(value, int))
    stages |= dict.fromkeys(s.removesuffix(".op") for s, _ in arch.slots if s.endswith(".op"))
    rows = [
        _row(stage, 4 + ROW * number, arch, teacher, units, scale)
        for number, stage in enumerate(stages)
    ]
    return ArchPlot(
        width=WIDTH,
        height=8 + ROW * len(rows),
        label=LABEL,
        bar=BAR,
        rows=tuple(rows),
        operators=tuple(dict.fromkeys(row.op for row in rows if row.op and row.segments)),
        has_bands=any(len(row.segments) > 1 for row in rows),
        in_channels=bool(units),
    )


def _stage(slot: str) -> str:
    return slot.removesuffix(".width")


def _row(
    stage: str,
    y: int,
    arch: Arch,
    teacher: Arch | None,
    units: Mapping[str, int],
    scale: float,
) -> StageRow:
    values = arch.values
    slot = next((s for s in (f"{stage}.width", stage) if isinstance(values.get(s), int)), None)
    op = str(values.get(f"{stage}.op", ""))
    if slot is None:
        return StageRow(stage, y, op, (), 0.0, op)
    unit = units.get(slot, 1)
    channels = unit * int(values[slot])
    whole = int(teacher.values.get(slot, 0)) * unit if teacher is not None else 0
    parts = _bands(str(values.get(f"{stage}.bands", "0")), channels)
    segments, x = [], float(LABEL)
    for band, count in enumerate(parts):
        at = RESOLUTIONS[band] if len(parts) > 1 else ""
        title = f"{stage}: {count} channels" + (f" at {at}" if at else "")
        segments.append(Segment(round(x, 1), round(count * scale, 1), band, title))
        x += count * scale
    split = f" ({' + '.join(map(str, parts))})" if len(parts) > 1 else ""
    of = f" of {whole}" if whole else ""
    note = f"{channels}{of}{split}" + (f", {op}" if op else "")
    return StageRow(stage, y, op, tuple(segments), round(whole * scale, 1), note)


def _bands(text: str, channels: int) -> tuple[int, ...]:
    try:
        return Bands.parse(text).channels(channels)
    except ArchError:
        return (channels,)
