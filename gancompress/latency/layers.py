"""The layer configurations of a search space: each different computation, and who runs it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.archs.slots import Counts, Value
from gancompress.bars import progress
from gancompress.latency.table import Values, part_times
from gancompress.nets.families.family import Part

Build = Callable[[Arch], nn.Module]


@dataclass(frozen=True)
class LayerConfig:
    """One call of a part, whatever the network around it: `call` of `part` in the network of `arch`
    is an example. Equal keys: the same modules on the same shapes."""

    key: str
    arch: Arch
    part: str
    call: int


@dataclass(frozen=True)
class SpaceLayers:
    """What the networks of a space consist of.

    keys: of each part, by the values of its slots, the configurations that it runs then.
    """

    configs: tuple[LayerConfig, ...]
    parts: tuple[Part, ...]
    keys: Mapping[str, Mapping[tuple[Value, ...], tuple[str, ...]]]

    def times(self, layers_ms: Mapping[str, float]) -> dict[Part, dict[Values, float]]:
        """The ms of each part by the values of its slots; they never fall when a width grows."""
        return {part: part_times(self.keys[part.name], layers_ms) for part in self.parts}


def layers_of(
    build: Build, space: SearchSpace, parts: Sequence[Part], input_shape: tuple[int, int, int]
) -> SpaceLayers:
    """Every configuration of the space, found by running networks on the meta device.

    input_shape: (C, H, W).
    """
    random = np.random.default_rng(0)
    image = torch.empty(1, *input_shape, device="meta")
    names = [part.name for part in parts]
    configs: dict[str, LayerConfig] = {}
    keys: dict[str, dict[tuple[Value, ...], tuple[str, ...]]] = {name: {} for name in names}
    choices = dict(space.choices)
    total = sum(math.prod(len(choices[slot]) for slot in part.slots) for part in parts)
    with progress(total=total, desc="layers", unit="", leave=False) as bar:
        for part in parts:
            for values in itertools.product(*(choices[slot] for slot in part.slots)):
                bar.update()
                fixed = dict(zip(part.slots, values, strict=True))
                arch = None if values in keys[part.name] else arch_with(space, fixed, random)
                if arch is None:  # known already, or ruled out
                    continue
                with torch.device("meta"):
                    net = build(arch)
                called = signatures(net, names, image)
                for other in parts:
                    found = called[other.name]
                    keys[other.name][tuple(arch[slot] for slot in other.slots)] = found
                    for call, key in enumerate(found):
                        configs.setdefault(key, LayerConfig(key, arch, other.name, call))
    return SpaceLayers(tuple(configs.values()), tuple(parts), keys)


def arch_with(
    space: SearchSpace, fixed: Mapping[str, Value], random: np.random.Generator
) -> Arch | None:
    """An arch of the space with these values, uniform among those; None if the rules admit none."""
    choices = {slot: (fixed[slot],) if slot in fixed else v for slot, v in space.choices}
    rules = {slot: [rule for rule in space.rules if slot in rule.slots] for slot in choices}
    counts = Counts(choices, rules)
    return Arch.of(space.family, counts.draw(random)) if counts.total else None


def signatures(net: nn.Module, parts: Iterable[str], *inputs: Tensor) -> dict[str, tuple[str, ...]]:
    """Of each part, a key for every time that it is called: equal keys, equal computations.

    A key is made of all modules in the part that are called, each with its settings and the shapes
    that it takes and gives.
    """
    found: dict[str, tuple[str, ...]] = dict.fromkeys(parts, ())
    lines: dict[str, list[str]] = {part: [] for part in found}

    def note(part: str, inner: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        shapes = [list(x.shape) for x in tensors_of([args, kwargs])]
        made = [list(x.shape) for x in tensors_of(output)]
        lines[part].append(f"{inner} {_settings(module)} {shapes} {made}")
        if not inner:  # the part itself, whose modules have all been called
            digest = hashlib.sha256("\n".join(lines[part]).encode()).hexdigest()
            found[part] = (*found[part], digest[:16])
            lines[part].clear()

    for part in found:
        for inner, module in net.get_submodule(part).named_modules():
            module.register_forward_hook(partial(note, part, inner), with_kwargs=True)
    with torch.no_grad():
        net(*inputs)
    return found


def _settings(module: nn.Module) -> str:
    """What a module is beside its weights: its class, how it prints itself, its plain values."""
    plain = {k: v for k, v in vars(module).items() if isinstance(v, bool | int | float | str)}
    plain.pop("training", None)
    return f"{type(module).__module__}.{type(module).__qualname__} {module.extra_repr()} {plain}"


def tensors_of(given: Any) -> Iterator[Tensor]:
    """All tensors in it, however deep in lists, tuples and dictionaries, in their order."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for one in given:
            yield from tensors_of(one)
    elif isinstance(given, dict):
        yield from tensors_of(list(given.values()))
