"""Spaces with too many layers to time all: what is timed, and what is interpolated between."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import tracednets
from torch import Tensor, nn

from gancompress.archs.arch import SearchSpace
from gancompress.archs.slots import Value
from gancompress.latency import sampled, timing
from gancompress.latency.layers import layers_of, signatures
from gancompress.latency.sampled import SampledLayers, interpolated, sampled_layers_of
from gancompress.nets.families.traced import TracedGenerator

SHAPE = (3, 16, 16)


class Dense(nn.Module):
    """A dense block: the last two layers depend on all widths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.one, self.two = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(24, 8, 3, padding=1)
        self.last = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        seen = [torch.relu(self.stem(x))]
        for conv in (self.one, self.two):
            seen.append(torch.relu(conv(torch.cat(seen, 1))))
        out: Tensor = self.last(torch.cat(seen, 1))
        return out


@pytest.fixture(scope="module")
def family() -> TracedGenerator:
    return tracednets.imported(tracednets.seeded(Dense())).family


@pytest.fixture(scope="module")
def space(family: TracedGenerator) -> SearchSpace:
    widths = {slot: list(range(1, 9)) for slot in family.width_slots}
    return family.space(widths, ["dense"])


def layout_of(family: TracedGenerator, space: SearchSpace) -> SampledLayers:
    return sampled_layers_of(family.build, space, family.parts(), SHAPE)


def made_up(layout: SampledLayers | object, family: TracedGenerator) -> dict[str, float]:
    """The elements that a layer's first call makes and takes, as its ms."""
    found = {}
    for config in layout.configs:  # type: ignore[attr-defined]
        with torch.device("meta"):
            net = family.build(config.arch)
        sizes: list[float] = []

        def note(
            module: nn.Module, args: tuple[Tensor, ...], out: Tensor, sizes: list[float] = sizes
        ) -> None:
            sizes.append(sum(x.shape[1] for x in (*args, out)))

        net.get_submodule(config.part).register_forward_hook(note)
        with torch.no_grad():
            net(torch.empty(1, *SHAPE, device="meta"))
        found[config.key] = sizes[0]
    return found


def test_few_forms_are_all_timed_and_give_what_an_exact_layout_gives(
    family: TracedGenerator, space: SearchSpace
) -> None:
    few = family.space({slot: [8, 5, 2] for slot in family.width_slots}, ["dense"])
    layout, exact = layout_of(family, few), layers_of(family.build, few, family.parts(), SHAPE)
    assert {c.key for c in layout.configs} <= {c.key for c in exact.configs}
    times, wanted = layout.times(made_up(layout, family)), exact.times(made_up(exact, family))
    for arch in [few.largest, few.smallest, few.sample(np.random.default_rng(0))]:
        sums = [
            sum(ms[tuple(arch[slot] for slot in part.slots)] for part, ms in one.items())
            for one in (times, wanted)
        ]
        assert sums[0] == pytest.approx(sums[1])


def test_of_many_forms_some_are_timed_and_the_others_lie_between(
    family: TracedGenerator, space: SearchSpace
) -> None:
    layout, exact = layout_of(family, space), layers_of(family.build, space, family.parts(), SHAPE)
    assert len(layout.configs) < 0.5 * len(exact.configs)
    image, names = torch.empty(1, *SHAPE, device="meta"), [part.name for part in layout.parts]
    for config in layout.configs[::17]:
        with torch.device("meta"):
            net = family.build(config.arch)
        assert signatures(net, names, image)[config.part][config.call] == config.key
    times, wanted = layout.times(made_up(layout, family)), exact.times(made_up(exact, family))
    random = np.random.default_rng(1)
    for arch in [space.largest, space.smallest, *(space.sample(random) for _ in range(20))]:
        ours, theirs = (
            sum(ms[tuple(arch[slot] for slot in part.slots)] for part, ms in one.items())
            for one in (times, wanted)
        )
        assert ours == pytest.approx(theirs, rel=0.03)


def test_the_table_has_one_part_for_all_that_depend_on_the_same_slots(
    family: TracedGenerator, space: SearchSpace
) -> None:
    times = layout_of(family, space).times(made_up(layout_of(family, space), family))
    slots = [part.slots for part in times]
    assert len(slots) == len(set(slots)) < len(family.parts())
    choices = dict(space.choices)
    for part, ms in times.items():
        assert set(ms) == set(itertools.product(*(choices[slot] for slot in part.slots)))
        assert min(ms.values()) >= 0


def test_products_of_powers_are_interpolated_exactly() -> None:
    def ms(a: int, b: int) -> float:
        return 0.25 * a**1.5 * b**0.5

    known: dict[tuple[Value, ...], float] = {
        (a, b, op): ms(a, b) * (2 if op == "dense" else 1)
        for a, b in itertools.product((1, 4, 9), (2, 3, 8)) for op in ("dense", "separable")
    }  # fmt: skip
    for op, factor in (("dense", 2), ("separable", 1)):
        found = interpolated(known, [(5, 5, op)])
        assert found == {(5, 5, op): pytest.approx(factor * ms(5, 5))}


def test_what_is_timed_stays_as_it_was_and_its_neighbours_follow_it() -> None:
    known = {(i,): float(i) for i in range(1, 20)} | {(10,): 20.0}
    del known[11,]
    found = interpolated(known, [(10,), (11,)])
    assert found[10,] == pytest.approx(20.0, rel=1e-3)
    assert 11.0 < found[11,] < 20.0
    assert interpolated({(2,): 3.0}, [(4,)])[4,] > 0  # from one alone
    assert interpolated({(2,): 0.0, (4,): 0.0}, [(3,)])[3,] < 1e-3  # of what is left out
    assert interpolated({(2, "dense"): 1.0}, [(3, "separable")]) == {}


def test_the_largest_and_the_smallest_of_a_large_kind_are_timed() -> None:
    alike = [("cat", (a, b)) for a, b in itertools.product(range(1, 21), range(1, 21))]
    found = sampled._wanted([*alike, ("conv", (1, 2))], np.random.default_rng(0))
    assert len(found) == sampled.SOME + 1
    assert {("cat", (1, 1)), ("cat", (20, 20)), ("conv", (1, 2))} <= found.keys()


def test_a_layer_of_too_many_forms_is_refused(
    monkeypatch: pytest.MonkeyPatch, family: TracedGenerator, space: SearchSpace, tmp_path: Path
) -> None:
    class Project:
        name, cost_note, input_shape = "toy", "", SHAPE

    project = Project()
    project.space, project.family, project.parts = space, family, family.parts()  # type: ignore[attr-defined]
    monkeypatch.setattr(timing, "MOST_LAYERS", 600)
    assert isinstance(timing._layout(project), SampledLayers)  # type: ignore[arg-type]
    monkeypatch.setattr(timing, "MOST_LAYERS", 511)
    with pytest.raises(Exception, match="toy: latency-table: some layer depends on so many .* 512"):
        timing._layout(project)  # type: ignore[arg-type]
