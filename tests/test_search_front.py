import json

import numpy as np
import pytest
from search_landscape import RESNET

from gancompress.arch import Arch
from gancompress.search.front import best_of, front, front_json
from gancompress.search.study import Measured


def some_measured(seed: int, count: int = 60) -> list[Measured]:
    """Coarse figures, so that there are ties in MACs, in score and in both."""
    rng = np.random.default_rng(seed)
    return [
        Measured(
            RESNET.sample(rng), int(rng.integers(1, 12)) * 100, {"fd": float(rng.integers(12))}
        )
        for _ in range(count)
    ]


def beats(a: Measured, b: Measured, sign: int) -> bool:
    one, other = (a.macs, sign * a.scores["fd"]), (b.macs, sign * b.scores["fd"])
    return one[0] <= other[0] and one[1] <= other[1] and one != other


@pytest.mark.parametrize(("better", "sign"), [("min", 1), ("max", -1)])
@pytest.mark.parametrize("seed", range(10))
def test_front_equals_brute_force(seed: int, better: str, sign: int) -> None:
    measured = some_measured(seed)
    expected = {a.arch for a in measured if not any(beats(b, a, sign) for b in measured)}
    found = front(measured, "fd", better)
    assert {one.arch for one in found} == expected
    assert [one.macs for one in found] == sorted(one.macs for one in found)


def test_front_holds_an_arch_once_and_may_be_empty() -> None:
    measured = some_measured(0)
    assert front(measured * 2, "fd", "min") == front(measured, "fd", "min")
    assert front([], "fd", "min") == []


def test_best_is_the_cheapest_of_equals() -> None:
    archs = [RESNET.smallest.replace({"c0": w}) for w in (24, 32, 40)]
    measured = [
        Measured(arch, macs, {"fd": 1.0}) for arch, macs in zip(archs, (9, 7, 8), strict=True)
    ]
    assert best_of(measured, "fd", "min").macs == best_of(measured, "fd", "max").macs == 7
    assert best_of([*measured, Measured(archs[0], 99, {"fd": 0.5})], "fd", "min").macs == 99


def test_json_is_the_same_bytes_in_whatever_order_the_trials_came() -> None:
    measured = some_measured(0)
    text = front_json(measured, objective="fd", better="min", about={"images": 500})
    shuffled = [measured[i] for i in np.random.default_rng(0).permutation(len(measured))]
    assert text == front_json(shuffled, objective="fd", better="min", about={"images": 500})


def test_json_rebuilds_every_arch_of_the_front() -> None:
    measured = some_measured(0)
    content = json.loads(front_json(measured, objective="fd", better="min", about={"images": 500}))
    assert (content["objective"], content["better"], content["images"]) == ("fd", "min", 500)
    archs = [Arch.from_json(json.dumps(point["arch"])) for point in content["points"]]
    expected = front(measured, "fd", "min")
    assert archs == [one.arch for one in expected]
    assert [p["scores"] for p in content["points"]] == [one.scores for one in expected]
    assert [p["macs"] for p in content["points"]] == [one.macs for one in expected]
