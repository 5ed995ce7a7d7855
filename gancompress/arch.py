"""One generator (`Arch`) and the set of generators that a supernet holds (`SearchSpace`)."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gancompress.errors import ArchError

Value = int | str


@dataclass(frozen=True)
class Arch:
    """One generator, fully determined: a family and a value for each of its slots.

    Integer values are widths in the family's base unit, strings are operators. Equal archs build
    equal networks, and hash alike.
    """

    family: str
    slots: tuple[tuple[str, Value], ...]
    _values: dict[str, Value] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", dict(self.slots))

    @classmethod
    def of(cls, family: str, values: Mapping[str, Value]) -> Arch:
        return cls(family, tuple(values.items()))

    def __getitem__(self, slot: str) -> Value:
        try:
            return self._values[slot]
        except KeyError:
            known = ", ".join(self._values)
            raise ArchError(f"arch: no slot {slot!r}; the slots of this arch are {known}") from None

    def width(self, slot: str) -> int:
        """The value of an integer slot. Raises: ArchError if the slot holds an operator."""
        value = self[slot]
        if not isinstance(value, int):
            raise ArchError(f"arch: slot {slot!r} is {value!r}, a width was expected")
        return value

    def op(self, slot: str) -> str:
        """The value of an operator slot. Raises: ArchError if the slot holds a width."""
        value = self[slot]
        if not isinstance(value, str):
            raise ArchError(f"arch: slot {slot!r} is {value!r}, an operator was expected")
        return value

    def replace(self, changes: Mapping[str, Value]) -> Arch:
        for slot in changes:
            self[slot]  # refuses a slot that is not there
        return Arch(self.family, tuple((s, changes.get(s, v)) for s, v in self.slots))

    @property
    def values(self) -> dict[str, Value]:
        return dict(self._values)

    @property
    def key(self) -> str:
        """Canonical text: equal for equal archs, different otherwise; sorts stably."""
        return self.family + ":" + ",".join(f"{slot}={value}" for slot, value in self.slots)

    @property
    def compact(self) -> str:
        """The widths alone, `24_24_40_…`, as the compression literature writes them."""
        return "_".join(str(v) for _, v in self.slots if isinstance(v, int))

    def to_json(self) -> str:
        return json.dumps({"family": self.family, "slots": self._values}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "arch") -> Arch:
        """Inverse of `to_json`. Raises: ArchError naming `where` if the text is not an arch."""
        try:
            raw = json.loads(text)
            family, slots = raw["family"], raw["slots"]
            legal = isinstance(family, str) and all(
                isinstance(s, str) and isinstance(v, int | str) and not isinstance(v, bool)
                for s, v in slots.items()
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            legal = False
        if not legal:
            raise ArchError(
                f'{where}: not an arch; expected {{"family": NAME, "slots": {{SLOT: VALUE}}}}'
            )
        return cls.of(family, slots)


@dataclass(frozen=True)
class SearchSpace:
    """Named slots, each with its allowed values; every combination is one arch."""

    family: str
    choices: tuple[tuple[str, tuple[Value, ...]], ...]

    @classmethod
    def of(cls, family: str, choices: Mapping[str, Sequence[Value]]) -> SearchSpace:
        """Raises: ArchError for a slot without values or with a repeated one."""
        for slot, values in choices.items():
            if not values:
                raise ArchError(f"space: slot {slot!r} has no values; give at least one")
            if len(set(values)) != len(values):
                raise ArchError(f"space: slot {slot!r} repeats a value in {list(values)}")
        return cls(family, tuple((slot, tuple(values)) for slot, values in choices.items()))

    @property
    def size(self) -> int:
        return math.prod(len(values) for _, values in self.choices)

    def __contains__(self, arch: Arch) -> bool:
        return (
            arch.family == self.family
            and [s for s, _ in arch.slots] == [s for s, _ in self.choices]
            and all(arch[slot] in values for slot, values in self.choices)
        )

    def check(self, arch: Arch) -> Arch:
        """`arch` itself. Raises: ArchError naming the first slot that this space does not admit."""
        if arch.family != self.family:
            raise ArchError(f"arch: family is {arch.family!r}; this space is of {self.family!r}")
        allowed = dict(self.choices)
        for slot, value in arch.slots:
            if slot not in allowed:
                raise ArchError(f"arch: no slot {slot!r} in this space; it has {list(allowed)}")
            if value not in allowed[slot]:
                raise ArchError(f"arch: {slot}={value!r} is not allowed; one of {allowed[slot]}")
        for slot in allowed:
            arch[slot]
        return self._arch({slot: arch[slot] for slot in allowed})

    def _arch(self, values: Mapping[str, Value]) -> Arch:
        return Arch.of(self.family, values)

    def _extreme(self, *, largest: bool, categories: Mapping[str, Value]) -> Arch:
        pick = max if largest else min
        values: dict[str, Value] = {}
        for slot, allowed in self.choices:
            widths = [v for v in allowed if isinstance(v, int)]
            values[slot] = pick(widths) if widths else categories.get(slot, allowed[0])
        return self._arch(values)

    @property
    def largest(self) -> Arch:
        """Every width at its maximum; operator slots at their first value."""
        return self._extreme(largest=True, categories={})

    def level(self, depth: float) -> Arch:
        """Every width this far down its sorted choices, 0 the largest to 1 the smallest; operators
        at their last value (the cheap one)."""
        values: dict[str, Value] = {}
        for slot, allowed in self.choices:
            widths = sorted((v for v in allowed if isinstance(v, int)), reverse=True)
            values[slot] = widths[round(depth * (len(widths) - 1))] if widths else allowed[-1]
        return self._arch(values)

    @property
    def smallest(self) -> Arch:
        """Every width at its minimum; operator slots at their last value (the cheap one)."""
        return self._extreme(largest=False, categories={s: v[-1] for s, v in self._categorical()})

    def _categorical(self) -> list[tuple[str, tuple[Value, ...]]]:
        return [(slot, v) for slot, v in self.choices if not isinstance(v[0], int)]

    def corners(self) -> Iterator[Arch]:
        """The largest arch, once per combination of operator values."""
        slots = self._categorical()
        for combination in itertools.product(*(values for _, values in slots)):
            categories = {slot: v for (slot, _), v in zip(slots, combination, strict=True)}
            yield self._extreme(largest=True, categories=categories)

    def all(self) -> Iterator[Arch]:
        """Every arch, in the order of the slots' values. Mind `size` first."""
        names = [slot for slot, _ in self.choices]
        for combination in itertools.product(*(values for _, values in self.choices)):
            yield self._arch(dict(zip(names, combination, strict=True)))

    def sample(self, rng: np.random.Generator) -> Arch:
        """One arch, uniform over the space."""
        return self._arch({s: values[int(rng.integers(len(values)))] for s, values in self.choices})

    def mutate(self, arch: Arch, rng: np.random.Generator, probability: float) -> Arch:
        """`arch` with each slot redrawn uniformly with the given probability."""
        values = arch.values
        for slot, allowed in self.choices:
            if rng.random() < probability:
                values[slot] = allowed[int(rng.integers(len(allowed)))]
        return self._arch(values)

    def crossover(self, one: Arch, other: Arch, rng: np.random.Generator) -> Arch:
        """Each slot from either parent with equal chance."""
        return self._arch({s: (one if rng.random() < 0.5 else other)[s] for s, _ in self.choices})
