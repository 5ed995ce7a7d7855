"""What a generator family offers: slots, a search space over them, and a network for every arch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from torch import nn

from gancompress.archs.arch import Arch, Rule, SearchSpace, Value
from gancompress.errors import ArchError
from gancompress.nets.layers.blocks import OPERATORS
from gancompress.nets.layers.features import ONE, Bands
from gancompress.nets.traced.facts import NAMES

T = TypeVar("T")
Widths = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]
# For the stages of the trunk, or by stage; a key that several stages begin with ("body") is theirs.
Choices = Sequence[T] | Mapping[str, Sequence[T]]

Axis = tuple[str, int]  # a tensor's name, and 0 or 1

BAND_CHANNELS = 8  # fewer in a band cost more in calls than they save in arithmetic


@dataclass(frozen=True)
class ChannelRun:
    """Neighbouring positions of one axis: `count` channels of a group, each `bundle` times; or as
    many fixed ones, of no group."""

    group: str
    count: int
    bundle: int = 1


Layouts = Mapping[Axis, Sequence[tuple[ChannelRun, str]]]


@dataclass(frozen=True)
class Part:
    """A module of every network of a family, and the slots that its cost depends on.

    kind: modules of one kind cost the same, and make the same, where their slots have the same
    values in the same order; "" where none is like another. key: what of an arch's values decides
    instead, such as a sum of widths; None: the values of the slots.
    """

    name: str
    slots: tuple[str, ...]
    kind: str = field(default="", compare=False)
    key: Callable[[Mapping[str, Value]], tuple[Value, ...]] | None = field(
        default=None, compare=False
    )

    def key_of(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        """What of an arch's values the cost depends on."""
        return tuple(values[s] for s in self.slots) if self.key is None else self.key(values)


class Family(ABC):
    """A family of generators, a frozen dataclass: equal options make equal networks of equal archs.

    Families inherit from this: what most have alike is said here, and the members that concern
    bands need no word from a family without `banded` stages.

    Every stage has a slot `STAGE.op` (an operator); most have `STAGE.width`, those in `banded` have
    `STAGE.bands` too (how the features behind it are split, as `Bands` writes itself).
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The key in `families.FAMILIES`."""

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""

    @property
    def is_static(self) -> bool:
        """Whether it takes inputs of one height and width alone."""
        return False

    @property
    def code_file(self) -> str | None:
        """The file of a user's code that makes its networks; None: they are this project's."""
        return None

    @property
    def options(self) -> dict[str, Any]:
        """What rebuilds it, as exports keep it: `family_of(family.name, **family.options)`."""
        found: Any = self  # Each family is a dataclass.
        return {f.name: getattr(self, f.name) for f in fields(found) if f.name != "name"}

    @property
    @abstractmethod
    def stages(self) -> tuple[str, ...]:
        """The stages from input to output."""

    @property
    @abstractmethod
    def body(self) -> tuple[str, ...]:
        """The stages of the trunk: where the literature chooses operators."""

    @property
    def banded(self) -> tuple[str, ...]:
        """The stages behind which features may be split into bands; () where a family has none."""
        return ()

    @property
    def depths(self) -> Mapping[str, tuple[str, ...]]:
        """How many of its residual branches each stage that can do without some may keep, all of
        them first."""
        return {}

    @property
    @abstractmethod
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order in which the literature writes widths, `c0_c1_…`."""

    @property
    def value_range(self) -> tuple[float, float]:
        """Of the images that exported files take and give; here all are in [-1, 1]."""
        return -1.0, 1.0

    @property
    def names(self) -> tuple[str, str]:
        """Of the input and output of exported files, where these have names."""
        return NAMES

    @property
    def file_options(self) -> dict[str, Any]:
        """What rebuilds the networks that exported files hold, in their own value range."""
        return self.options

    @property
    def traced_arch(self) -> Arch | None:
        """The arch of the one trained generator that the family was made of, where it was."""
        return None

    def arch(self, widths: Sequence[int], op: str = "dense", bands: Bands = ONE) -> Arch:
        """The arch with these widths, `op` in the trunk and dense elsewhere, split by `bands`."""
        return arch_of(self, widths, op, bands)

    def uniform(self, width: int, op: str = "dense", bands: Bands = ONE) -> Arch:
        """The arch with the same base width in every slot."""
        return arch_of(self, [width] * len(self.width_slots), op, bands)

    def layout(self, bands: Bands) -> Mapping[str, Bands]:
        """The split of every stage of `banded` when the network as a whole is split so."""
        return dict.fromkeys(self.banded, bands)

    def space(
        self,
        widths: Widths,
        ops: Choices[str],
        bands: Choices[Bands] = (),
        depths: Mapping[str, Sequence[str]] | None = None,
    ) -> SearchSpace:
        """The search space with these choices; `arch`, `uniform` and `space` raise ArchError."""
        return space_of(self, widths, ops, bands, depths or {})

    def channels(self, stage: str) -> Mapping[str, int]:
        """The width slots whose channels a stage's bands split, each with its channels per unit."""
        return {}

    def kernels(self, stage: str) -> int:
        """The largest side, at the input's resolution, that a kernel on a stage's bands covers."""
        return 1

    def multiple(self, arch: Arch) -> int:
        """What the input's sides are multiples of where no band has an odd side."""
        return self.size_multiple

    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The modules that run one after the other, with the slots that each depends on."""

    @abstractmethod
    def distilled_layers(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled."""

    @abstractmethod
    def build(self, arch: Arch) -> nn.Module:
        """The network of `arch`, weights as torch initialises them. Raises: ArchError."""

    def layouts(self) -> Layouts | None:
        """How channels lie on the axes of the tensors of its networks, where the family knows.

        Of each axis 0 or 1 of a tensor the runs of neighbours, in full width: those of a group,
        each of its channels `bundle` times, with the width slot that the group belongs to; or
        fixed ones, with "". None: it is found out, see `gancompress.supernet.proof`.
        """
        return None

    def small_layers(self) -> tuple[str, ...]:
        """The layers whose random first weights are small: in residual branches without norms,
        where values would grow from branch to branch."""
        return ()

    def check_runs(self, shape: Sequence[int]) -> None:  # noqa: B027
        """Raises: ArchError where its networks cannot be run on one image (C, H, W) of `shape`."""

    def sketch(self, arch: Arch, known: Collection[str]) -> nn.Module:
        """The network of `arch` in which the modules named in `known`, of `parts`, may be others.

        Whoever asks puts its own in their place; leaving them out saves the time to make them.
        Raises: ArchError.
        """
        return self.build(arch)


def arch_of(family: Family, widths: Sequence[int], op: str, bands: Bands) -> Arch:
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


def check_arch(family: Family, arch: Arch) -> None:
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


def _slots(family: Family) -> list[str]:
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
    family: Family,
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
    rules = []
    for stage, listed in splits.items():
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
                rules.append(Rule((slot, f"{stage}.bands"), fitting))
    return SearchSpace.of(family.name, choices, tuple(rules))


def check_size(family: Family, what: SearchSpace | Arch, size: tuple[int, int]) -> None:
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
    family: Family, key: str, given: Choices[T], stages: Sequence[str], otherwise: T
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


def _width_lists(family: Family, widths: Widths) -> dict[str, Sequence[int]]:
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
