"""Search spaces with rules: everything that they give is legal, and nothing legal is left out."""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.archs.slots import Rule
from gancompress.errors import ArchError

OPS = ("dense", "separable")
# The trunk's width is shared by two stages, whose third splits need different widths.
SPACE = SearchSpace.of(
    "toy",
    {
        "trunk": (9, 8, 4),
        "inner": (5, 6),
        "op": OPS,
        "one.bands": ("0", "thirds", "half"),
        "two.bands": ("0", "thirds", "half"),
    },
    [
        Rule(
            ("trunk", f"{stage}.bands"),
            frozenset({(9, "0"), (8, "0"), (4, "0"), (9, "thirds"), (8, "half"), (4, "half")}),
        )
        for stage in ("one", "two")
    ]
    + [Rule(("inner", "one.bands"), frozenset({(5, "0"), (6, "0"), (6, "thirds"), (6, "half")}))],
)
ARCHS = list(SPACE.all())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def is_legal(arch: Arch) -> bool:
    """The rules once more, as arithmetic: thirds and halves must be whole; 5 is for "0" alone."""
    for stage in ("one", "two"):
        parts = {"0": 1, "thirds": 3, "half": 2}[arch.op(f"{stage}.bands")]
        if arch.width("trunk") % parts:
            return False
    return arch.width("inner") == 6 or arch.op("one.bands") == "0"


def test_size_is_the_number_of_legal_archs() -> None:
    combinations = itertools.product(*(values for _, values in SPACE.choices))
    slots = [slot for slot, _ in SPACE.choices]
    every = [Arch("toy", tuple(zip(slots, values, strict=True))) for values in combinations]
    assert set(ARCHS) == set(filter(is_legal, every)) and len(every) == 108
    # For each of three trunks two splits of stage two, two operators, and 2 + 1 inner widths.
    assert SPACE.size == len(ARCHS) == len(set(ARCHS)) == 36
    assert [arch for arch in every if arch in SPACE] == ARCHS


def test_samples_are_legal_and_uniform() -> None:
    generator = rng()
    drawn = Counter(SPACE.sample(generator) for _ in range(3600))
    assert set(drawn) == set(ARCHS)
    # chi-squared with 35 degrees of freedom is below 66.6 in 999 of 1000 cases
    assert sum((count - 100) ** 2 / 100 for count in drawn.values()) < 66.6


def test_mutants_are_legal_and_reach_every_arch() -> None:
    generator = rng(1)
    arch, seen = SPACE.largest, set()
    for _ in range(3000):
        arch = SPACE.mutate(arch, generator, 0.5)
        assert is_legal(arch) and arch in SPACE
        seen.add(arch)
    assert seen == set(ARCHS)
    assert SPACE.mutate(arch, generator, 0.0) == arch


def test_crossovers_are_legal_and_take_every_slot_from_one_of_both() -> None:
    generator = rng(2)
    for _ in range(2000):
        one, other = SPACE.sample(generator), SPACE.sample(generator)
        child = SPACE.crossover(one, other, generator)
        assert is_legal(child) and child in SPACE
        assert all(child[slot] in (one[slot], other[slot]) for slot in child.values)
    two = ARCHS[0], ARCHS[0].replace({"op": "separable", "inner": 6})
    assert len({SPACE.crossover(*two, generator) for _ in range(100)}) == len({*two}) * 2


def test_illegal_pairs_are_refused_by_name() -> None:
    thirds = next(arch for arch in ARCHS if arch["one.bands"] == "thirds")
    for changes, text in [
        ({"trunk": 8}, "arch: trunk=8 with one.bands='thirds' is not allowed"),
        ({"inner": 5}, "arch: inner=5 with one.bands='thirds' is not allowed"),
    ]:
        arch = thirds.replace(changes)
        assert arch not in SPACE and not SPACE.is_legal(arch)
        with pytest.raises(ArchError) as caught:
            SPACE.check(arch)
        assert str(caught.value) == text


