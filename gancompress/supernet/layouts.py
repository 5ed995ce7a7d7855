"""The sizes of a network's axes as its slots move them, and the ways in which they may lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import ArchError
from gancompress.nets.layers.views import bundles_of
from gancompress.supernet.channels import Axis, Block, Channels, Layout
from gancompress.supernet.supernet import Build, named_tensors, skeleton_of

USUAL = (2, 4, 8, 16)  # groups or heads, or channels of each, where no module names them
MOST_ROWS = 64  # ways to lie that are tried with one number of groups
MOST_REPEATS = 4  # blocks of one slot on an axis that other slots share


@dataclass(frozen=True)
class AxisSize:
    """The size of one axis: so many channels per unit of each slot, and so many besides.

    members: neighbours that its module says belong together.
    """

    units: tuple[tuple[str, Fraction], ...]
    besides: Fraction
    members: int = 1


Choice = dict[AxisSize, Layout]  # axes of equal sizes lie alike


def widths_of(space: SearchSpace, arch: Arch) -> dict[str, list[int]]:
    """The widths that each width slot has in the space or in `arch`, where they are several."""
    found = {}
    for slot, values in space.choices:
        widths = {v for v in (*values, arch[slot]) if isinstance(v, int)}
        if len(widths) > 1:
            found[slot] = sorted(widths)
    return found


def axis_sizes(
    build: Build, arch: Arch, widths: Mapping[str, Sequence[int]]
) -> dict[Axis, AxisSize]:
    """The axes of the tensors of `arch` that slots move, and how.

    Discovered: skeletons that differ in one slot are built, with widths of `widths`, which must
    hold another than the arch's for every slot to discover.
    """
    net = skeleton_of(build, arch)
    bundles, units = bundles_of(net), dict[Axis, dict[str, Fraction]]()
    shapes = {name: tensor.shape for name, tensor in named_tensors(net)}
    for slot, allowed in widths.items():
        width = arch.width(slot)
        other, narrow = _at_another_width(build, arch, slot, allowed)
        for name, shape in shapes.items():
            for axis in range(min(2, len(shape))):
                there = narrow[name].shape[axis] if name in narrow else shape[axis]
                if there != shape[axis]:
                    growth = Fraction(shape[axis] - there, width - other)
                    units.setdefault((name, axis), {})[slot] = growth
    found = {}
    for (name, axis), of in units.items():
        grown = sum((n * arch.width(slot) for slot, n in of.items()), Fraction(0))
        members = bundles.get(name, 1) if axis == 0 else 1
        key = tuple(sorted(of.items()))
        found[name, axis] = AxisSize(key, shapes[name][axis] - grown, members)
    return found


def _at_another_width(
    build: Build, arch: Arch, slot: str, allowed: Sequence[int]
) -> tuple[int, dict[str, Tensor]]:
    """Another width of one slot, the nearest that `arch` admits, and the tensors that it has then.

    Bands want a number of channels that the space's other widths may not give: then twice as many.
    """
    width = arch.width(slot)
    nearest = sorted((w for w in allowed if w != width), key=lambda w: (abs(w - width), w))
    for other in nearest:
        with suppress(ArchError):
            return other, dict(named_tensors(skeleton_of(build, arch.replace({slot: other}))))
    other = 2 * width
    return other, dict(named_tensors(skeleton_of(build, arch.replace({slot: other}))))


def declared(build: Build, archs: Sequence[Arch], widths: Mapping[str, Sequence[int]]) -> Channels:
    """The axes of `archs` as one block each, but for what their modules say of bundles; unproven.

    widths: see `axis_sizes`.
    """
    found: dict[Axis, AxisSize] = {}
    for arch in archs:
        found |= axis_sizes(build, arch, widths)
    return Channels({axis: whole_layout(size, size.units[0][0]) for axis, size in found.items()})


def whole_layout(size: AxisSize, slot: str) -> Layout:
    """The axis as one block, of one slot though several may move it."""
    return (Block(slot, dict(size.units)[slot], size.members),)


def choices_of(
    mine: Sequence[AxisSize],
    slot: str,
    sizes: Iterable[AxisSize],
    named: tuple[Iterable[int], Iterable[int]],
) -> Iterator[Choice]:
    """The ways in which the axes of a slot may lie, those first that are usual.

    mine: the sizes of its axes, of all `sizes`. named: numbers of groups or heads, and channels of
    each, that the network's modules name.
    """
    least = {s: _least(sizes, s) for size in mine for s, _ in size.units}
    counts, members = named
    tried = [(n, 1) for n in counts] + [(1, n) for n in members]
    tried += [(n, 1) for n in USUAL] + [(1, n) for n in USUAL]
    for parts, bundle in dict.fromkeys([(1, 1), *tried]):
        options = [list(_options(size, slot, least, parts, bundle)) for size in mine]
        for row in itertools.islice(itertools.product(*options), MOST_ROWS):
            yield dict(zip(mine, row, strict=True))


def _least(sizes: Iterable[AxisSize], slot: str) -> Fraction:
    """The channels per unit of the slot's smallest axis, of its own where it has one."""
    of = [(len(s.units) + bool(s.besides), dict(s.units)[slot] / s.members) for s in sizes
          if slot in dict(s.units)]  # fmt: skip
    alone = [n for others, n in of if others == 1]
    return min(alone or [n for _, n in of])


def _options(
    size: AxisSize, slot: str, least: Mapping[str, Fraction], parts: int, bundle: int
) -> Iterator[Layout]:
    """The layouts of one axis: of its own order, as blocks of a smaller one, as its bundles."""
    units = dict(size.units)
    if len(units) == 1 and not size.besides:
        times = units[slot] / size.members / least[slot]
        repeats = int(times) if times.denominator == 1 else 1
        for blocks, members in dict.fromkeys([(1, 1), (repeats, 1), (1, repeats)]):
            count = parts * blocks
            yield (Block(slot, units[slot] / count, size.members * bundle * members),) * count
        return
    if len(units) == 1:  # it may be rounded, and so grow unevenly
        yield whole_layout(size, slot)
    choices = []
    for one, n in size.units:
        times = n / least[one]
        most = int(times) if times.denominator == 1 and 1 < times <= MOST_REPEATS else 1
        choices.append([[Block(one, n / k, bundle if one == slot else 1)] * k for k in {most, 1}])
    besides = [Block("", size.besides)] if size.besides > 0 else []
    for row in itertools.product(*choices):
        yield from dict.fromkeys(itertools.permutations([*itertools.chain(*row), *besides]))
