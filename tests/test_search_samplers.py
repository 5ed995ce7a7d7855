from typing import Any

import numpy as np
import pytest
from search_landscape import (
    RESNET,
    Landscape,
    budget_of_share,
    limited,
    resnet_macs,
    small_cost,
    small_space,
)

from gancompress.archs.arch import Arch
from gancompress.search.samplers import (
    SAMPLERS,
    Evolution,
    Random,
    Sampler,
    by_score,
    make_sampler,
)

SPACE = small_space(op=("dense", "separable"))
FEASIBLE = limited(SPACE, small_cost, budget_of_share(SPACE, 0.2))  # 50 archs
TEN_PERCENT = 2_822_111_232  # true MACs that 10 % of RESNET meet

History = list[tuple[Arch, tuple[float, ...]]]
EVERY = [(name, surrogate) for name in SAMPLERS for surrogate in (False, True)]
every_sampler = pytest.mark.parametrize(
    ("name", "surrogate"), EVERY, ids=[n + ("-surrogate" if s else "") for n, s in EVERY]
)


def run(
    sampler: Sampler, score: Landscape, seed: int, candidates: int, macs: Any = None
) -> History:
    """A search; with `macs`, these are minimised beside the score."""
    history: History = []
    while len(history) < candidates:
        arch = sampler.propose(np.random.default_rng([seed, len(history)]), history)
        if arch is None:
            break
        history.append((arch, (score(arch),) if macs is None else (score(arch), macs(arch))))
    return history


def macs_for(name: str, macs: Any) -> Any:
    return macs if name == "pareto" else None


def test_there_are_three_samplers() -> None:
    assert list(SAMPLERS) == ["random", "evolution", "pareto"]


@every_sampler
def test_small_space_is_measured_whole_once_and_then_none(name: str, surrogate: bool) -> None:
    sampler = make_sampler(name, FEASIBLE, 8, 0.3, surrogate)
    history = run(sampler, Landscape(0, SPACE), 0, 1000, macs_for(name, small_cost))
    assert len(history) == FEASIBLE.count == 50
    assert {arch for arch, _ in history} == set(FEASIBLE.all())
    assert sampler.propose(np.random.default_rng(0), history) is None


@every_sampler
def test_pending_archs_are_not_proposed(name: str, surrogate: bool) -> None:
    sampler = make_sampler(name, FEASIBLE, 8, 0.3, surrogate)
    archs = list(FEASIBLE.all())
    history = [(arch, (float(i), small_cost(arch))) for i, arch in enumerate(archs[:30])]
    if name != "pareto":
        history = [(arch, figures[:1]) for arch, figures in history]
    for seed in range(20):
        arch = sampler.propose(np.random.default_rng(seed), history, pending=archs[30:-1])
        assert arch == archs[-1]
    assert sampler.propose(np.random.default_rng(0), history, pending=archs[30:]) is None


@every_sampler
def test_proposal_depends_on_its_arguments_alone(name: str, surrogate: bool) -> None:
    score = Landscape(0, SPACE)
    used = make_sampler(name, FEASIBLE, 8, 0.3, surrogate)
    history = run(used, score, 3, 30, macs_for(name, small_cost))
    for count in (0, 7, 8, 29):
        fresh = make_sampler(name, FEASIBLE, 8, 0.3, surrogate)
        rng = np.random.default_rng([3, count])
        assert fresh.propose(rng, history[:count]) == history[count][0]


@every_sampler
def test_all_proposals_fit(name: str, surrogate: bool) -> None:
    feasible = limited(RESNET, resnet_macs, TEN_PERCENT)
    sampler = make_sampler(name, feasible, 10, 0.3, surrogate)
    history = run(sampler, Landscape(0, RESNET), 0, 60, macs_for(name, resnet_macs))
    assert len({arch for arch, _ in history}) == 60
    assert all(resnet_macs(arch) <= TEN_PERCENT and arch in RESNET for arch, _ in history)


def test_evolution_starts_as_random_does() -> None:
    score = Landscape(0, RESNET)
    feasible = limited(RESNET, resnet_macs, TEN_PERCENT)
    evolved = run(Evolution(feasible, population=15, mutation=0.3), score, 1, 20)
    drawn = run(Random(feasible), score, 1, 20)
    assert evolved[:15] == drawn[:15]
    assert evolved[15:] != drawn[15:]


def test_crossovers_take_every_slot_from_the_best_of_all_measured() -> None:
    feasible = limited(RESNET, resnet_macs, 10**12)
    rng = np.random.default_rng(0)
    history = [(feasible.draw(rng), (float(i),)) for i in range(40)]  # the first two are the best
    # mutation 0 gives back the parent, which was measured: what is left are crossovers
    sampler = Evolution(feasible, population=8, mutation=0.0)
    one, other = history[0][0], history[1][0]
    for seed in range(20):
        child = sampler.propose(np.random.default_rng(seed), history)
        assert child is not None and child not in (one, other)
        assert all(child[slot] in (one[slot], other[slot]) for slot, _ in child.slots)


def test_newest_child_is_a_parent_at_once() -> None:
    feasible = limited(RESNET, resnet_macs, 10**12)
    smallest = RESNET.smallest
    history = [(smallest.replace({"c0": w}), (1.0,)) for w in (24, 32, 40, 48)]
    newest = smallest.replace({f"c{i}": 64 for i in range(1, 8)})
    sampler = Evolution(feasible, population=4, mutation=0.0)
    children = [
        sampler.propose(np.random.default_rng(seed), [*history, (newest, (0.0,))])
        for seed in range(9)
    ]
    assert all(c is not None and any(c[f"c{i}"] == 64 for i in range(1, 8)) for c in children)


def test_evolution_beats_random_at_equal_evaluations() -> None:
    feasible = limited(RESNET, resnet_macs, TEN_PERCENT)
    gains = []
    for seed in range(8):
        score = Landscape(seed, RESNET)
        rng = np.random.default_rng([99, seed])
        spread = np.std([score(feasible.draw(rng)) for _ in range(200)])
        drawn = run(Random(feasible), score, seed, 120)
        evolved = run(Evolution(feasible, population=20, mutation=0.3), score, seed, 120)
        gains.append((min(s for _, (s,) in drawn) - min(s for _, (s,) in evolved)) / spread)
    print("\ngain of evolution in standard deviations of the space:", np.round(gains, 2))
    assert np.mean(gains) > 0.2
    assert sum(gain >= 0 for gain in gains) >= 7


def test_order_by_score_is_best_first_then_cheapest_then_by_key() -> None:
    archs = [SPACE.smallest.replace({"w0": width}) for width in (64, 48, 32, 24)]
    history = [
        (archs[0], (2.0, 1.0)), (archs[1], (1.0, 9.0)), (archs[2], (1.0, 3.0)),
        (archs[3], (1.0, 3.0)),
    ]  # fmt: skip
    assert archs[3].key < archs[2].key
    assert by_score(history) == [3, 2, 1, 0]
    sampler = make_sampler("evolution", FEASIBLE, 8, 0.3)
    assert sampler.order(history) == make_sampler("random", FEASIBLE, 8, 0.3).order(history)
    assert sampler.order(history) == [3, 2, 1, 0] and sampler.order([]) == []
