"""The feasible part of spaces with operators, splits and rules, against enumeration.

What only the slow tests prove: the same at the costs of StarGAN's form, whose norms weigh.
"""

import math
from collections import Counter
from functools import cache

import numpy as np
import pytest
from search_landscape import limited

import conformance
from gancompress.archs.arch import Arch, SearchSpace, Value
from gancompress.archs.slots import Rule
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.layers.features import ONE, Bands
from gancompress.search.extremes import floor
from gancompress.supernet.cost import CostModel

OPS = ("dense", "separable")


@cache
def model_of(family: ResNet) -> CostModel:
    """One for all tests: what it has measured stays as it is."""
    return CostModel(family.build, family.parts(), (3, 32, 32))


class Costs:
    """MACs of a family's archs at 32x32, and how often they were asked for."""

    def __init__(self, family: ResNet) -> None:
        self._model = model_of(family)
        self.calls = 0

    def __call__(self, arch: Arch) -> int:
        self.calls += 1
        return self._model(arch).macs_true


def resnet_of(name: str) -> ResNet:
    family = family_of(name, blocks=2)
    assert isinstance(family, ResNet)
    return family


def spaces() -> list[tuple[str, ResNet, SearchSpace]]:
    """Each of some hundred archs; widths that no split allows, and one that only splits allow."""
    found = []
    for name in conformance.THOROUGH:
        family = resnet_of(name)
        few = dict.fromkeys(family.width_slots, (16,))
        half, thirds, fifths, three = Bands(0.5), Bands(1 / 3), Bands(0.2), Bands(0.25, 0.25)
        found += [
            (f"{name}-ops", family, family.space(few | {"stem.width": (8, 16, 4)},
             dict.fromkeys(family.stages, OPS))),
            (f"{name}-bands", family, family.space(few | {"down.1.width": (16, 4, 2)}, ("dense",),
             {"body": (ONE, half, three), "down": (ONE, half), "up": (half, ONE)})),
            (f"{name}-dear-split", family, family.space(
             few | {"down.1.width": (12, 11), "stem.width": (17, 20), "up.1.width": (20, 17),
                    "body.0.width": (12,), "body.1.width": (12,)},
             {"body.0": OPS}, {"body": (ONE, thirds), "stem": (ONE, half), "up.1": (ONE, half)})),
            (f"{name}-crossed", family, family.space(
             few | {"down.1.width": (12, 10, 11), "body.0.width": (12,), "body.1.width": (10,)},
             {"body": OPS}, {"body.0": (thirds, ONE), "body.1": (fifths, ONE), "stem": (half, ONE)},
             )),
        ]  # fmt: skip
    return found


SPACES = spaces()
every_space = pytest.mark.parametrize(
    ("family", "space"),
    [
        pytest.param(*row, id=name, marks=() if name.startswith("resnet") else pytest.mark.slow)
        for name, *row in SPACES
    ],
)


@every_space
def test_floor_is_the_minimum_over_all_archs(family: ResNet, space: SearchSpace) -> None:
    cost = Costs(family)
    archs = list(space.all())
    assert len(archs) == space.size > 20
    least = min(map(cost, archs))
    arch, found = floor(space, cost)
    assert arch in space and found == cost(arch) == least


def random_space(rng: np.random.Generator) -> tuple[SearchSpace, dict[tuple[str, Value], float]]:
    """Stages with a width and a split that some widths exclude, and a price for every value."""
    choices: dict[str, tuple[Value, ...]] = {}
    rules = []
    for stage in range(int(rng.integers(1, 5))):
        widths = tuple(int(w) for w in rng.permutation(12)[: rng.integers(1, 5)] + 4)
        bands = ("none", "half", "quarter")[: rng.integers(1, 4)]
        legal = {(w, b) for w in widths for b in bands if b == "none" or rng.random() < 0.6}
        choices |= {f"{stage}.width": widths, f"{stage}.bands": bands}
        rules.append(Rule((f"{stage}.width", f"{stage}.bands"), frozenset(legal)))
    prices = {
        (s, v): 0.2 + rng.random() + (v == "none") for s, values in choices.items() for v in values
    }
    return SearchSpace.of("random", choices, rules), prices


