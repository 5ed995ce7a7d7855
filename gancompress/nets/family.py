"""What a generator family offers: slots, a search space over them, and a network for every arch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import nn

from gancompress.arch import Arch, SearchSpace, Value
from gancompress.errors import ArchError
from gancompress.nets.blocks import OPERATORS

Widths = Sequence[int] | Sequence[Sequence[int]] | Mapping[str, Sequence[int]]


class Family(Protocol):
    """A family of generators. Frozen: equal options make equal networks of equal archs."""

    @property
    def name(self) -> str: ...

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""

    @property
    def presets(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """Published choice lists by name, slot by slot in the order of `width_slots`."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What rebuilds this family: `FAMILIES[family.name](**family.options) == family`."""

    @property
    def width_slots(self) -> tuple[str, ...]:
        """The width slots in the order in which the literature writes widths, `c0_c1_…`."""

    @property
    def op_slots(self) -> tuple[str, ...]:
        """The slots that hold an operator."""

    def arch(self, widths: Sequence[int], op: str) -> Arch:
        """The arch with these widths, and one operator wherever there is a choice."""

    def uniform(self, width: int, op: str = "dense") -> Arch:
        """The arch with the same base width in every slot."""

    def space(self, widths: Widths, ops: Sequence[str]) -> SearchSpace:
        """The search space with these choices; `arch`, `uniform` and `space` raise ArchError."""

    def taps(self) -> tuple[str, ...]:
        """The modules whose outputs are distilled."""

    def build(self, arch: Arch) -> nn.Module:
        """The network of `arch`, weights as torch initialises them. Raises: ArchError."""


def arch_of(family: Family, widths: Sequence[int], op: str) -> Arch:
    """The arch with these widths, slot by slot, and one operator wherever there is a choice.

    Raises: ArchError if the number of widths is not that of the slots.
    """
    if len(widths) != len(family.width_slots):
        raise ArchError(
            f"arch: {len(widths)} widths; this {family.name} takes {len(family.width_slots)}: "
            f"{', '.join(family.width_slots)}"
        )
    values: dict[str, Value] = dict(zip(family.width_slots, widths, strict=True))
    return Arch.of(family.name, values | dict.fromkeys(family.op_slots, op))


def space_of(family: Family, widths: Widths, ops: Sequence[str]) -> SearchSpace:
    """The search space with these width choices (for all slots, or slot by slot) and operators.

    Raises: ArchError for an unknown slot or operator, or a missing slot.
    """
    lists = _width_lists(family, widths)
    if len(lists) != len(family.width_slots):
        raise ArchError(
            f"space: {len(lists)} lists of widths; this {family.name} has "
            f"{len(family.width_slots)} slots"
        )
    for op in ops:
        if op not in OPERATORS:
            raise ArchError(f"space: operator {op!r}; one of {', '.join(OPERATORS)}")
    choices: dict[str, Sequence[Value]] = dict(zip(family.width_slots, lists, strict=True))
    return SearchSpace.of(family.name, choices | dict.fromkeys(family.op_slots, tuple(ops)))


def _width_lists(family: Family, widths: Widths) -> list[Sequence[int]]:
    if not isinstance(widths, Mapping):
        every = [w for w in widths if isinstance(w, int)]
        by_slot = [w for w in widths if not isinstance(w, int)]
        return by_slot or [every] * len(family.width_slots)
    unknown = [s for s in widths if s not in family.width_slots]
    missing = [s for s in family.width_slots if s not in widths]
    if unknown or missing:
        raise ArchError(
            f"space.widths: {'unknown' if unknown else 'missing'} slots {unknown or missing}; "
            f"{family.name} has {list(family.width_slots)}"
        )
    return [widths[s] for s in family.width_slots]
