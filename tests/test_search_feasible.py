import re
import time
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from search_landscape import (
    RESNET,
    TENTH_PERCENT,
    WIDTHS,
    budget_of_share,
    closed_form,
    limited,
    resnet_macs,
    small_cost,
    small_space,
)

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import BudgetError
from gancompress.search.extremes import floor

OPS = small_space(op0=("dense", "separable"), op1=("dense", "separable"))


def chi_square_per_freedom(draws: Iterable[Arch], archs: list[Arch]) -> float:
    """1 ± sqrt(2 / len(archs)) when the draws are uniform over `archs`."""
    counts = Counter(draws)
    assert set(counts) <= set(archs)
    expected = counts.total() / len(archs)
    return sum((counts[a] - expected) ** 2 / expected for a in archs) / (len(archs) - 1)


def test_closed_form_gives_the_published_macs() -> None:
    # published true MACs: smallest 0.955 G, 24_24_40_56_24_56_16_40 3.699 G
    some = Arch.of("resnet", {f"c{i}": w for i, w in enumerate([24, 24, 40, 56, 24, 56, 16, 40])})
    assert resnet_macs(RESNET.smallest) == pytest.approx(0.955e9, rel=1e-3)
    assert resnet_macs(some) == pytest.approx(3.699e9, rel=1e-3)


@pytest.mark.parametrize("space", [small_space(), OPS])
def test_floor_is_the_minimum_over_all_archs(space: SearchSpace) -> None:
    arch, cost = floor(space, small_cost)
    assert cost == small_cost(arch) == min(small_cost(a) for a in space.all())


def test_floor_tries_every_operator_when_the_first_is_the_cheap_one() -> None:
    space = small_space(op0=("separable", "dense", "odd"), op1=("dense", "separable"))
    arch, _ = floor(space, small_cost)
    assert arch.op("op0") in ("separable", "odd")
    assert arch.op("op1") == "separable"


def test_budget_below_the_floor_is_refused_with_the_smallest_figure() -> None:
    expected = (
        "search.budget_macs: 1 000 is below the smallest generator of this space, "
        "954 728 448 true MACs; raise the budget or admit smaller widths"
    )
    with pytest.raises(BudgetError, match=re.escape(expected)):
        limited(RESNET, resnet_macs, 1000)


def test_budget_at_the_floor_admits_one_arch() -> None:
    feasible = limited(RESNET, resnet_macs, 954_728_448)
    assert feasible.count == 1
    assert feasible.draw(np.random.default_rng(0)) == RESNET.smallest


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 1.0])
def test_all_equals_enumeration(share: float) -> None:
    budget = budget_of_share(OPS, share)
    feasible = limited(OPS, small_cost, budget)
    listed = list(feasible.all())
    assert len(listed) == len(set(listed)) == feasible.count
    assert set(listed) == {a for a in OPS.all() if small_cost(a) <= budget}


def test_count_is_unknown_beyond_the_list() -> None:
    assert limited(OPS, small_cost, 10**9, list_up_to=499).count is None
    assert limited(OPS, small_cost, 10**9, list_up_to=500).count == 500


@pytest.mark.parametrize(
    ("share", "list_up_to"),
    [(0.2, 10_000), (0.2, 0), (0.03, 0)],
    ids=["listed", "rejection", "rejection-or-walk"],
)
def test_draw_is_uniform_over_what_enumeration_finds(share: float, list_up_to: int) -> None:
    budget = budget_of_share(OPS, share)
    feasible = limited(OPS, small_cost, budget, list_up_to=list_up_to)
    archs = [a for a in OPS.all() if small_cost(a) <= budget]
    rng = np.random.default_rng(1)
    draws = [feasible.draw(rng) for _ in range(40 * len(archs))]
    assert chi_square_per_freedom(draws, archs) < 1 + 4 * np.sqrt(2 / len(archs))


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_walk_is_uniform_where_its_start_is_not(share: float) -> None:
    budget = budget_of_share(OPS, share)
    feasible = limited(OPS, small_cost, budget)
    archs = list(feasible.all())
    limit = 1 + 4 * np.sqrt(2 / len(archs))
    rng = np.random.default_rng(1)
    walks = (feasible.walk(rng) for _ in range(40 * len(archs)))
    assert chi_square_per_freedom(walks, archs) < limit
    starts = (feasible.walk(rng, sweeps=0) for _ in range(40 * len(archs)))
    assert chi_square_per_freedom(starts, archs) > 2 * limit


