"""Several budgets at once, against enumeration of a space whose costs disagree."""

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from search_landscape import small_cost, small_space

from gancompress.archs.arch import Arch
from gancompress.errors import BudgetError
from gancompress.search.extremes import ceiling, floor, least_utilised
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint, admitted, rounded, utilisation

SPACE = small_space(op0=("dense", "separable"), op1=("dense", "separable"))  # 500 archs


def thickness(arch: Arch) -> int:
    """A cost that the other one disagrees with: separable is dearer, and so is the first width."""
    separable = sum(3 for _, value in arch.slots if value == "separable")
    return 4 * arch.width("w0") + arch.width("w1") + (1 + separable) * arch.width("w2")


def costs(arch: Arch) -> Mapping[str, float]:
    return {"macs": small_cost(arch), "params": thickness(arch)}


def limits(macs: float, params: float) -> list[Constraint]:
    return [
        Constraint("macs", macs, "true MACs", "search.budget_macs"),
        Constraint("params", params, "parameters", "search.budget_params"),
    ]


BOTH = limits(6000, 200)
FITTING = [arch for arch in SPACE.all() if small_cost(arch) <= 6000 and thickness(arch) <= 200]


def test_both_limits_bind() -> None:
    each = [sum(limit.admits(costs(arch)) for arch in SPACE.all()) for limit in BOTH]
    assert 30 < len(FITTING) < 0.8 * min(each)


def test_all_equals_enumeration() -> None:
    feasible = FeasibleSampler(SPACE, costs, BOTH)
    listed = list(feasible.all())
    assert len(listed) == len(set(listed)) == feasible.count
    assert set(listed) == set(FITTING)
    assert all(feasible.fits(arch) == (arch in set(FITTING)) for arch in SPACE.all())


@pytest.mark.parametrize("how", ["listed", "rejection", "walk"])
def test_draws_are_uniform_over_what_keeps_both_limits(how: str) -> None:
    feasible = FeasibleSampler(SPACE, costs, BOTH, list_up_to=10_000 if how == "listed" else 0)
    draw = feasible.walk if how == "walk" else feasible.draw
    rng = np.random.default_rng(1)
    counts = Counter(draw(rng) for _ in range(40 * len(FITTING)))
    assert set(counts) <= set(FITTING)
    chi_square = sum((counts[arch] - 40) ** 2 / 40 for arch in FITTING) / (len(FITTING) - 1)
    assert chi_square < 1 + 4 * np.sqrt(2 / len(FITTING))


def test_variation_keeps_both_limits_and_any_more() -> None:
    feasible = FeasibleSampler(SPACE, costs, BOTH)
    least = small_cost(feasible.smallest)
    rng = np.random.default_rng(0)
    for most in (least, 2 * least, 6000):
        more = [Constraint("macs", most, "", "")]
        for _ in range(100):
            one, other = feasible.draw(rng), feasible.draw(rng)
            for child in (
                feasible.mutate(one, rng, 0.5, more),
                feasible.crossover(one, other, rng, more),
                feasible.shrink(SPACE.sample(rng), rng, more),
            ):
                assert child in FITTING and small_cost(child) <= most


def test_costs_are_asked_once_per_question() -> None:
    asked = []

    def noting(arch: Arch) -> Mapping[str, float]:
        asked.append(arch)
        return costs(arch)

    feasible = FeasibleSampler(SPACE, noting, BOTH)
    asked.clear()
    feasible.fits(SPACE.largest)
    assert asked == [SPACE.largest]


def test_no_limit_admits_everything() -> None:
    assert FeasibleSampler(SPACE, costs, []).count == SPACE.size


def test_roomiest_arch_uses_least_of_its_nearest_limit() -> None:
    found = least_utilised(SPACE, costs, BOTH)
    assert utilisation(costs(found), BOTH) == min(
        utilisation(costs(arch), BOTH) for arch in SPACE.all()
    )


def test_floor_and_ceiling_are_the_ends_of_either_cost() -> None:
    for cost in (small_cost, thickness):
        every = [cost(arch) for arch in SPACE.all()]
        for found, wanted in ((floor, min(every)), (ceiling, max(every))):
            arch, most = found(SPACE, cost)
            assert arch in SPACE and most == cost(arch) == wanted


def test_budgets_below_their_floors_are_all_named() -> None:
    below = "is below the smallest generator of this space,"
    one = f"search.budget_params: 5 {below} {floor(SPACE, thickness)[1]} parameters"
    other = f"search.budget_macs: 10.5 {below} {rounded(floor(SPACE, small_cost)[1])} true MACs"
    said = f"{one}; raise the budget or admit smaller widths"
    with pytest.raises(BudgetError, match=f"^{re.escape(said)}$"):
        FeasibleSampler(SPACE, costs, limits(10**6, 5))
    said = f"{other}; {one}; raise the budgets or admit smaller widths"
    with pytest.raises(BudgetError, match=f"^{re.escape(said)}$"):
        FeasibleSampler(SPACE, costs, limits(10.5, 5))


def test_contradictory_budgets_are_named_with_the_nearest_miss() -> None:
    each = limits(floor(SPACE, small_cost)[1], floor(SPACE, thickness)[1])
    assert not any(admitted(costs(arch), each) for arch in SPACE.all())
    near = min(SPACE.all(), key=lambda arch: (utilisation(costs(arch), each), arch.key))
    said = (
        "search.budget_macs and search.budget_params: contradictory, each can be kept but no "
        f"generator of this space keeps all; the nearest has {rounded(small_cost(near))} true MACs "
        f"of {rounded(each[0].most)}, {thickness(near)} parameters of {rounded(each[1].most)}; "
        "raise one of them or admit smaller widths"
    )
    with pytest.raises(BudgetError, match=f"^{re.escape(said)}$"):
        FeasibleSampler(SPACE, costs, each)


def test_floor_is_exact_where_one_slot_alone_never_pays() -> None:
    """Operators that are cheap only together: a descent would have to change two at once."""
    space = small_space(a=("x", "y", "z"), b=("x", "y", "z"), c=("x", "y", "z"))

    def cost(arch: Arch) -> int:
        together = arch.op("a") + arch.op("b") + arch.op("c") == "xyz"
        return sum(arch.width(f"w{i}") for i in range(3)) + (0 if together else 20)

    arch, least = floor(space, cost)
    assert arch.op("a") + arch.op("b") + arch.op("c") == "xyz"
    assert least == min(map(cost, space.all())) == 48


def test_floor_by_descent_bounds_a_space_of_many_combinations() -> None:
    space = small_space(**{f"op{i}": ("dense", "separable") for i in range(11)})  # 2048
    arch, least = floor(space, small_cost)
    assert {arch.op(f"op{i}") for i in range(2)} == {"separable"}
    assert least == small_cost(arch) == 3 * 16 + 16 * 16 + 16 * 16 + 3 * 16
    assert ceiling(space, small_cost)[1] == small_cost(space.largest)
