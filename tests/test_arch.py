"""Archs and search spaces: equality, JSON, and draws that stay inside."""

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest

from gancompress.archs.arch import Arch, SearchSpace, Value
from gancompress.errors import ArchError
from gancompress.nets.families import family_of
from gancompress.nets.families.options import ResNetOptions

ARCH = Arch.of("toy", {"a": 3, "op": "dense", "b": 7})
SPACE = SearchSpace.of("toy", {"a": (3, 5, 1), "op": ("dense", "separable"), "b": (2, 7)})
PUBLISHED_SIZES = {  # FACTS section 2, Li et al. 2020
    "channels-48": 5184,
    "channels-32": 6561,
    "channels-64-cyclegan": 390625,
    "channels-64-pix2pix": 5764801,
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_arch_of_equal_slots_is_equal_and_hashes_alike() -> None:
    twin = Arch.of("toy", dict(ARCH.slots))
    assert twin == ARCH and hash(twin) == hash(ARCH) and twin.key == ARCH.key
    assert {ARCH: 1}[twin] == 1


@pytest.mark.parametrize(
    "other",
    [
        Arch.of("other", ARCH.values),
        ARCH.replace({"a": 4}),
        ARCH.replace({"op": "separable"}),
        Arch.of("toy", {"a": 3, "op": "dense"}),
    ],
)
def test_arch_that_differs_anywhere_is_unequal_in_key_too(other: Arch) -> None:
    assert other != ARCH and other.key != ARCH.key


def test_arch_keys_of_a_whole_space_are_distinct() -> None:
    assert len({arch.key for arch in SPACE.all()}) == SPACE.size


def test_arch_json_gives_the_arch_back() -> None:
    assert Arch.from_json(ARCH.to_json()) == ARCH
    assert json.loads(ARCH.to_json()) == {"family": "toy", "slots": ARCH.values}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"family": "toy"}',
        '{"slots": {}}',
        '{"family": 1, "slots": {}}',
        '{"family": "toy", "slots": []}',
        '{"family": "toy", "slots": {"a": true}}',
        '{"family": "toy", "slots": {"a": 1.5}}',
        '{"family": "toy", "slots": {"a": [1]}}',
    ],
)
def test_arch_from_text_that_is_no_arch_names_the_place(text: str) -> None:
    with pytest.raises(ArchError, match=r'^runs/x/arch.json: not an arch; expected \{"family"'):
        Arch.from_json(text, "runs/x/arch.json")


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: ARCH["c"], "arch: no slot 'c'; the slots of this arch are a, op, b"),
        (lambda: ARCH.width("op"), "arch: slot 'op' is 'dense', a width was expected"),
        (lambda: ARCH.op("a"), "arch: slot 'a' is 3, an operator was expected"),
        (lambda: ARCH.replace({"c": 1}), "arch: no slot 'c'; the slots of this arch are a, op, b"),
    ],
)
def test_arch_refuses_a_wrong_slot_by_name(act: Callable[[], object], text: str) -> None:
    with pytest.raises(ArchError) as caught:
        act()
    assert str(caught.value) == text


def test_arch_replace_changes_that_slot_alone() -> None:
    assert ARCH.replace({"a": 4}).values == {"a": 4, "op": "dense", "b": 7}
    assert ARCH.width("a") == 3 and ARCH.op("op") == "dense"
    assert ARCH.compact == "3_7"


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"a": ()}, "space: slot 'a' has no values; give at least one"),
        ({"a": (3, 3)}, "space: slot 'a' repeats a value in [3, 3]"),
    ],
)
def test_space_refuses_empty_and_repeated_choices(
    choices: dict[str, tuple[Value, ...]], text: str
) -> None:
    with pytest.raises(ArchError) as caught:
        SearchSpace.of("toy", choices)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arch", "text"),
    [
        (Arch.of("other", {}), "arch: family is 'other'; this space is of 'toy'"),
        (ARCH.replace({"a": 4}), "arch: a=4 is not allowed; one of (3, 5, 1)"),
        (Arch.of("toy", {"x": 1}), "arch: no slot 'x' in this space; it has ['a', 'op', 'b']"),
        (Arch.of("toy", {"a": 3}), "arch: no slot 'op'; the slots of this arch are a"),
    ],
)
def test_space_check_refuses_by_name(arch: Arch, text: str) -> None:
    assert arch not in SPACE
    with pytest.raises(ArchError) as caught:
        SPACE.check(arch)
    assert str(caught.value) == text