def test_walk_reaches_the_same_mean_widths_as_the_list_near_the_floor() -> None:
    feasible = limited(RESNET, resnet_macs, TENTH_PERCENT)
    rng = np.random.default_rng(1)
    walked = np.array([[v for _, v in feasible.walk(rng).slots] for _ in range(600)])
    listed = np.array([[v for _, v in a.slots] for a in feasible.all()])
    noise = listed.std(0) / np.sqrt(600)
    assert (np.abs(walked.mean(0) - listed.mean(0)) < 4 * noise).all()


def test_thousand_distinct_archs_under_a_budget_that_a_thousandth_meets() -> None:
    axes = np.meshgrid(*[np.array(WIDTHS)] * 8, indexing="ij", sparse=True)
    macs = closed_form(axes)
    assert macs.size == 5_764_801
    fitting = int((macs <= TENTH_PERCENT).sum())
    assert fitting / macs.size == pytest.approx(0.001, rel=0.01)

    start = time.process_time()
    feasible = limited(RESNET, resnet_macs, TENTH_PERCENT)
    rng = np.random.default_rng(0)
    seen: set[Arch] = set()
    while len(seen) < 1000:
        arch = feasible.draw_new(rng, seen)
        assert arch is not None and arch not in seen
        seen.add(arch)
    seconds = time.process_time() - start
    assert max(resnet_macs(a) for a in seen) <= TENTH_PERCENT
    assert feasible.count == fitting
    assert seconds < 1.5  # 0.1 s as measured


def test_cost_is_called_a_bounded_number_of_times() -> None:
    calls = 0

    def counted(arch: Arch) -> int:
        nonlocal calls
        calls += 1
        return resnet_macs(arch)

    for budget in (954_728_448, TENTH_PERCENT, 2_000_000_000, 10**12):
        calls = 0
        feasible = limited(RESNET, counted, budget)
        assert calls < 40_000  # 18 486 as measured where it is most
        rng = np.random.default_rng(0)
        calls = 0
        feasible.draw(rng)
        assert calls <= 100 + 4 * 8 * 9  # rejections, then a walk: the start and eight sweeps
        calls = 0
        assert feasible.fits(feasible.mutate(RESNET.largest, rng, 0.3))
        assert calls <= 2 + 8 * 6


@pytest.mark.parametrize("tries", [50, 0], ids=["drawn", "counted-out"])
@pytest.mark.parametrize("list_up_to", [10_000, 0])
def test_draw_new_gives_every_arch_once_and_then_none(
    list_up_to: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancompress.search.feasible.NEW_TRIES", tries)
    budget = budget_of_share(OPS, 0.1)
    feasible = limited(OPS, small_cost, budget, list_up_to=list_up_to)
    rng = np.random.default_rng(0)
    seen: set[Arch] = set()
    while (arch := feasible.draw_new(rng, seen)) is not None:
        assert arch not in seen
        seen.add(arch)
    assert seen == {a for a in OPS.all() if small_cost(a) <= budget}


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
def test_variation_stays_in_budget_and_space(share: float) -> None:
    feasible = limited(OPS, small_cost, budget_of_share(OPS, share))
    rng = np.random.default_rng(0)
    for _ in range(200):
        one, other = feasible.draw(rng), feasible.draw(rng)
        for child in (feasible.mutate(one, rng, 0.5), feasible.crossover(one, other, rng)):
            assert feasible.fits(child)
            assert child in OPS


def test_shrink_changes_nothing_that_fits_and_keeps_operators_that_can() -> None:
    dense = OPS.largest
    assert dense.op("op0") == "dense"
    rng = np.random.default_rng(0)
    assert limited(OPS, small_cost, small_cost(dense)).shrink(dense, rng) == dense
    shrunk = limited(OPS, small_cost, small_cost(dense) // 4).shrink(dense, rng)
    assert (shrunk.op("op0"), shrunk.op("op1")) == ("dense", "dense")
    assert all(shrunk.width(f"w{i}") < 64 for i in range(2))
    only = limited(OPS, small_cost, floor(OPS, small_cost)[1])
    assert only.shrink(dense, rng) == only.smallest
