import numpy as np
import pytest
from search_landscape import RESNET

from gancompress.search.front import best_of, front
from gancompress.search.results import Measured


def some_measured(seed: int, count: int = 60) -> list[Measured]:
    """Coarse figures, so that there are ties in MACs, in score and in both."""
    rng = np.random.default_rng(seed)
    return [
        Measured(
            RESNET.sample(rng),
            {"macs": int(rng.integers(1, 12)) * 100, "latency_ms": float(rng.integers(12))},
            {"fd": float(rng.integers(12))},
        )
        for _ in range(count)
    ]


def beats(a: Measured, b: Measured, sign: int, cost: str) -> bool:
    one, other = ((m.costs[cost], sign * m.scores["fd"]) for m in (a, b))
    return one[0] <= other[0] and one[1] <= other[1] and one != other


@pytest.mark.parametrize(("better", "sign"), [("min", 1), ("max", -1)])
@pytest.mark.parametrize("cost", ["macs", "latency_ms"])
@pytest.mark.parametrize("seed", range(10))
def test_front_equals_brute_force(seed: int, better: str, sign: int, cost: str) -> None:
    measured = some_measured(seed)
    expected = {a.arch for a in measured if not any(beats(b, a, sign, cost) for b in measured)}
    found = front(measured, "fd", better, cost)
    assert {one.arch for one in found} == expected
    assert [one.costs[cost] for one in found] == sorted(one.costs[cost] for one in found)


def test_front_holds_an_arch_once_and_may_be_empty() -> None:
    measured = some_measured(0)
    assert front(measured * 2, "fd", "min") == front(measured, "fd", "min")
    assert front([], "fd", "min") == []


def test_best_is_the_cheapest_of_equals() -> None:
    archs = [RESNET.smallest.replace({"c0": w}) for w in (24, 32, 40)]
    measured = [
        Measured(arch, {"macs": macs}, {"fd": 1.0})
        for arch, macs in zip(archs, (9, 7, 8), strict=True)
    ]
    assert best_of(measured, "fd", "min") == best_of(measured, "fd", "max") == measured[1]
    dear = Measured(archs[0], {"macs": 99}, {"fd": 0.5})
    assert best_of([*measured, dear], "fd", "min") == dear


def test_the_front_is_the_same_in_whatever_order_the_trials_came() -> None:
    measured = some_measured(0)
    shuffled = [measured[i] for i in np.random.default_rng(0).permutation(len(measured))]
    assert front(measured, "fd", "min") == front(shuffled, "fd", "min")
