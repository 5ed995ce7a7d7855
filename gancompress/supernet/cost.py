"""What an arch costs, as a function of the arch alone: no weights, no data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from gancompress.archs.arch import Arch
from gancompress.archs.slots import Value
from gancompress.nets.families.family import Part
from gancompress.nets.layers.features import Features, bands_of, features_of
from gancompress.nets.traced.network import Operator
from gancompress.supernet.skeletons import ShapesAlone, without_values


@dataclass(frozen=True)
class Cost:
    """Parameters, multiply-accumulates and memory of one generator at one input size, batch 1.

    macs_true: multiply-accumulates really done. macs_published: a stride-s transposed convolution
    counted on its output grid, s^2 too high, as the GAN-compression literature prints.
    macs_published_norm: that, and one per normalised element (older torchprofile).
    activation_bytes: the largest working set of one layer in inference: its inputs and outputs
    and what the modules around it were given, such as the input of a residual block. saved_bytes:
    activations that autograd keeps for the backward pass in training. Both in float32, without
    parameters.
    """

    params: int = 0
    macs_true: int = 0
    macs_published: int = 0
    macs_published_norm: int = 0
    activation_bytes: int = 0
    saved_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        """The cost of both, see `total`."""
        return total([self, other])

    def macs(self, convention: str) -> int:
        """MACs by the recipe's `search.convention`, "true" or "published"."""
        return {"true": self.macs_true, "published": self.macs_published}[convention]


def total(costs: Sequence[Cost]) -> Cost:
    """The cost of all together: counts add up, the largest working set is the largest of theirs."""
    return Cost(
        sum([cost.params for cost in costs]),
        sum([cost.macs_true for cost in costs]),
        sum([cost.macs_published for cost in costs]),
        sum([cost.macs_published_norm for cost in costs]),
        max([cost.activation_bytes for cost in costs], default=0),
        sum([cost.saved_bytes for cost in costs]),
    )


def layer_costs(net: nn.Module, *inputs: Tensor) -> dict[str, Cost]:
    """The cost of every module of `net` by name, counted while it runs on `inputs`.

    A module's own parameters count once, the work of a leaf every time that it runs, and what is
    saved for the backward pass counts where it is saved first.

    Meant for the meta device, where nothing is computed; on any other it gives the same numbers.
    Shapes of any layout, batch 1.
    """
    return _counted(net, *inputs).costs


def network_cost(net: nn.Module, *inputs: Tensor) -> Cost:
    """The cost of a whole network; see `layer_costs`."""
    return total(list(layer_costs(net, *inputs).values()))


Made = list[tuple[torch.Size, bool]]


@dataclass(frozen=True)
class Outcome:
    """What a part costs, and of each band that it makes the shape and if it was saved already."""

    cost: Cost
    made: tuple[tuple[torch.Size, bool], ...]


class _Known(nn.Module):
    """In place of a part whose outcome is known: makes what it would make, without work.

    made: may be filled by a part that runs before.
    """

    def __init__(self, made: Sequence[tuple[torch.Size, bool]]) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Features, *more: Features) -> Features:
        like = bands_of(x)[0]
        empty = partial(torch.empty, dtype=like.dtype, device=like.device, requires_grad=True)
        return features_of([empty(shape) for shape, _ in self.made])


class _Count:
    """Collects the cost of each module while a network runs."""

    def __init__(self, net: nn.Module, made: Mapping[str, Made]) -> None:
        """made: lists that are filled with what the parts of these names make."""
        self.net = net
        self.costs = {
            name: Cost(sum(p.numel() for p in module.parameters(recurse=False)))
            for name, module in net.named_modules()
        }
        self.made = made
        # By storage: a tensor that is saved twice is kept once, the network's own are kept anyhow.
        own = itertools.chain(net.parameters(), net.buffers())
        self._saved = {tensor.untyped_storage()._cdata for tensor in own}
        self._inside: list[tuple[str, tuple[Any, ...]]] = []  # The block that runs, and its inputs.
        self._alive: list[Any] = []  # so that no storage takes the place of an earlier one

    @contextmanager
    def counting(self) -> Iterator[None]:
        hooks = []
        for name, module in self.net.named_modules():
            hooks.append(module.register_forward_pre_hook(self._enter(name)))
            hooks.append(module.register_forward_hook(self._leave))
        try:
            with saved_tensors_hooks(self._save, lambda tensor: tensor):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda module, inputs: self._inside.append((name, inputs))

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        held = {id(x): x.nbytes for _, given in self._inside for x in _tensors(given)}
        held |= {id(x): x.nbytes for x in _tensors([output])}
        name, _ = self._inside.pop()
        if isinstance(module, _Known):
            self._alive.append(output)
            ready = zip(bands_of(output), module.made, strict=True)
            self._saved |= {x.untyped_storage()._cdata for x, (_, saved) in ready if saved}
            return
        macs, published, normed = _work(module, inputs, output)
        self.costs[name] += Cost(0, macs, published, published + normed, sum(held.values()))
        if name in self.made:
            self.made[name][:] = [
                (x.shape, x.untyped_storage()._cdata in self._saved) for x in bands_of(output)
            ]

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._saved:
            self._saved.add(storage._cdata)
            self._alive.append(storage)
            self.costs[self._inside[-1][0]] += Cost(saved_bytes=storage.nbytes())
        return tensor