def test_floor_is_the_minimum_where_each_stage_has_a_price_of_its_own() -> None:
    """Also where a wider arch is the cheaper one, as only it may be split."""
    rng = np.random.default_rng(0)
    wider = 0
    for _ in range(100):
        space, prices = random_space(rng)

        def cost(arch: Arch, prices: dict[tuple[str, Value], float] = prices) -> int:
            stages = [s.removesuffix(".width") for s in arch.values if s.endswith(".width")]
            each = [prices[f"{s}.bands", arch[f"{s}.bands"]] * arch.width(f"{s}.width") ** 2
                    for s in stages]  # fmt: skip
            return int(1000 * sum(each))

        arch, found = floor(space, cost)
        assert arch in space and found == min(map(cost, space.all()))
        wider += any(arch[s] != min(v) for s, v in space.choices if s.endswith("width"))  # type: ignore[type-var]
    assert wider > 10


def budget_of_share(space: SearchSpace, cost: Costs, share: float) -> int:
    costs = sorted(map(cost, space.all()))
    return costs[max(0, int(share * len(costs)) - 1)]


@every_space
@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_all_equals_enumeration(family: ResNet, space: SearchSpace, share: float) -> None:
    cost = Costs(family)
    budget = budget_of_share(space, cost, share)
    feasible = limited(space, cost, budget)
    listed = list(feasible.all())
    assert len(listed) == len(set(listed)) == feasible.count
    assert set(listed) == {arch for arch in space.all() if cost(arch) <= budget}


@every_space
@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("list_up_to", [10_000, 0], ids=["listed", "unlisted"])
def test_whatever_it_gives_is_legal_and_inside_the_budget(
    family: ResNet, space: SearchSpace, share: float, list_up_to: int
) -> None:
    cost = Costs(family)
    budget = budget_of_share(space, cost, share)
    feasible = limited(space, cost, budget, list_up_to=list_up_to)
    rng = np.random.default_rng(0)
    for _ in range(25):
        one, other = feasible.draw(rng), feasible.walk(rng, sweeps=2)
        anything = space.sample(rng)
        found = [
            one,
            other,
            feasible.walk(rng, sweeps=0),
            feasible.shrink(anything, rng),
            feasible.mutate(one, rng, 0.5),
            feasible.crossover(one, other, rng),
        ]
        for arch in found:
            assert arch in space and cost(arch) <= budget, arch.key
        if cost(anything) <= budget:
            assert found[3] == anything


@every_space
def test_listed_draws_are_uniform(family: ResNet, space: SearchSpace) -> None:
    cost = Costs(family)
    feasible = limited(space, cost, budget_of_share(space, cost, 0.3))
    archs = list(feasible.all())
    rng = np.random.default_rng(2)
    counts = Counter(feasible.draw(rng) for _ in range(50 * len(archs)))
    assert set(counts) <= set(archs)
    chi_square = sum((counts[arch] - 50) ** 2 / 50 for arch in archs)
    assert chi_square < len(archs) + 4 * math.sqrt(2 * len(archs))


def test_everything_in_every_stage_is_searched_with_a_bounded_number_of_costs() -> None:
    family = family_of("resnet", blocks=1)
    splits = {stage: (ONE, Bands(0.5), Bands(0.25, 0.25)) for stage in family.stages[:-1]}
    space = family.space((40, 32, 16, 8), dict.fromkeys(family.stages, OPS), splits)
    assert space.size > 10**7
    cost, rng = Costs(family), np.random.default_rng(0)
    _, least = floor(space, cost)
    assert cost.calls < 1000  # 190 as measured
    for budget in (least, 20 * least):
        cost.calls = 0
        feasible = limited(space, cost, budget)
        assert feasible.count is None
        arch = feasible.draw(rng)
        assert arch in space and cost(arch) <= budget
        assert feasible.fits(feasible.mutate(space.largest, rng, 0.3))
        assert cost.calls < 3000  # 850 as measured
