"""What choices become in a family: an arch, a search space, or an error that says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from gancompress.archs.arch import Arch, Rule, SearchSpace, Value
from gancompress.errors import ArchError
from gancompress.nets.layers.blocks import OPERATORS
from gancompress.nets.layers.features import ONE, Bands

T = TypeVar("T")
Widths = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]
# For the stages of the trunk, or by stage; a key that several stages begin with ("body") is theirs.
Choices = Sequence[T] | Mapping[str, Sequence[T]]

BAND_CHANNELS = 8  # fewer in a band cost more in calls than they save in arithmetic


class Staged(Protocol):
    """What of a family decides on its archs; `family.Family` says what each of these is."""

    @property
    def name(self) -> str: ...
    @property
    def stages(self) -> tuple[str, ...]: ...
    @property
    def body(self) -> tuple[str, ...]: ...
    @property
    def banded(self) -> tuple[str, ...]: ...
    @property
    def depths(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def width_slots(self) -> tuple[str, ...]: ...
    def layout(self, bands: Bands) -> Mapping[str, Bands]: ...
    def channels(self, stage: str) -> Mapping[str, int]: ...
    def kernels(self, stage: str) -> int: ...


def arch_of(family: Staged, widths: Sequence[int], op: str, bands: Bands) -> Arch:
    """The arch with these widths, slot by slot, `op` in the trunk, and bands as laid out.

    Raises: ArchError if the number of widths is not that of the slots, or for bands where the
    family has none.
    """
    if bands != ONE and not family.banded:
        raise ArchError(f"arch: bands {bands}; the features of {family.name} are not split, give 0")
    if len(widths) != len(family.width_slots):
        raise ArchError(
            f"arch: {len(widths)} widths; this {family.name} takes {len(family.width_slots)}: "
            f"{', '.join(family.width_slots)}"
        )
    values: dict[str, Value] = dict(zip(family.width_slots, widths, strict=True))
    values |= {f"{s}.op": op if s in family.body else "dense" for s in family.stages}
    values |= {f"{s}.bands": str(split) for s, split in family.layout(bands).items()}
    values |= {f"{s}.depth": kept[0] for s, kept in family.depths.items()}
    return Arch.of(family.name, values)


def check_arch(family: Staged, arch: Arch) -> None:
    """Raises: ArchError, by name, for a slot that is missing or whose value cannot be built."""
    if arch.family != family.name:
        raise ArchError(f"arch: family is {arch.family!r}; expected {family.name!r}")
    for slot in family.width_slots:
        if arch.width(slot) < 1:
            raise ArchError(f"arch: {slot}={arch[slot]}; a width is at least 1")
    for stage in family.stages:
        op = arch.op(f"{stage}.op")
        if op not in OPERATORS:
            raise ArchError(f"arch: {stage}.op={op!r}; one of {', '.join(OPERATORS)}")
    for stage in family.banded:
        bands = Bands.parse(arch.op(f"{stage}.bands"))
        for slot, per_unit in family.channels(stage).items():
            if reason := _misfit(bands, per_unit * arch.width(slot)):
                raise ArchError(f"arch: {stage}.bands={bands} with {slot}={arch[slot]}; {reason}")
    for stage, kept in family.depths.items():
        if (found := arch.op(f"{stage}.depth")) not in kept:
            raise ArchError(f"arch: {stage}.depth={found!r}; one of {', '.join(kept)}")
    known = _slots(family)
    for slot, _ in arch.slots:
        if slot not in known:
            raise ArchError(f"arch: {slot}: unknown slot; {family.name} has {', '.join(known)}")


def _slots(family: Staged) -> list[str]:
    """The slots of a family's archs."""
    ops = [f"{stage}.op" for stage in family.stages]
    bands = [f"{stage}.bands" for stage in family.banded]
    return [*family.width_slots, *ops, *bands, *(f"{stage}.depth" for stage in family.depths)]


def _misfit(bands: Bands, channels: int) -> str:
    """Why that many channels cannot be split so; empty if they can."""
    if bands == ONE:
        return ""
    if not bands.is_whole(channels):
        return f"{channels} channels do not split into whole ones"
    if min(bands.channels(channels)) < BAND_CHANNELS:
        split = " + ".join(map(str, bands.channels(channels)))
        return f"{channels} channels split into {split}; a band has at least {BAND_CHANNELS}"
    return ""


