"""Costs as a polynomial of widths: equal to counted ones, and not claimed where they are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tracednets
from images import save_pairs

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import Bands
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.search.feasible import FeasibleSampler
from gancompress.search.limits import Constraint
from gancompress.stages.budgets import CostsOnDemand, costs_of, named
from gancompress.supernet.cost import Cost, CostModel
from gancompress.supernet.costlaw import cost_law

WIDTHS = (12, 8, 5, 3)


def counts(cost: Cost) -> tuple[int, ...]:
    return cost.params, cost.macs_true, cost.macs_published, cost.macs_published_norm


@pytest.mark.parametrize("name", ["resnet", "unet", "srresnet", "traced"])
def test_it_tells_what_is_counted(name: str) -> None:
    if name == "traced":
        family = tracednets.imported(tracednets.seeded(tracednets.Enlarging(8, 6))).family
        kept = {f"{stage}.depth": ("3",) for stage in family.depths}
        full = {slot: family.full_width(slot) for slot in family.width_slots}
        choices = {s: tuple(w for w in (8, 5, 4, 2, 1) if w <= most) for s, most in full.items()}
        fixed = {slot: (value,) for slot, value in family.traced_arch.slots if "width" not in slot}
        space = SearchSpace.of("traced", {**choices, **fixed, **kept})
        side = 16
    else:
        family, side = family_of(name), 256 if name == "unet" else 32
        space = family.space(WIDTHS, ["dense"])
    model = CostModel(family.build, family.parts(), (3, side, side), family.sketch)
    law = cost_law(model, space)
    assert law is not None and len(law.slots) > 1
    random = np.random.default_rng(1)
    for arch in [space.largest, space.smallest, *(space.sample(random) for _ in range(12))]:
        assert counts(law(arch)) == counts(model(arch))


def test_two_widths_a_slot_or_one_are_enough() -> None:
    space = SearchSpace.of("toy", {"a.width": (4, 2), "b.width": (3,), "c.width": (9, 5, 1)})

    def costs(arch: Arch) -> Cost:
        a, b, c = (int(arch[f"{name}.width"]) for name in "abc")
        return Cost(a * c + b, 7 * a * a + c * c, a * b * c, 1)

    law = cost_law(costs, space)
    assert law is not None and law.slots == ("a.width", "c.width")
    random = np.random.default_rng(0)
    assert all(law(arch) == costs(arch) for arch in (space.sample(random) for _ in range(20)))


def test_other_laws_and_other_choices_are_not_claimed() -> None:
    space = SearchSpace.of("toy", {"a.width": (9, 6, 4, 2), "b.width": (5, 3, 2)})
    cubic = cost_law(lambda arch: Cost(int(arch["a.width"]) ** 3), space)
    stepped = cost_law(lambda arch: Cost(-(-int(arch["a.width"]) // 4)), space)
    assert cubic is None and stepped is None
    assert (
        cost_law(lambda arch: Cost(1), family_of("resnet").space([4, 2], ["dense", "separable"]))
        is None
    )


def test_widths_that_a_split_does_not_admit_are_left_alone() -> None:
    family = family_of("resnet")
    space = family.space((32, 24, 17, 16), ["dense"], [Bands(0.125, 0.0)])
    slots = [slot for slot, values in space.choices if 17 in values]
    assert any(17 not in space.fitting(slot, space.smallest.values) for slot in slots)
    model = CostModel(family.build, family.parts(), (3, 32, 32), family.sketch)
    law, random = cost_law(model, space), np.random.default_rng(1)
    archs = [space.sample(random) for _ in range(12)]
    assert law is None or all(counts(law(arch)) == counts(model(arch)) for arch in archs)


def test_what_is_not_known_is_asked_for_once() -> None:
    asked = []

    def ask() -> dict[str, float]:
        asked.append(1)
        return {"macs": 3.0, "activation_bytes": 5.0}

    costs = CostsOnDemand({"macs": 3.0}, ask)
    assert costs["macs"] == 3 and not asked
    assert costs["activation_bytes"] == 5 and dict(costs) == {"macs": 3, "activation_bytes": 5}
    assert len(asked) == 1
    with pytest.raises(AssertionError, match="a proven law"):
        CostsOnDemand({"macs": 4.0}, ask)["activation_bytes"]


def test_samplers_draw_the_same_archs_by_it(tmp_path: Path) -> None:
    save_pairs(tmp_path / "data", 8, 32, 32)
    project = Project(load_recipe("edges2shoes", [
        f"data={{name: pairs, folder: {tmp_path}/data, load_size: 32, crop_size: 32}}",
        "teacher.width=16", f"space={{widths: {list(WIDTHS)}}}", "family.blocks=2",
        f"run={tmp_path}/run", "device=cpu",
    ]))  # fmt: skip
    assert project.cost_law is not None
    section = project.recipe.search

    def counted(arch: Arch) -> dict[str, float]:
        return named(project.cost_model(arch), section.convention)

    most = counted(project.space.largest)["macs"] / 4
    limits = (Constraint("macs", most, "MACs", "search.reduction"),)
    samplers = [
        FeasibleSampler(project.space, costs, limits, list_up_to=0)
        for costs in (counted, costs_of(project))
    ]
    one, other = ([s.draw(np.random.default_rng(i)) for i in range(6)] for s in samplers)
    assert one == other