def _counted(
    net: nn.Module, *inputs: Tensor, made: Mapping[str, Made] = MappingProxyType({})
) -> _Count:
    count = _Count(net, made)
    with count.counting(), torch.enable_grad(), ShapesAlone():
        net(*inputs)
    return count


def part_outcomes(
    net: nn.Module, image: Tensor, parts: Sequence[str], made: Mapping[str, Made]
) -> tuple[dict[str, Outcome], Cost]:
    """The outcomes of the parts in `made`, and the cost of what is in none of `parts`.

    made: an empty list for each; they are filled while the network runs.
    """
    count = _counted(net, image, made=made)
    costs = dict.fromkeys(made, Cost())
    rest, known = Cost(), set(parts)
    for name, cost in count.costs.items():
        part = name  # The part that it is, or lies in.
        while part and part not in known:
            part = part.rpartition(".")[0]
        if part:
            costs[part] = costs.get(part, Cost()) + cost
        else:
            rest += cost
    return {name: Outcome(costs[name], tuple(made[name])) for name in made}, rest


def _tensors(given: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors in it, however deep in lists, tuples and dicts; what is none is passed over."""
    for one in given:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)
        elif isinstance(one, dict):
            yield from _tensors(one.values())


def _work(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> tuple[int, int, int]:
    """MACs of a leaf, the same as published, and elements that it normalises."""
    if isinstance(module, nn.ConvTranspose2d):
        per_position = module.weight.numel() // module.in_channels  # k^2 * Cout / groups
        published = per_position * module.in_channels * output[0, 0].numel() * len(output)
        return per_position * inputs[0].numel(), published, 0
    if isinstance(module, nn.Conv2d):
        macs = module.weight.numel() // module.out_channels * output.numel()
        return macs, macs, 0
    if isinstance(module, nn.Linear):
        return module.in_features * output.numel(), module.in_features * output.numel(), 0
    if isinstance(module, Operator):  # Traced generators have them where a weight is computed.
        return (*module.macs(inputs, output), 0)
    return 0, 0, output.numel() if isinstance(module, _BatchNorm | _InstanceNorm) else 0


Key = tuple[str, tuple[Value, ...]]  # the kind of a part, and the values of its slots


class CostModel:
    """Costs of the archs of one family at one input size; exact, and thousands a second once warm.

    A part of a network depends on few slots, as the family says: its cost is kept per combination
    of their values, and only where one is new that part of a network is run, on the meta device.

    build: arch -> network; parts: the family's, or none where nothing is known of it; input_shape
    (C, H, W); sketch: see `Family.sketch`, by default `build`.
    """

    def __init__(
        self,
        build: Callable[[Arch], nn.Module],
        parts: Sequence[Part],
        input_shape: tuple[int, int, int],
        sketch: Callable[[Arch, Collection[str]], nn.Module] | None = None,
    ) -> None:
        self._sketch = sketch or (lambda arch, known: build(arch))
        self._input_shape = input_shape
        self._parts = parts
        self._kinds = {part.name: part.kind or part.name for part in parts}
        self._outcomes: dict[Key, Outcome] = {}
        # Of layers outside of all blocks, as a final tanh.
        self._rest: dict[tuple[Value, ...], Cost] = {}

    def __call__(self, arch: Arch) -> Cost:
        values = arch.values
        keys = {part.name: (self._kinds[part.name], part.key_of(values)) for part in self._parts}
        # Where no parts are known, the rest is everything, and depends on every slot.
        whole = () if self._parts else tuple(values.values())
        if whole not in self._rest or any(key not in self._outcomes for key in keys.values()):
            self._measure(arch, keys, whole)
        return total([self._rest[whole], *(self._outcomes[key].cost for key in keys.values())])

    def _measure(
        self,
        arch: Arch,
        keys: Mapping[str, Key],
        whole: tuple[Value, ...],
    ) -> None:
        """Runs the parts that are lacking; the others answer from what is known of them."""
        lacking: dict[Key, str] = {}  # the first part of each that runs
        for name, key in keys.items():
            if key not in self._outcomes:
                lacking.setdefault(key, name)
        made: dict[str, Made] = {name: [] for name in lacking.values()}
        known = [name for name in keys if name not in made]
        with without_values():
            net = self._sketch(arch, known)
        for name in known:
            key = keys[name]
            is_new = key in lacking
            net.set_submodule(
                name, _Known(made[lacking[key]] if is_new else self._outcomes[key].made)
            )
        # Outside of the block above, whose checks of every call take longer than the calls.
        image = torch.empty(1, *self._input_shape, device="meta")
        found, rest = part_outcomes(net, image, list(keys), made)
        self._outcomes |= {keys[name]: outcome for name, outcome in found.items()}
        self._rest.setdefault(whole, rest)