def space_of(
    family: Staged,
    widths: Widths,
    ops: Choices[str],
    bands: Choices[Bands],
    depths: Mapping[str, Sequence[str]],
) -> SearchSpace:
    """The search space with these choices of widths (for all slots, or slot by slot), operators,
    bands (for the trunk, or by stage) and depths (by stage); what is not named is dense, undivided
    and of full depth.

    Combinations that cannot be built are left out of it by its rules.
    Raises: ArchError for an unknown slot, stage or operator, a missing slot, or a split that no
    width allows.
    """
    choices: dict[str, Sequence[Value]] = dict(_width_lists(family, widths))
    operators = _by_stage(family, "ops", ops, family.stages, "dense")
    for op in {op for listed in operators.values() for op in listed}:
        if op not in OPERATORS:
            raise ArchError(f"space: operator {op!r}; one of {', '.join(OPERATORS)}")
    choices |= {f"{stage}.op": tuple(listed) for stage, listed in operators.items()}
    if not family.banded and not isinstance(bands, Mapping) and set(bands) <= {ONE}:
        bands = ()
    splits = _by_stage(family, "bands", bands, family.banded, ONE)
    choices |= {f"{s}.bands": [str(split) for split in listed] for s, listed in splits.items()}
    if unknown := [stage for stage in depths if stage not in family.depths]:
        known = ", ".join(family.depths) or f"{family.name} has none with depths"
        raise ArchError(f"space.depths: no stage {unknown[0]!r}; one of {known}")
    for stage, kept in family.depths.items():
        listed_depths = tuple(depths.get(stage, kept[:1]))
        if wrong := [depth for depth in listed_depths if depth not in kept]:
            raise ArchError(f"space.depths: {stage}: {wrong[0]!r}; one of {', '.join(kept)}")
        choices[f"{stage}.depth"] = listed_depths
    rules = [
        rule for stage, listed in splits.items() for rule in _rules(family, stage, listed, choices)
    ]
    return SearchSpace.of(family.name, choices, tuple(rules))


def _rules(
    family: Staged, stage: str, listed: Sequence[Bands], choices: Mapping[str, Sequence[Value]]
) -> Iterator[Rule]:
    """Which widths go with which of a stage's splits, where not all do.

    Raises: ArchError for a split that no width allows.
    """
    for slot, per_unit in family.channels(stage).items():
        fitting = frozenset(
            (width, str(split))
            for width in choices[slot]
            for split in listed
            if isinstance(width, int) and not _misfit(split, per_unit * width)
        )
        for split in listed:
            if all(str(split) != fits for _, fits in fitting):
                widest = max(w for w in choices[slot] if isinstance(w, int))
                raise ArchError(
                    f"space: {stage}.bands={split}; no width of {slot} allows it: "
                    f"{_misfit(split, per_unit * widest)}"
                )
        if len(fitting) < len(choices[slot]) * len(listed):
            yield Rule((slot, f"{stage}.bands"), fitting)


def check_size(family: Staged, what: SearchSpace | Arch, size: tuple[int, int]) -> None:
    """Raises: ArchError for a split whose coarsest band would be smaller than a kernel on it."""
    if isinstance(what, SearchSpace):
        where, choices = "space", what.choices
    else:
        where, choices = "arch", tuple((slot, (value,)) for slot, value in what.slots)
    for slot, values in choices:
        stage, _, kind = slot.rpartition(".")
        for text in values if kind == "bands" else ():
            bands = Bands.parse(str(text))
            least = family.kernels(stage) * 2 ** (bands.count - 1)
            if bands != ONE and min(size) < least:
                raise ArchError(
                    f"{where}: {slot}={bands}; at {size[0]}x{size[1]} its coarsest band is smaller "
                    f"than the kernel, images of {least} pixels and more allow it"
                )


def _by_stage(
    family: Staged, key: str, given: Choices[T], stages: Sequence[str], otherwise: T
) -> dict[str, Sequence[T]]:
    """The choices of every stage."""
    if not isinstance(given, Mapping):
        trunk = [stage for stage in family.body if stage in stages]
        given = dict.fromkeys(trunk or family.body, given) if given else {}
    found: dict[str, Sequence[T]] = dict.fromkeys(stages, (otherwise,))
    for name in sorted(given, key=len):  # a stage's own list over that of all alike
        named = [stage for stage in stages if stage == name or stage.startswith(f"{name}.")]
        if not named:
            known = ", ".join(stages) or f"{family.name} has none with {key}"
            raise ArchError(f"space.{key}: no stage {name!r}; one of {known}")
        found |= dict.fromkeys(named, given[name])
    return found


def _width_lists(family: Staged, widths: Widths) -> dict[str, Sequence[int]]:
    slots = family.width_slots
    if isinstance(widths, Mapping):
        unknown = [s for s in widths if s not in slots]
        missing = [s for s in slots if s not in widths]
        if unknown or missing:
            raise ArchError(
                f"space.widths: {'unknown' if unknown else 'missing'} slots {unknown or missing}; "
                f"{family.name} has {list(slots)}"
            )
        return {s: widths[s] for s in slots}
    every = [w for w in widths if isinstance(w, int)]
    by_slot = [w for w in widths if not isinstance(w, int)]
    lists = by_slot or [every] * len(slots)
    if len(lists) != len(slots):
        raise ArchError(
            f"space: {len(lists)} lists of widths; this {family.name} has {len(slots)} slots"
        )
    return dict(zip(slots, lists, strict=True))
