"""One generator (`Arch`) and the set of generators that a supernet holds (`SearchSpace`)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gancompress.archs.slots import Counts, Rule, Value, covering
from gancompress.errors import ArchError


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

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: {"family": NAME, "slots": {SLOT: VALUE}}."""
        return {"family": self.family, "slots": self.values}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "arch") -> Arch:
        """Inverse of `to_json`. Raises: ArchError as `from_dict`."""
        try:
            plain = json.loads(text)
        except (ValueError, TypeError):
            plain = None
        return cls.from_dict(plain, where)

    @classmethod
    def from_dict(cls, plain: Any, where: str = "arch") -> Arch:
        """Inverse of `as_dict`. Raises: ArchError naming `where` if `plain` is not an arch."""
        match plain:
            case {"family": str(family), "slots": dict(slots)} if all(
                isinstance(s, str) and isinstance(v, int | str) and not isinstance(v, bool)
                for s, v in slots.items()
            ):
                return cls.of(family, slots)
        raise ArchError(
            f'{where}: not an arch; expected {{"family": NAME, "slots": {{SLOT: VALUE}}}}'
        )


@dataclass(frozen=True)
class SearchSpace:
    """Named slots, each with its allowed values, and rules on pairs of them.

    Every combination that the rules admit is one arch.
    """

    family: str
    choices: tuple[tuple[str, tuple[Value, ...]], ...]
    rules: tuple[Rule, ...] = ()
    _rules_of: dict[str, list[Rule]] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        of: dict[str, list[Rule]] = {slot: [] for slot, _ in self.choices}
        for rule in self.rules:
            for slot in rule.slots:
                of[slot].append(rule)
        object.__setattr__(self, "_rules_of", of)

    @classmethod
    def of(
        cls, family: str, choices: Mapping[str, Sequence[Value]], rules: Sequence[Rule] = ()
    ) -> SearchSpace:
        """Raises: ArchError for a slot without values or with a repeated one, or no arch at all."""
        for slot, values in choices.items():
            if not values:
                raise ArchError(f"space: slot {slot!r} has no values; give at least one")
            if len(set(values)) != len(values):
                raise ArchError(f"space: slot {slot!r} repeats a value in {list(values)}")
        space = cls(family, tuple((s, tuple(v)) for s, v in choices.items()), tuple(rules))
        if not space.size:
            space.narrowest({s: v[0] for s, v in space.categories.items()})  # says what is wrong
        return space

    @cached_property
    def size(self) -> int:
        """How many archs there are, exactly."""
        return self._counts.total

    @cached_property
    def _counts(self) -> Counts:
        return Counts(dict(self.choices), self._rules_of)

    def __contains__(self, arch: Arch) -> bool:
        return (
            arch.family == self.family
            and [s for s, _ in arch.slots] == [s for s, _ in self.choices]
            and all(arch[slot] in values for slot, values in self.choices)
            and self.is_legal(arch)
        )

    def is_legal(self, arch: Arch) -> bool:
        """Whether the rules admit `arch`, whose slots are this space's."""
        values = arch.values
        return all(rule.admits(values) for rule in self.rules)

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
        values = {slot: arch[slot] for slot in allowed}
        for rule in self.rules:
            if not rule.admits(values):
                one, other = rule.slots
                raise ArchError(
                    f"arch: {one}={arch[one]!r} with {other}={arch[other]!r} is not allowed"
                )
        return self._arch(values)

    def _arch(self, values: Mapping[str, Value]) -> Arch:
        return Arch.of(self.family, values)

    def fitting(self, slot: str, values: Mapping[str, Value]) -> tuple[Value, ...]:
        """The values of `slot` that the rules admit beside those of the other slots."""
        allowed, rules = dict(self.choices)[slot], self._rules_of[slot]
        return tuple(v for v in allowed if all(r.admits({**values, slot: v}) for r in rules))

    def _with_widths(
        self, categories: Mapping[str, Value], pick: Callable[[Sequence[Value]], Value]
    ) -> Arch:
        """The arch of these operators and bands, each width picked from those that go with them."""
        values: dict[str, Value] = dict(categories)
        for slot, allowed in self.choices:
            if slot not in categories:
                # Rules join a width to a category, and those are all there.
                rules = self._rules_of[slot]
                legal = [v for v in allowed if all(r.admits({**values, slot: v}) for r in rules)]
                if not legal:
                    beside = {s: values[s] for rule in rules for s in rule.slots if s != slot}
                    raise ArchError(f"space: no width of {slot} goes with {beside}")
                values[slot] = pick(legal)
        return self._arch({slot: values[slot] for slot, _ in self.choices})

    @property
    def categories(self) -> dict[str, tuple[Value, ...]]:
        """The slots that hold no widths: operators and bands."""
        return {slot: v for slot, v in self.choices if not isinstance(v[0], int)}

    @cached_property
    def largest(self) -> Arch:
        """Operators and bands at their first value, where the rules admit it; every width at the
        maximum that goes with them."""
        return self._with_widths(self.preferred({}), max)

    @cached_property
    def smallest(self) -> Arch:
        """Operators and bands at their last value, the cheap one, where the rules admit it; every
        width at the minimum."""
        return self.narrowest(self.preferred({s: v[::-1] for s, v in self.categories.items()}))

    def preferred(
        self, order: Mapping[str, Sequence[Value]], fixed: Mapping[str, Value] | None = None
    ) -> dict[str, Value]:
        """Operators and bands that go together and with the `fixed` values, slot after slot the
        first of `order`, or else of the slot's choices, that is possible beside those before."""
        values = dict(fixed or {})
        for slot, allowed in self.categories.items():
            if slot not in values:
                wanted = (*order.get(slot, ()), *allowed)
                values[slot] = next(v for v in wanted if self._is_possible({**values, slot: v}))
        return {slot: values[slot] for slot in self.categories}

    def _is_possible(self, fixed: Mapping[str, Value]) -> bool:
        """Whether some arch has these values."""
        if not any(self._rules_of[slot] for slot in fixed):
            return True
        choices = {s: (fixed[s],) if s in fixed else values for s, values in self.choices}
        return Counts(choices, self._rules_of).total > 0

    def narrowest(self, categories: Mapping[str, Value]) -> Arch:
        """The smallest widths that go with these operators and bands. Raises: ArchError if none."""
        return self._with_widths(categories, min)

    def level(self, depth: float, categories: Mapping[str, Value]) -> Arch:
        """Every width this far down its sorted choices, 0 the largest to 1 the smallest."""

        def pick(widths: Sequence[Value]) -> Value:
            falling = sorted((w for w in widths if isinstance(w, int)), reverse=True)
            return falling[round(depth * (len(falling) - 1))]

        return self._with_widths(categories, pick)

    def corners(self) -> list[Arch]:
        """Archs of the largest widths in which any two slots have any two of their operators and
        bands together at least once, and each of those every largest width that goes with it."""
        rows = covering(self.categories, self._is_possible)
        found = [self._with_widths(row, max) for row in rows]
        for width, widths in self.choices:
            if width in self.categories or not self._rules_of[width]:
                continue
            for slot, value in ((s, v) for s, values in self.categories.items() for v in values):
                fitting = [w for w in widths if self._is_possible({width: w, slot: value})]
                widest = max((w for w in fitting if isinstance(w, int)), default=0)
                if all(arch[slot] != value or arch.width(width) < widest for arch in found):
                    row = self.preferred({}, {width: widest, slot: value})
                    found.append(self._with_widths(row, max))
        return found

    def all(self) -> Iterator[Arch]:
        """Every arch, in the order of the slots' values. Mind `size` first."""
        names = [slot for slot, _ in self.choices]
        for combination in itertools.product(*(values for _, values in self.choices)):
            arch = self._arch(dict(zip(names, combination, strict=True)))
            if self.is_legal(arch):
                yield arch

    def sample(self, rng: np.random.Generator) -> Arch:
        """One arch, uniform over the space."""
        return self._arch(self._counts.draw(rng))

    def mutate(self, arch: Arch, rng: np.random.Generator, probability: float) -> Arch:
        """`arch` with each slot redrawn with the given probability, uniformly over the values that
        go with the other slots."""
        values = arch.values
        for slot, _ in self.choices:
            if rng.random() < probability:
                fitting = self.fitting(slot, values)
                values[slot] = fitting[int(rng.integers(len(fitting)))]
        return self._arch(values)

    def crossover(self, one: Arch, other: Arch, rng: np.random.Generator) -> Arch:
        """Each slot from either parent with equal chance, as far as the rules allow: slots that
        one rule joins come from the same parent where the mixture would break it."""
        values = {s: (one if rng.random() < 0.5 else other)[s] for s, _ in self.choices}
        while broken := [rule for rule in self.rules if not rule.admits(values)]:
            # Each turn takes more slots from `one`, at whose end there is `one` itself.
            values |= {slot: one[slot] for rule in broken for slot in rule.slots}
        return self._arch(values)