def test_space_check_puts_slots_into_the_space_s_order() -> None:
    shuffled = Arch.of("toy", {"b": 7, "op": "dense", "a": 3})
    assert shuffled not in SPACE
    assert SPACE.check(shuffled) == ARCH and ARCH in SPACE


def test_space_size_is_the_number_of_its_archs() -> None:
    archs = list(SPACE.all())
    assert SPACE.size == len(archs) == len(set(archs)) == 12
    assert all(arch in SPACE for arch in archs)


def test_space_largest_and_smallest_are_the_ends_of_every_width() -> None:
    assert SPACE.largest.values == {"a": 5, "op": "dense", "b": 7}
    assert SPACE.smallest.values == {"a": 1, "op": "separable", "b": 2}


def test_space_corners_of_two_operators_are_the_largest_arch_once_per_combination() -> None:
    ops = ("dense", "separable")
    space = SearchSpace.of("toy", {"p": ops, "a": (1, 9), "q": ops})
    corners = list(space.corners())
    assert sorted((c["p"], c["q"]) for c in corners) == list(itertools.product(ops, ops))
    assert {c["a"] for c in corners} == {9} and corners[0] == space.largest


def test_space_samples_are_uniform_and_repeat_with_their_seed() -> None:
    generator = rng()
    drawn = [SPACE.sample(generator) for _ in range(2400)]
    counts = [drawn.count(arch) for arch in SPACE.all()]
    # 200 expected each; chi-squared with 11 degrees of freedom is below 31.3 in 999 of 1000 cases
    assert sum(counts) == 2400 and sum((c - 200) ** 2 / 200 for c in counts) < 31.3
    again = rng()
    assert [SPACE.sample(again) for _ in range(20)] == drawn[:20]


def test_space_mutants_stay_inside_and_move_as_often_as_asked() -> None:
    generator = rng(1)
    parent = SPACE.smallest
    mutants = [SPACE.mutate(parent, generator, 0.3) for _ in range(2000)]
    assert all(mutant in SPACE for mutant in mutants)
    moved = np.mean([mutant["a"] != parent["a"] for mutant in mutants])
    assert moved == pytest.approx(0.3 * 2 / 3, abs=0.03)  # a redraw may give the same value
    assert SPACE.mutate(parent, generator, 0.0) == parent


def test_space_crossovers_take_every_slot_from_one_of_both() -> None:
    generator = rng(2)
    one, other = SPACE.largest, SPACE.smallest
    children = [SPACE.crossover(one, other, generator) for _ in range(200)]
    for slot in one.values:
        assert {child[slot] for child in children} == {one[slot], other[slot]}
    assert len(set(children)) == 8 and all(child in SPACE for child in children)


def test_published_presets_have_their_published_sizes() -> None:
    presets = ResNetOptions.presets
    assert set(presets) == set(PUBLISHED_SIZES) and len(presets) == 4
    for name, size in PUBLISHED_SIZES.items():
        assert family_of("resnet").space(presets[name], ["separable"]).size == size


def test_level_walks_from_largest_to_smallest() -> None:
    space = SearchSpace.of("f", {"a": [8, 2, 4], "b": [6, 3], "op": ["dense", "separable"]})
    found = [space.level(depth, {"op": "separable"}).values for depth in (0.0, 0.5, 1.0)]
    assert [f["a"] for f in found] == [8, 4, 2]
    assert found[0]["b"] == 6 and found[2] == space.smallest.values
    assert {f["op"] for f in found} == {"separable"}
