"""The layers of a space that has too many to time all: some of each kind, the others from these.

Where features are concatenated, or added up in sums of widths, a layer depends on many slots. Most
of its combinations are alike: layers of one kind whose axes have the same sizes take equally long,
see `Part.key`. Kinds with few sizes are timed at all of them; of the others, which are mostly the
concatenations themselves, some are, and the rest is interpolated between these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gancompress.archs.arch import SearchSpace
from gancompress.archs.slots import Value
from gancompress.bars import progress
from gancompress.latency.layers import Build, LayerConfig, arch_with, signatures
from gancompress.latency.table import Values, monotone
from gancompress.nets.families.family import Part

# A kind with at most so many sizes is timed at all of them; of a larger one so many are.
WHOLE, SOME = 256, 64
NEAREST = 4  # timed layers that what a fit leaves over is taken from
LEAST_MS = 1e-6  # A layer that is left out takes no time, and logarithms are taken.
Alike = tuple[str, Values]  # kind and sizes: layers that take equally long


@dataclass(frozen=True)
class SampledLayers:
    """What the networks of a space consist of.

    keys: of each sort of layers that is timed the configurations that it runs.
    """

    configs: tuple[LayerConfig, ...]
    parts: tuple[Part, ...]
    keys: Mapping[Alike, tuple[str, ...]]
    choices: Mapping[str, Sequence[Value]]

    def times(self, layers_ms: Mapping[str, float]) -> dict[Part, dict[Values, float]]:
        """The ms of all parts that depend on the same slots, by the values of these.

        They never fall when a width grows. What the space's rules forbid is left out.
        """
        known: dict[str, dict[Values, float]] = {}
        for (kind, sizes), called in self.keys.items():
            known.setdefault(kind, {})[sizes] = sum(layers_ms[key] for key in called)
        sums: dict[tuple[str, ...], dict[Values, float]] = {}
        members: dict[tuple[str, ...], list[str]] = {}
        found = {kind: dict(times) for kind, times in known.items()}
        for part in self.parts:
            kind, of_part = _kind(part), dict(_sizes(part, self.choices))
            ms = found.setdefault(kind, {})
            if lacking := [sizes for sizes in dict.fromkeys(of_part.values()) if sizes not in ms]:
                ms |= interpolated(known.get(kind, {}), lacking)
            total = sums.setdefault(part.slots, dict.fromkeys(of_part, 0.0))
            sums[part.slots] = {
                values: sum_ms + ms[of_part[values]]
                for values, sum_ms in total.items() if of_part[values] in ms
            }  # fmt: skip
            members.setdefault(part.slots, []).append(part.name)
        return {
            Part(f"{members[slots][0]} and {len(members[slots]) - 1} more", slots): monotone(total)
            for slots, total in sums.items()
        }


def sampled_layers_of(
    build: Build, space: SearchSpace, parts: Sequence[Part], input_shape: tuple[int, int, int]
) -> SampledLayers:
    """Enough of the space's layers to interpolate the others, found as `layers.layers_of` does."""
    random, choices = np.random.default_rng(0), dict(space.choices)
    examples: dict[Alike, dict[str, Value]] = {}
    for part in parts:
        for values, sizes in _sizes(part, choices):
            examples.setdefault((_kind(part), sizes), dict(zip(part.slots, values, strict=True)))
    wanted = _wanted(list(examples), random)
    image = torch.empty(1, *input_shape, device="meta")
    names = [part.name for part in parts]
    configs: dict[str, LayerConfig] = {}
    keys: dict[Alike, tuple[str, ...]] = {}
    for alike in progress(wanted, desc="layers", unit="", leave=False):
        arch = None if alike in keys else arch_with(space, examples[alike], random)
        if arch is None:  # known already, or ruled out
            continue
        with torch.device("meta"):
            net = build(arch)
        called, drawn = signatures(net, names, image), arch.values
        for part in parts:
            own = _kind(part), part.key_of(drawn)
            if own in wanted and own not in keys:
                keys[own] = called[part.name]
                for call, key in enumerate(called[part.name]):
                    configs.setdefault(key, LayerConfig(key, arch, part.name, call))
    return SampledLayers(tuple(configs.values()), tuple(parts), keys, choices)


def _kind(part: Part) -> str:
    return part.kind or part.name


def _sizes(part: Part, choices: Mapping[str, Sequence[Value]]) -> Iterator[tuple[Values, Values]]:
    """Every combination of the values of a part's slots, and what of it decides on its time."""
    for values in itertools.product(*(choices[slot] for slot in part.slots)):
        yield values, part.key_of(dict(zip(part.slots, values, strict=True)))


def _wanted(all_alike: Sequence[Alike], random: np.random.Generator) -> dict[Alike, None]:
    """Those to time: of a large kind its smallest, its largest and some that are drawn, where each
    operator has its share."""
    groups: dict[tuple[str, Values], list[Alike]] = {}
    for kind, sizes in all_alike:
        groups.setdefault((kind, _words(sizes)), []).append((kind, sizes))
    found: dict[Alike, None] = {}
    for group in groups.values():
        if len(group) > WHOLE:
            ranked = sorted(group, key=lambda alike: float(np.prod(_numbers(alike[1]))))
            drawn = random.permutation(len(ranked) - 2)[: SOME - 2] + 1
            group = [ranked[0], ranked[-1], *(ranked[i] for i in drawn)]
        found |= dict.fromkeys(group)
    return found


def _words(sizes: Values) -> Values:
    return tuple(one for one in sizes if isinstance(one, str))


def _numbers(sizes: Values) -> list[float]:
    return [float(one) for one in sizes if not isinstance(one, str)]


def interpolated(known: Mapping[Values, float], lacking: Sequence[Values]) -> dict[Values, float]:
    """The ms of layers of a kind by their sizes, from those of some that were timed.

    A product of powers of the sizes is fitted to these, and what it leaves over at the nearest of
    them is added, nearer ones counting more. Layers of other operators are not compared, and those
    of operators that none was timed of are left out.
    """
    found: dict[Values, float] = {}
    for words in dict.fromkeys(_words(sizes) for sizes in lacking):
        timed = [sizes for sizes in known if _words(sizes) == words]
        asked = [sizes for sizes in lacking if _words(sizes) == words]
        if not timed:
            continue
        logs = np.log(np.maximum([known[sizes] for sizes in timed], LEAST_MS))
        at, of = _log_sizes(timed), _log_sizes(asked)
        fit = np.linalg.lstsq(at, logs, rcond=None)[0]
        left = logs - at @ fit
        far = np.linalg.norm(of[:, None] - at[None], axis=-1)  # (asked, timed)
        near = np.argsort(far, axis=1)[:, :NEAREST]
        weights = 1 / (np.take_along_axis(far, near, 1) + 1e-9)
        over = (left[near] * weights).sum(1) / weights.sum(1)
        found |= dict(zip(asked, np.exp(of @ fit + over).tolist(), strict=True))
    return found


def _log_sizes(sizes: Sequence[Values]) -> np.ndarray:
    """(N, 1 + D): ones, and the logarithms of D sizes."""
    numbers = np.array([[1.0, *_numbers(one)] for one in sizes])
    numbers[:, 1:] = np.log(np.maximum(numbers[:, 1:], 1.0))
    return numbers
