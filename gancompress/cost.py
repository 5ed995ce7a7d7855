"""What an arch costs, as a function of the arch alone: no weights, no data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from gancompress.arch import Arch, SearchSpace

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-accumulates and memory of one generator at one input size, batch 1.

    macs_true: multiply-accumulates really done. macs_published: a stride-s transposed convolution
    counted on its output grid, s^2 too high, as the GAN-compression literature prints.
    macs_published_norm: that, and one per normalised element (older torchprofile).
    activation_bytes: the largest working set of one layer, its inputs and outputs in float32.
    """

    params: int = 0
    macs_true: int = 0
    macs_published: int = 0
    macs_published_norm: int = 0
    activation_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        """The cost of both: counts add up, the largest working set is the larger one."""
        return Cost(
            self.params + other.params,
            self.macs_true + other.macs_true,
            self.macs_published + other.macs_published,
            self.macs_published_norm + other.macs_published_norm,
            max(self.activation_bytes, other.activation_bytes),
        )

    def macs(self, convention: str) -> int:
        """MACs by the recipe's `search.convention`, "true" or "published"."""
        return {"true": self.macs_true, "published": self.macs_published}[convention]


def layer_costs(net: nn.Module, *inputs: Tensor) -> dict[str, Cost]:
    """The cost of every module of `net` by name, counted while it runs on `inputs`.

    A module's own parameters count once, the work of a leaf every time that it runs.

    Meant for the meta device, where nothing is computed. Shapes of any layout, batch 1.
    """
    costs = {
        name: Cost(sum(p.numel() for p in module.parameters(recurse=False)))
        for name, module in net.named_modules()
    }
    hooks = [
        module.register_forward_hook(
            lambda m, i, o, name=name: costs.__setitem__(name, costs[name] + _leaf_cost(m, i, o))
        )
        for name, module in net.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad():
            net(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return costs


def _leaf_cost(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Cost:
    macs = published = normed = 0
    if isinstance(module, nn.ConvTranspose2d):
        per_position = module.weight.numel() // module.in_channels  # k^2 * Cout / groups
        macs = per_position * inputs[0].numel()
        published = per_position * module.in_channels * output[0, 0].numel() * len(output)
    elif isinstance(module, nn.Conv2d):
        macs = published = module.weight.numel() // module.out_channels * output.numel()
    elif isinstance(module, nn.Linear):
        macs = published = module.in_features * output.numel()
    elif isinstance(module, _BatchNorm | _InstanceNorm):
        normed = output.numel()
    held = output.numel() + sum(x.numel() for x in inputs)
    return Cost(0, macs, published, published + normed, FLOAT_BYTES * held)


def network_cost(net: nn.Module, *inputs: Tensor) -> Cost:
    """The cost of a whole network; see `layer_costs`."""
    return sum(layer_costs(net, *inputs).values(), Cost())


class CostModel:
    """Costs of the archs of one space at one input size; exact, and thousands a second once warm.

    A layer depends on few slots (a convolution on those at its two ends), so its cost is kept per
    combination of their values. Which slots those are is discovered, not declared: one slot at a
    time is changed from every corner of the space, and the layers whose cost moved depend on it.

    build: arch -> network; input_shape (C, H, W).
    """

    def __init__(
        self,
        build: Callable[[Arch], nn.Module],
        space: SearchSpace,
        input_shape: tuple[int, int, int],
    ) -> None:
        self._build = build
        self._input_shape = input_shape
        self._groups = self._discover(space)
        self._terms: list[dict[tuple[int | str, ...], Cost]] = [{} for _ in self._groups]

    def measure(self, arch: Arch) -> dict[str, Cost]:
        """The cost of every layer of one arch, by running it on the meta device."""
        with torch.device("meta"):
            net = self._build(arch)
        # Outside of the block, whose checks of every call take longer than the calls.
        return layer_costs(net, torch.empty(1, *self._input_shape, device="meta"))

    def __call__(self, arch: Arch) -> Cost:
        keys = [tuple(arch[slot] for slot in slots) for slots, _ in self._groups]
        if any(key not in terms for key, terms in zip(keys, self._terms, strict=True)):
            layers = self.measure(arch)
            for (_, names), key, terms in zip(self._groups, keys, self._terms, strict=True):
                terms[key] = sum((layers[n] for n in names if n in layers), Cost())
        return sum((t[k] for k, t in zip(keys, self._terms, strict=True)), Cost())

    def _discover(self, space: SearchSpace) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Groups of layers that depend on the same slots: (slots, names of the layers)."""
        depends: dict[str, set[str]] = {}
        for corner in space.corners():
            widths = {s: v for s, v in space.choices if isinstance(v[0], int)}
            for end, other_end in ((max, min), (min, max)):
                start = corner.replace({s: end(v) for s, v in widths.items()})
                base = self.measure(start)
                for name in base:
                    depends.setdefault(name, set())
                for slot, values in space.choices:
                    others = [v for v in values if v != start[slot]]
                    if not others:
                        continue
                    other = other_end(others) if slot in widths else others[0]
                    for name in _changed(base, self.measure(start.replace({slot: other}))):
                        depends.setdefault(name, set()).add(slot)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, slots in depends.items():
            ordered = tuple(slot for slot, _ in space.choices if slot in slots)
            groups.setdefault(ordered, []).append(name)
        return [(slots, tuple(names)) for slots, names in groups.items()]


def _changed(one: dict[str, Cost], other: dict[str, Cost]) -> Iterable[str]:
    return (n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
