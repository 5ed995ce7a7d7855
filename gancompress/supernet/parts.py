"""Which slots the cost of each module of a network depends on, found by trying them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.families.family import Part
from gancompress.nets.families.own import children
from gancompress.supernet.cost import Cost, CostModel, Outcome, network_cost, part_outcomes
from gancompress.supernet.skeletons import without_values

Build = Callable[[Arch], nn.Module]

BASES = 6  # archs from which one slot after the other is changed
PROOFS = 12  # archs whose cost must come out right


def find_parts(
    build: Build, space: SearchSpace, input_shape: tuple[int, int, int]
) -> tuple[tuple[Part, ...], str]:
    """The children of the networks of `space`, each with the slots that its cost depends on.

    A slot matters to a module if changing it alone, from any of a few archs, changes what the
    module costs or makes. Then `CostModel` is held against whole networks; where it is wrong once,
    nothing is claimed to be known: (), with which it runs the whole network for every arch, and
    why.
    """
    random = np.random.default_rng(0)
    bases = [space.largest, space.smallest, *(space.sample(random) for _ in range(BASES - 2))]
    slots: dict[str, dict[str, None]] = {}
    for base in bases:
        before = _measured(build, base, input_shape)
        for name in before:
            slots.setdefault(name, {})
        for slot, arch in _neighbours(space, base):
            for name, outcome in _measured(build, arch, input_shape).items():
                if before.get(name) != outcome:
                    slots.setdefault(name, {})[slot] = None
    parts = tuple(Part(name, tuple(found)) for name, found in slots.items())
    model = CostModel(build, parts, input_shape)
    image = torch.empty(1, *input_shape, device="meta")
    for arch in [*bases, *(space.sample(random) for _ in range(PROOFS - BASES))]:
        with without_values():
            net = build(arch)
        try:
            found = model(arch)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            return (
                (),
                f"a child is called in a way of its own ({' '.join(str(error).split())[:100]})",
            )
        if other := _difference(found, network_cost(net, image)):
            return (), (
                f"{other} of arch {arch.compact} is not that of its children: what is between them "
                "depends on widths too, such as F.relu in place of nn.ReLU, a child that is called "
                "twice, or a container whose children are called one by one"
            )
    return parts, ""


def _difference(one: Cost, other: Cost) -> str:
    """The first count in which two costs differ; "" if they are equal."""
    pairs = zip(asdict(one).items(), asdict(other).values(), strict=True)
    return next((name for (name, mine), theirs in pairs if mine != theirs), "")


def _neighbours(space: SearchSpace, base: Arch) -> Iterator[tuple[str, Arch]]:
    """Archs that differ from `base` in one slot: with its first and its last other value."""
    for slot, values in space.choices:
        others = [value for value in values if value != base[slot]]
        for value in dict.fromkeys([*others[:1], *others[-1:]]):
            arch = base.replace({slot: value})
            if arch in space:
                yield slot, arch


def _measured(build: Build, arch: Arch, input_shape: tuple[int, int, int]) -> Mapping[str, Outcome]:
    """What every child of the network costs and makes."""
    with without_values():
        net = build(arch)
    names = list(children(net))
    found, _ = part_outcomes(
        net, torch.empty(1, *input_shape, device="meta"), names, {name: [] for name in names}
    )
    return found
