"""The layer configurations of a space: complete, each once, ruled-out combinations left out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from gancompress.archs.arch import Arch, Rule, SearchSpace
from gancompress.latency.layers import arch_with, layers_of, signatures, tensors_of
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import ONE, Bands

SHAPE = (3, 32, 32)


def test_layout_names_what_every_network_of_a_space_runs() -> None:
    """Bands, operators and rules: looked up for every arch, and read from its own network."""
    family = family_of("resnet", blocks=2)
    bands = {"body": [ONE, Bands(0.5)]}
    space = family.space([4, 2], {"body": ["dense", "separable"]}, bands)
    layout = layers_of(family.build, space, family.parts(), SHAPE)
    assert space.rules and space.size > 500
    random, image = np.random.default_rng(3), torch.empty(1, *SHAPE, device="meta")
    for arch in [space.largest, space.smallest, *(space.sample(random) for _ in range(30))]:
        with torch.device("meta"):
            net = family.build(arch)
        found = signatures(net, [part.name for part in layout.parts], image)
        for part in layout.parts:
            assert layout.keys[part.name][tuple(arch[s] for s in part.slots)] == found[part.name]


def test_layout_has_each_computation_once() -> None:
    """Of three widths: stem and head 3 each, the others 3 * 3, the nine blocks the same 9."""
    family = family_of("resnet", blocks=9)
    layout = layers_of(family.build, family.space([12, 8, 4], ()), family.parts(), SHAPE)
    assert len(layout.configs) == 3 + 9 + 9 + 9 + 9 + 9 + 3
    assert len({config.key for config in layout.configs}) == len(layout.configs)
    assert len(layout.keys["body.8"]) == 9
    blocks = [set(layout.keys[f"body.{i}"].values()) for i in range(9)]
    assert all(block == blocks[0] for block in blocks)


def test_layout_leaves_out_what_the_rules_forbid() -> None:
    family = family_of("resnet", blocks=1)
    space = family.space([16, 8], ["dense"], {"stem": [ONE, Bands(0.5)]})
    layout = layers_of(family.build, space, family.parts(), SHAPE)
    slots = next(part.slots for part in layout.parts if part.name == "stem")
    found = {dict(zip(slots, values, strict=True))["stem.width"] for values in layout.keys["stem"]
             if "0.5" in values}  # fmt: skip
    assert found == {16}  # of 8 channels half are 4: fewer than a band may have


def test_every_configuration_is_in_the_network_that_it_names() -> None:
    family = family_of("unet", levels=3, norm="instance")
    space = family.space([4, 2], ["dense", "separable"])
    layout = layers_of(family.build, space, family.parts(), SHAPE)
    image = torch.empty(1, *SHAPE, device="meta")
    for config in layout.configs[::7]:
        with torch.device("meta"):
            net = family.build(config.arch)
        assert signatures(net, [config.part], image)[config.part][config.call] == config.key
    known = {key for keys in layout.keys.values() for called in keys.values() for key in called}
    assert known == {config.key for config in layout.configs}


def test_layers_that_differ_in_a_plain_value_alone_are_two() -> None:
    class Leaky(nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.slope = slope

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.leaky_relu(x, self.slope)

    net = nn.Sequential(Leaky(0.1), Leaky(0.2), Leaky(0.1))
    found = signatures(net, ["0", "1", "2"], torch.empty(1, 2, device="meta"))
    assert found["0"] == found["2"] != found["1"]


def test_a_part_that_runs_twice_has_two_keys() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv(self.conv(x))
            return y

    with torch.device("meta"):
        net = Twice()
    first, second = signatures(net, ["conv"], torch.empty(1, *SHAPE, device="meta"))["conv"]
    assert first != second  # of another size


def test_arch_with_keeps_the_values_and_the_rules() -> None:
    rule = Rule(("a", "b"), frozenset({(1, "x"), (2, "x"), (2, "y")}))
    space = SearchSpace.of("f", {"a": (1, 2), "b": ("x", "y"), "c": (3, 4)}, [rule])
    random = np.random.default_rng(0)
    drawn = {arch_with(space, {"b": "y"}, random) for _ in range(20)}
    wanted = {Arch.of("f", {"a": 2, "b": "y", "c": c}) for c in (3, 4)}
    assert drawn == wanted
    assert arch_with(space, {"a": 1, "b": "y"}, random) is None


def test_tensors_of_finds_all_in_their_order() -> None:
    a, b, c = (torch.zeros(i) for i in range(3))
    assert [x.numel() for x in tensors_of([(a, {"k": [b, 3, None]}), c])] == [0, 1, 2]


def test_parts_that_take_two_inputs_are_signed_with_both() -> None:
    """SPADE's blocks take the labels too: as many combinations as two widths and operators give."""
    family = family_of("spade", in_channels=4)
    space = family.space([2, 1], {"up.3": ["dense", "separable"]})
    parts = family.parts()
    layout = layers_of(family.build, space, parts, (4, 32, 32))
    choices = dict(space.choices)
    for part in parts:
        assert len(layout.keys[part.name]) == math.prod(len(choices[s]) for s in part.slots)
