"""Slots and their values: rules on pairs of slots, counts and uniform draws under such rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Value = int | str


@dataclass(frozen=True)
class Rule:
    """Which values two slots may have together."""

    slots: tuple[str, str]
    allowed: frozenset[tuple[Value, Value]]

    def admits(self, values: Mapping[str, Value]) -> bool:
        return (values[self.slots[0]], values[self.slots[1]]) in self.allowed


def covering(
    categories: Mapping[str, Sequence[Value]],
    is_possible: Callable[[Mapping[str, Value]], bool] = lambda values: True,
) -> list[dict[str, Value]]:
    """Few combinations in which any two slots have any two of their values together.

    Greedy (Cohen et al. 1997, AETG, without its random tries): each row takes for slot after slot
    the value that covers most pairs that no row has yet. The first row is that of the first values.

    is_possible: whether some combination has these values; pairs that none has are left out.
    """
    slots = list(categories)
    if len(slots) == 1:
        return [{s: v} for s in slots for v in categories[s] if is_possible({s: v})]
    pairs = {
        ((a, x), (b, y))
        for a, b in itertools.combinations(slots, 2)
        for x in categories[a]
        for y in categories[b]
        if is_possible({a: x, b: y})
    }
    rows: list[dict[str, Value]] = []
    row: dict[str, Value] = {}
    while pairs or not rows:
        for slot in slots:
            if slot not in row:
                row[slot] = max(
                    (v for v in categories[slot] if is_possible({**row, slot: v})),
                    key=lambda v: sum(
                        ((a, row[a]), (slot, v)) in pairs or ((slot, v), (a, row[a])) in pairs
                        for a in row
                    ),
                )
        _cover(pairs, row)
        rows.append({slot: row[slot] for slot in slots})
        row = dict(min(pairs, key=str)) if pairs else {}  # a pair left, the same in every run
    return rows


def _cover(pairs: set[tuple[tuple[str, Value], tuple[str, Value]]], row: dict[str, Value]) -> None:
    pairs -= set(itertools.combinations(((s, v) for s, v in row.items()), 2))
    pairs -= {(b, a) for a, b in itertools.combinations(((s, v) for s, v in row.items()), 2)}


class Counts:
    """How many archs each value of each slot leads to, and uniform draws by them.

    The rules must join slots to trees, as they do where a rule joins a width to a category: then
    counts pass from the leaves to a root, and draws go the other way.
    """

    def __init__(
        self, choices: Mapping[str, Sequence[Value]], rules: Mapping[str, Sequence[Rule]]
    ) -> None:
        self._choices = choices
        self._order: list[tuple[str, Rule | None]] = []  # each slot behind the one it hangs on
        self._counts: dict[str, dict[Value, int]] = {}
        self.total = 1
        for slot in choices:
            if slot not in self._counts:
                self.total *= sum(self._visit(slot, None, rules).values())

    def _visit(
        self, slot: str, above: Rule | None, rules: Mapping[str, Sequence[Rule]]
    ) -> dict[Value, int]:
        self._order.append((slot, above))
        counts = dict.fromkeys(self._choices[slot], 1)
        self._counts[slot] = counts
        for rule in rules[slot]:
            if rule is above:
                continue
            child = _other(rule, slot)
            assert child not in self._counts, "rules join slots to trees"
            below = self._visit(child, rule, rules)
            for value in counts:
                counts[value] *= sum(
                    n for v, n in below.items() if rule.admits({slot: value, child: v})
                )
        return counts

    def draw(self, rng: np.random.Generator) -> dict[str, Value]:
        """One arch's values, uniform."""
        values: dict[str, Value] = {}
        for slot, above in self._order:
            counts = self._counts[slot]
            legal = [v for v in counts if above is None or above.admits({**values, slot: v})]
            left = int(rng.integers(sum(counts[v] for v in legal)))
            for value in legal:
                left -= counts[value]
                if left < 0:
                    values[slot] = value
                    break
        return {slot: values[slot] for slot in self._choices}


def _other(rule: Rule, slot: str) -> str:
    return rule.slots[1] if rule.slots[0] == slot else rule.slots[0]
