"""Which archs a step of the supernet's training draws."""

import numpy as np
import pytest

from gancompress.archs.arch import SearchSpace
from gancompress.distill.draws import ANY_FRACTION, ARCH_DRAWS, ENDS_FRACTION, draw_named
from gancompress.distill.options import SupernetSection

SPACE = SearchSpace.of("toy", {"a": (1, 2, 3, 4), "b": (1, 2, 3, 4), "op": ("dense", "separable")})
DRAWS = 4000


def test_draws_are_the_ones_that_a_recipe_may_name() -> None:
    assert set(ARCH_DRAWS) == {"rows", "uniform", "sandwich", "weighted"}
    for name in ARCH_DRAWS:
        assert SupernetSection(steps=1, archs=name).archs == name  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["rows", "uniform", "sandwich", "weighted"])
def test_draws_stay_inside_and_repeat_with_their_seed(name: str) -> None:
    draw = draw_named(name)
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(20):
        archs = draw(SPACE, one)
        assert archs == draw(SPACE, other) and all(arch in SPACE for arch in archs)


def test_uniform_draws_every_arch_equally_often() -> None:
    rng = np.random.default_rng(1)
    drawn = [arch for _ in range(DRAWS) for arch in draw_named("uniform")(SPACE, rng)]
    counts = np.array([drawn.count(arch) for arch in SPACE.all()])
    assert counts.sum() == DRAWS
    # chi-squared with 31 degrees of freedom is below 61.1 in 999 of 1000 cases
    assert ((counts - DRAWS / 32) ** 2 / (DRAWS / 32)).sum() < 61.1


def test_sandwich_draws_the_largest_the_smallest_and_a_random_one() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw_named("sandwich")(SPACE, rng) for _ in range(200)]
    assert {(a, b) for a, b, _ in drawn} == {(SPACE.largest, SPACE.smallest)}
    assert len({arch for _, _, arch in drawn}) == SPACE.size


def test_weighted_draws_the_ends_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    drawn = [arch for _ in range(DRAWS) for arch in draw_named("weighted")(SPACE, rng)]
    assert len(drawn) == DRAWS
    expected = ENDS_FRACTION / 2 + (1 - ENDS_FRACTION) / SPACE.size
    for end in (SPACE.largest, SPACE.smallest):
        assert drawn.count(end) / DRAWS == pytest.approx(expected, abs=0.02)


def test_of_rows_two_thirds_of_the_draws_are_a_row_s_and_each_row_has_as_many() -> None:
    rng = np.random.default_rng(4)
    ours = [SPACE.largest, SPACE.smallest]
    draw = draw_named("rows", [lambda rng, arch=arch: arch for arch in ours])
    drawn = [arch for _ in range(DRAWS) for arch in draw(SPACE, rng)]
    assert len(drawn) == DRAWS
    expected = (1 - ANY_FRACTION) / 2 + ANY_FRACTION / SPACE.size
    for arch in ours:
        assert drawn.count(arch) / DRAWS == pytest.approx(expected, abs=0.03)
    assert set(drawn) == set(SPACE.all())
