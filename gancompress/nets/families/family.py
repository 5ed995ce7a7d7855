"""What a generator family offers: slots, a search space over them, and a network for every arch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import nn

from gancompress.archs.arch import Arch, SearchSpace, Value
from gancompress.nets.families.choices import Choices, Widths, arch_of, space_of
from gancompress.nets.layers.features import ONE, Bands
from gancompress.nets.traced.facts import NAMES

Axis = tuple[str, int]  # a tensor's name, and 0 or 1


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
