"""The feasible share: exact where it can be, otherwise an estimate whose error is what it says."""

from typing import Any

import numpy as np
import pytest
from search_landscape import (
    RESNET,
    TENTH_PERCENT,
    budget_of_share,
    limited,
    resnet_macs,
    small_cost,
    small_space,
)

from gancompress.search.counting import estimate, feasible_fraction
from gancompress.search.limits import Constraint

OPS = small_space(op0=("dense", "separable"), op1=("dense", "separable"))
MANY = small_space(op0=("dense", "separable"), **{f"op{i}": ("x", "y") for i in range(1, 11)})


def of_macs(space: Any, cost: Any, budget: float, **more: Any) -> Any:
    limits = [Constraint("macs", budget, "true MACs", "search.budget_macs")]
    return feasible_fraction(space, lambda arch: {"macs": cost(arch)}, limits, **more)


@pytest.mark.parametrize("wanted", [0.002, 0.1, 0.8, 1.0])
def test_share_of_a_small_space_is_counted(wanted: float) -> None:
    budget = budget_of_share(OPS, wanted)
    fitting = sum(small_cost(arch) <= budget for arch in OPS.all())
    found = of_macs(OPS, small_cost, budget)
    assert found.is_exact and found.error == found.count_error == 0
    assert (found.count, found.value) == (fitting, fitting / 500)


def test_share_is_exact_at_both_ends_of_a_large_space() -> None:
    everything = of_macs(RESNET, resnet_macs, resnet_macs(RESNET.largest))
    assert everything.is_exact and everything.value == 1 and everything.count == 5_764_801
    thousandth = of_macs(RESNET, resnet_macs, TENTH_PERCENT)
    assert thousandth.is_exact and thousandth.count == 5775  # as test_search_feasible counts


@pytest.mark.parametrize("wanted", [0.02, 0.1, 0.3, 0.8])
def test_estimates_are_unbiased_and_know_their_error(wanted: float) -> None:
    """Over many seeds the deviations, in standard errors, have mean 0 and standard deviation 1."""
    budget = budget_of_share(OPS, wanted)
    true = sum(small_cost(arch) <= budget for arch in OPS.all()) / OPS.size
    feasible = limited(OPS, small_cost, budget, list_up_to=0)
    found = [estimate(feasible, seed) for seed in range(60)]
    off = np.array([(one.value - true) / one.error for one in found])
    assert not any(one.is_exact for one in found)
    assert abs(off.mean()) < 4 / np.sqrt(60)
    assert 0.7 < off.std() < 1.4
    assert np.mean([one.error for one in found]) < 0.25 * true


def test_estimate_of_a_thousandth_is_near() -> None:
    feasible = limited(RESNET, resnet_macs, TENTH_PERCENT, list_up_to=0)
    found = [estimate(feasible, seed) for seed in range(5)]
    for one in found:
        assert one.count == pytest.approx(5775, abs=5 * one.count_error)
        assert one.count_error < 0.12 * 5775
    assert len({one.value for one in found}) == 5
    assert estimate(feasible, 3) == found[3]


def test_estimate_where_operators_have_too_many_combinations_to_be_tried() -> None:
    """2048 combinations: what fits is a fraction of the widths times one of the operators."""
    assert MANY.size == 125 * 2048
    budget = budget_of_share(MANY, 0.1)
    true = sum(small_cost(arch) <= budget for arch in MANY.all()) / MANY.size
    found = [estimate(limited(MANY, small_cost, budget, list_up_to=0), seed) for seed in range(8)]
    off = np.array([(one.value - true) / one.error for one in found])
    assert abs(off.mean()) < 4 / np.sqrt(8) and np.abs(off).max() < 4


def test_estimate_costs_a_bounded_number_of_costs() -> None:
    asked = 0

    def counted(arch: Any) -> int:
        nonlocal asked
        asked += 1
        return resnet_macs(arch)

    for budget in (TENTH_PERCENT, 2_000_000_000, 5_000_000_000):
        feasible = limited(RESNET, counted, budget, list_up_to=0)
        asked = 0
        estimate(feasible)
        assert asked < 10_000  # 20 000 a second, once the cost model is warm