def test_fitting_values_are_those_of_legal_neighbours() -> None:
    for arch in ARCHS:
        for slot, values in SPACE.choices:
            legal = tuple(v for v in values if arch.replace({slot: v}) in ARCHS)
            assert SPACE.fitting(slot, arch.values) == legal


def test_ends_are_legal() -> None:
    assert SPACE.largest.values == {
        "trunk": 9, "inner": 6, "op": "dense", "one.bands": "0", "two.bands": "0"
    }  # fmt: skip
    assert SPACE.smallest.values == {
        "trunk": 4, "inner": 6, "op": "separable", "one.bands": "half", "two.bands": "half"
    }  # fmt: skip
    for categories in {tuple((s, arch[s]) for s in SPACE.categories) for arch in ARCHS}:
        alike = [arch for arch in ARCHS if dict(categories).items() <= arch.values.items()]
        narrowest = SPACE.narrowest(dict(categories))
        assert narrowest in alike
        assert all(narrowest.width(s) <= a.width(s) for a in alike for s in ("trunk", "inner"))
    with pytest.raises(ArchError, match="no width of trunk goes with {'one.bands': 'thirds', 'tw"):
        SPACE.narrowest({"op": "dense", "one.bands": "thirds", "two.bands": "half"})


def crossed() -> SearchSpace:
    """First values that do not go together, nor last ones."""
    bands = {"one.bands": ("thirds", "0", "half"), "two.bands": ("half", "0", "thirds")}
    rules = [rule for rule in SPACE.rules if "trunk" in rule.slots]
    return SearchSpace.of("toy", {"trunk": (9, 8), "op": OPS, **bands}, rules)


def test_ends_of_a_space_whose_first_values_exclude_each_other_are_legal() -> None:
    space = crossed()
    assert space.largest.values == {
        "trunk": 9, "op": "dense", "one.bands": "thirds", "two.bands": "0"
    }  # fmt: skip
    assert space.smallest.values == {
        "trunk": 8, "op": "separable", "one.bands": "half", "two.bands": "0"
    }  # fmt: skip
    assert {space.largest, space.smallest} <= set(space.all())


@pytest.mark.parametrize("make", [lambda: SPACE, crossed], ids=["plain", "crossed"])
def test_corners_have_every_pair_and_every_largest_width(make: Callable[[], SearchSpace]) -> None:
    space = make()
    archs, corners = list(space.all()), space.corners()
    categories = list(space.categories)

    def pairs(among: list[Arch]) -> set[tuple[object, ...]]:
        both = list(itertools.combinations(categories, 2))
        return {(a, arch[a], b, arch[b]) for arch in among for a, b in both}

    def widest(among: list[Arch]) -> dict[tuple[object, ...], int]:
        found: dict[tuple[object, ...], int] = {}
        for arch in among:
            for slot in categories:
                for width in set(arch.values) - set(categories):
                    key = slot, arch[slot], width
                    found[key] = max(arch.width(width), found.get(key, 0))
        return found

    assert set(corners) <= set(archs) and len(corners) < len(archs)
    assert pairs(corners) == pairs(archs)
    assert widest(corners) == widest(archs)


def test_preferred_operators_and_bands_give_way_to_what_is_possible() -> None:
    space = crossed()
    wanted = {"one.bands": ["half"], "two.bands": ["thirds", "0"], "op": ["separable"]}
    assert space.preferred(wanted) == {"op": "separable", "one.bands": "half", "two.bands": "0"}
    assert space.preferred({}, {"trunk": 8})["one.bands"] == "0"


def test_space_without_any_arch_is_refused() -> None:
    never = [Rule(("a", f"{s}.bands"), frozenset({(i, "x")})) for i, s in enumerate("pq")]
    with pytest.raises(ArchError, match="space: no width of a goes with"):
        SearchSpace.of("toy", {"a": (0, 1), "p.bands": ("x",), "q.bands": ("x",)}, never)
