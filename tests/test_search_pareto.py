"""Dominance and crowding against their definitions, and the Pareto search against its rivals."""

import itertools
from typing import Any

import numpy as np
import pytest
from search_landscape import (
    RESNET,
    TENTH_PERCENT,
    WIDTHS,
    Landscape,
    closed_form,
    limited,
    resnet_macs,
)

from gancompress.archs.arch import Arch
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint
from gancompress.search.pareto import Pareto, by_dominance, crowding, fronts
from gancompress.search.samplers import Evolution, Random, Sampler

SHARES = (0.01, 0.1, 0.5)


def dominates(one: Any, other: Any) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_fronts_equal_peeling_by_the_definition(objectives: int) -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 7, 40):
        values = rng.integers(6, size=(count, objectives)).astype(float)  # with ties and equals
        left, wanted = set(range(count)), np.full(count, -1)
        for rank in itertools.count():
            best = [i for i in left if not any(dominates(values[j], values[i]) for j in left)]
            wanted[best] = rank
            left -= set(best)
            if not left:
                break
        assert fronts(values).tolist() == wanted.tolist()


def test_crowding_is_the_room_between_neighbours() -> None:
    values = np.array([[0.0, 10.0], [1.0, 6.0], [3.0, 5.0], [4.0, 0.0], [9.0, 9.0]])
    front = fronts(values)
    assert front.tolist() == [0, 0, 0, 0, 1]
    room = crowding(values, front)
    # (3 - 0) / 4 + (10 - 5) / 10, and (4 - 1) / 4 + (6 - 0) / 10
    assert room.tolist() == [np.inf, pytest.approx(1.25), pytest.approx(1.35), np.inf, np.inf]
    assert crowding(np.ones((3, 2)), np.zeros(3, dtype=int)).max() == np.inf  # all alike: no 0 / 0


def test_order_by_dominance_is_front_then_room_then_key() -> None:
    archs = [RESNET.smallest.replace({"c0": width}) for width in WIDTHS[:6]]
    figures = [(1.0, 6.0), (0.0, 10.0), (3.0, 5.0), (4.0, 0.0), (9.0, 9.0), (4.0, 0.0)]
    history = list(zip(archs, figures, strict=True))
    order = by_dominance(history)
    assert order[-1] == 4 and set(order[:2]) <= {1, 3, 5}
    assert order == by_dominance(history)
    places = np.random.default_rng(0).permutation(6)
    shuffled = by_dominance([history[i] for i in places])
    assert [archs[i] for i in order] == [archs[places[i]] for i in shuffled]
    assert by_dominance([]) == []


def run(sampler: Sampler, score: Any, seed: int, candidates: int) -> list[Any]:
    history: list[tuple[Arch, tuple[float, ...]]] = []
    while len(history) < candidates:
        arch = sampler.propose(np.random.default_rng([seed, len(history)]), history)
        assert arch is not None
        history.append((arch, score(arch)))
    return history


def area(history: list[Any], most: float) -> float:
    """Of the score below 0 and the cost below `most`, what the archs of `history` dominate."""
    found, last = 0.0, most
    for _, (_, cost) in sorted(history, key=lambda one: (-one[1][1], one[1][0])):
        below = min([s for _, (s, c) in history if c <= cost] + [0.0])
        found += (last - cost) * -below
        last = cost
    return found


def budgets() -> list[int]:
    axes = np.meshgrid(*[np.array(WIDTHS)] * 8, indexing="ij", sparse=True)
    macs = np.sort(closed_form(axes).ravel())
    return [int(macs[int(share * macs.size) - 1]) for share in SHARES]


def test_area_of_two_archs() -> None:
    # by hand: 10 wide by 1 deep, and of that 4 wide another 2 deep
    assert area([(None, (-1.0, 10.0)), (None, (-3.0, 16.0))], 20.0) == 10 * 1 + 4 * 2


def score_and_macs(score: Landscape) -> Any:
    return lambda arch: (score(arch), float(resnet_macs(arch)))


def test_pareto_beats_random_and_equals_a_search_for_each_budget() -> None:
    """At 240 archs, against 240 at random and three evolutions of 80.

    Measured over 24 landscapes: 0.07 and 0.02 worse and as good under the three budgets, in
    standard deviations of the space's scores; random is 0.9, 0.4 and 0.2 worse.
    """
    feasible = [limited(RESNET, resnet_macs, most, list_up_to=0) for most in budgets()]
    most = feasible[-1].limits[0].most
    gains, areas = [], []
    for seed in range(10):
        both = score_and_macs(Landscape(seed, RESNET))
        rng = np.random.default_rng([99, seed])
        spread = np.std([both(feasible[-1].draw(rng))[0] for _ in range(200)])
        found = run(Pareto(feasible[-1], 20, 0.3), both, seed, 240)
        drawn = run(Random(feasible[-1]), both, seed, 240)
        areas.append(area(found, most) / area(drawn, most))
        row = []
        for one in feasible:
            rival = run(Evolution(one, 20, 0.3), both, seed, 80)
            best = min(s for _, (s, cost) in found if cost <= one.limits[0].most)
            row.append((min(s for _, (s, _) in rival) - best) / spread)
        gains.append(row)
    print("\ngain on evolution:", np.mean(gains, 0), "area over random's:", np.mean(areas))
    assert min(areas) > 1
    assert np.mean(areas) > 1.1
    assert (np.mean(gains, 0) > -0.25).all() and np.mean(gains) > -0.12


def test_cheap_end_is_not_left_to_chance() -> None:
    """24 archs: one at least keeps a budget that a thousandth of the space meets."""
    feasible = limited(RESNET, resnet_macs, budgets()[-1], list_up_to=0)
    found = 0
    for seed in range(20):
        history = run(Pareto(feasible, 8, 0.3), score_and_macs(Landscape(seed, RESNET)), seed, 24)
        found += min(cost for _, (_, cost) in history) <= TENTH_PERCENT
    assert found >= 14  # 18 as measured; 3 where all of the first archs are uniform


def test_second_objective_may_be_any_cost() -> None:
    """Children are held down in the cost that is minimised, whatever the limits are of."""

    def costs(arch: Arch) -> dict[str, float]:
        widths = sum(arch.width(slot) for slot, _ in arch.slots)
        return {"macs": resnet_macs(arch), "params": widths}

    limit = Constraint("macs", budgets()[1], "true MACs", "search.budget_macs")
    feasible = FeasibleSampler(RESNET, costs, [limit], list_up_to=0)

    def score(arch: Arch) -> tuple[float, float]:
        return -(costs(arch)["params"] ** 0.5), costs(arch)["params"]

    history = run(Pareto(feasible, 10, 0.3, "params"), score, 0, 40)
    assert all(feasible.fits(arch) for arch, _ in history)
    assert min(cost for _, (_, cost) in history) < 200  # of 128 to 512
