"""Rules on pairs of slots: counts and draws against enumeration, and covering combinations."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from gancompress.archs.slots import Counts, Rule, Value, covering

Choices = dict[str, tuple[Value, ...]]


def pairs_of(row: Mapping[str, Value]) -> set[tuple[tuple[str, Value], ...]]:
    return set(itertools.combinations(sorted(row.items()), 2))


def product(choices: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


def test_rule_admits_its_pairs_in_its_own_order_alone() -> None:
    rule = Rule(("a", "b"), frozenset({(1, 2), (3, "x")}))
    assert rule.admits({"b": 2, "a": 1, "c": 9}) and rule.admits({"a": 3, "b": "x"})
    assert not rule.admits({"a": 2, "b": 1}) and not rule.admits({"a": 1, "b": "x"})


@pytest.mark.parametrize("sizes", [(2, 2), (2, 3, 4), (1, 1, 1), (5, 1, 2, 3), (2,) * 6])
def test_covering_has_every_pair_of_values(sizes: tuple[int, ...]) -> None:
    choices: Choices = {f"s{i}": tuple(f"v{j}" for j in range(n)) for i, n in enumerate(sizes)}
    rows = covering(choices)
    wanted = set().union(*map(pairs_of, product(choices)))
    assert set().union(*map(pairs_of, rows)) == wanted
    assert rows[0] == {slot: values[0] for slot, values in choices.items()}
    assert all(list(row) == list(choices) for row in rows)
    assert len({tuple(row.values()) for row in rows}) == len(rows) <= len(product(choices))


def test_covering_of_many_slots_is_far_from_the_product_and_repeats() -> None:
    choices: Choices = {f"s{i}": ("a", "b", "c") for i in range(13)}  # 1 594 323 combinations
    rows = covering(choices)
    assert 9 <= len(rows) <= 30  # at least 3 x 3; a greedy cover has some 20
    assert len(set().union(*map(pairs_of, rows))) == 13 * 12 // 2 * 9
    assert covering(choices) == rows


def test_covering_of_one_slot_is_its_values_and_of_none_one_empty_row() -> None:
    assert covering({"a": ("x", "y")}) == [{"a": "x"}, {"a": "y"}]
    assert covering({}) == [{}]


def test_covering_leaves_out_what_is_impossible_and_nothing_else() -> None:
    choices: Choices = dict.fromkeys("abcd", ("x", "y", "z"))
    possible = [row for row in product(choices) if (row["a"], row["b"]) != ("x", "x")]
    possible = [row for row in possible if row["b"] == row["c"] or row["d"] == "z"]

    def is_possible(fixed: Mapping[str, Value]) -> bool:
        return any(fixed.items() <= row.items() for row in possible)

    rows = covering(choices, is_possible)
    assert all(row in possible for row in rows)
    assert set().union(*map(pairs_of, rows)) == set().union(*map(pairs_of, possible))
    assert covering({"a": ("x", "y")}, lambda row: row.get("a") != "x") == [{"a": "y"}]


def random_trees(rng: np.random.Generator) -> tuple[Choices, list[Rule]]:
    """Up to six slots; each hangs on an earlier one by a rule for some pairs, or on none."""
    count = int(rng.integers(1, 7))
    choices: Choices = {f"s{i}": tuple(range(int(rng.integers(1, 4)))) for i in range(count)}
    rules = []
    for i in range(1, count):
        if rng.random() < 0.7:
            ends = (f"s{i}", f"s{rng.integers(i)}")
            ends = ends if rng.random() < 0.5 else ends[::-1]
            both = list(itertools.product(choices[ends[0]], choices[ends[1]]))
            rules.append(Rule(ends, frozenset(pair for pair in both if rng.random() < 0.7)))
    return choices, rules


def counts_of(choices: Choices, rules: list[Rule]) -> Counts:
    return Counts(choices, {slot: [r for r in rules if slot in r.slots] for slot in choices})


def test_counts_equal_enumeration_and_draws_are_legal_on_random_trees() -> None:
    rng = np.random.default_rng(0)
    totals = []
    for _ in range(200):
        choices, rules = random_trees(rng)
        legal = [row for row in product(choices) if all(rule.admits(row) for rule in rules)]
        counts = counts_of(choices, rules)
        assert counts.total == len(legal)
        totals.append(len(legal))
        if legal:
            drawn = [counts.draw(rng) for _ in range(5)]
            assert all(row in legal and list(row) == list(choices) for row in drawn)
    assert totals.count(0) > 5 and max(totals) > 50  # the trees were of all kinds


@pytest.mark.parametrize("seed", range(4))
def test_draws_are_uniform_over_what_enumeration_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    legal: list[dict[str, Value]] = []
    while not 20 <= len(legal) <= 80:
        choices, rules = random_trees(rng)
        legal = [row for row in product(choices) if all(rule.admits(row) for rule in rules)]
        legal = legal if len(legal) < len(product(choices)) else []
    counts = counts_of(choices, rules)
    drawn = Counter(tuple(counts.draw(rng).values()) for _ in range(100 * len(legal)))
    chi_square = sum((drawn[tuple(row.values())] - 100) ** 2 / 100 for row in legal)
    assert drawn.total() == 100 * len(legal)
    # chi-squared with n degrees of freedom is n on average, give or take sqrt(2 n)
    assert chi_square < len(legal) + 4 * np.sqrt(2 * len(legal))


def test_rules_in_a_ring_are_our_own_mistake() -> None:
    ring = [Rule((a, b), frozenset({(0, 0)})) for a, b in ("ab", "bc", "ca")]
    with pytest.raises(AssertionError, match="rules join slots to trees"):
        counts_of(dict.fromkeys("abc", (0, 1)), ring)
