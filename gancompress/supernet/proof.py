"""Proof, by trying, of which channels of a network may change places and which a narrow one has.

A slot's channels are put in a random order in all tensors that it moves: where that leaves the
network's answer as it was, they may be sorted, and the leading ones are a narrower network. Where
it does not, other ways are tried in which the axes may lie, see `gancompress.supernet.channels`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import ArchError
from gancompress.supernet.channels import Channels, Layout
from gancompress.supernet.cost import network_cost
from gancompress.supernet.layouts import AxisSize, Choice, choices_of, whole_layout, widths_of
from gancompress.supernet.supernet import Build, named_tensors, skeleton_of
from gancompress.supernet.trials import Trial

MOST_TRIALS = 400  # ways in which the axes of one slot may lie that are tried
MOST_MACS = 300_000_000  # The most MACs of a network that is tried: some 0.1 s in float64.


def prove(
    build: Build, space: SearchSpace, arch: Arch, shape: Sequence[int], *, is_strict: bool = True
) -> Channels:
    """How the axes lie of `arch`, a teacher's, and of the subnets of `space`; proven on one input.

    shape: (C, H, W) of inputs. is_strict: refuses a slot of which nothing is proven; otherwise its
    channels keep their order.
    Raises: ArchError, naming the slot; or if the network is random or does not run.
    """
    widths = widths_of(space, arch)
    trials = [Trial(build, one, widths, shape) for one in _to_try(build, space, arch, shape)]
    for trial in trials:
        trial.must_tell()
    sizes = dict.fromkeys(size for trial in trials for size in trial.sizes.values())
    whole = {size: whole_layout(size, size.units[0][0]) for size in sizes}
    is_plain = all(len(size.units) == 1 and not size.besides for size in sizes)
    if is_plain and all(trial.holds(whole, list(widths)) for trial in trials):
        return _channels(trials, whole, {})
    trials += [Trial(build, one, widths, shape) for one in _levels(arch, widths)]
    found = {slot: _proven(trials, slot, sizes) for slot in widths}
    unsorted = {
        slot: "no order of its channels but their own gives the same answer"
        for slot, choices in found.items()
        if not choices
    }
    agreed = _agreed(whole, found, unsorted)
    alike = [slot for slot in widths if slot not in unsorted]
    if not all(trial.holds(agreed, alike) for trial in trials):
        unsorted |= dict.fromkeys(alike, "its channels are not free beside those of other slots")
    for slot in unsorted:
        if is_strict and not all(trial.is_narrowed(slot, agreed) for trial in trials):
            raise ArchError(
                f"space.widths: {slot} is refused: its channels are not alike, as neither another "
                "order nor the leading ones alone give what the network gave; give "
                f"{{{slot}: [{arch[slot]}]}}, the teacher's width, or supernet.init=random"
            )
    return _channels(trials, agreed, unsorted)


def _proven(trials: Sequence[Trial], slot: str, sizes: Mapping[AxisSize, None]) -> list[Choice]:
    """The ways in which the axes of a slot lie so that its channels may change places."""
    mine = [size for size in sizes if slot in dict(size.units)]
    named = trials[0].divisions()
    found = []
    for choice in itertools.islice(choices_of(mine, slot, sizes, named), MOST_TRIALS):
        first, *others = trials
        is_free = first.holds(choice, [slot]) and first.moves(choice, slot)
        if is_free and all(trial.holds(choice, [slot]) for trial in others):
            found.append(choice)
            if all(len(size.units) == 1 for size in mine):  # nothing to agree on with others
                break
    return found


def _levels(arch: Arch, widths: Mapping[str, Sequence[int]]) -> list[Arch]:
    """`arch` with every width of the space in turn, all slots at once."""
    most = max((len(allowed) for allowed in widths.values()), default=0)
    rows = ({s: w[min(i, len(w) - 1)] for s, w in widths.items()} for i in range(most))
    return [one for row in rows if (one := arch.replace(dict(row))) != arch]


def _to_try(build: Build, space: SearchSpace, arch: Arch, shape: Sequence[int]) -> list[Arch]:
    """`arch` and wide archs that have every tensor, undivided; made narrow where they cost much."""
    cheap = space.preferred({slot: values[::-1] for slot, values in space.categories.items()})
    names: set[str] = set()
    found = []
    wide = [arch, space.largest, space.level(0, cheap), *space.corners()]
    for one in dict.fromkeys(wide):
        net = skeleton_of(build, one)
        mine = {name for name, _ in named_tensors(net)}
        is_undivided = all(one[s] == "0" for s, _ in one.slots if s.endswith(".bands"))
        if is_undivided and not mine <= names:
            cost = network_cost(net, torch.empty(1, *shape, device="meta"))
            found.append(one if cost.macs_true <= MOST_MACS else _narrowed(space, one))
            names |= mine
    return list(dict.fromkeys([*found, _narrowed(space, arch)]))


def _narrowed(space: SearchSpace, arch: Arch) -> Arch:
    """`arch` with the narrowest widths of the space: the axes lie as in a wide one."""
    widths = {s: min(w for w in v if isinstance(w, int)) for s, v in space.choices
              if isinstance(arch[s], int)}  # fmt: skip
    return arch.replace(widths)


def _channels(trials: Sequence[Trial], choice: Choice, unsorted: Mapping[str, str]) -> Channels:
    layouts = {axis: choice[size] for trial in trials for axis, size in trial.sizes.items()}
    return Channels(layouts, unsorted)


def _agreed(
    whole: Choice, found: Mapping[str, Sequence[Choice]], unsorted: dict[str, str]
) -> Choice:
    """One layout of every axis that all its slots have proven, each with its own bundles."""
    agreed: Choice = {}
    for slot, choices in found.items():
        if not choices:
            continue
        fitting = [
            choice
            for choice in choices
            if all(_row(agreed[s]) == _row(lay) for s, lay in choice.items() if s in agreed)
        ]
        if not fitting:
            unsorted[slot] = "its channels lie on axes of other slots in no order that fits both"
            continue
        for size, layout in fitting[0].items():
            known = agreed.get(size, layout)
            agreed[size] = tuple(
                new if new.slot == slot else old for old, new in zip(known, layout, strict=True)
            )
    return whole | agreed


def _row(layout: Layout) -> list[tuple[str, Fraction]]:
    return [(block.slot, block.units) for block in layout]
