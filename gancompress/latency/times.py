"""Times of layers and of whole networks, one image at a time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.bars import progress
from gancompress.export.latency import Call, threads, time_ms, wall_seconds
from gancompress.latency.layers import Build, LayerConfig
from gancompress.latency.runtimes import Runtime, TimedLayer
from gancompress.turns import in_turns

WARMUP = 3  # runs of each that are not counted
# Timed in turn, so that the caches hold none of them and what else the machine does meets all
# alike: at most so many, and so many bytes of weights and inputs (or one that has more).
GROUP, GROUP_BYTES = 128, 2**30
EXPORTED = 16  # layers that go through one export


Ready = tuple[str, Call, int]  # key, what is timed, bytes that it holds


@dataclass(frozen=True)
class TimingConfig:
    """How networks are timed: on which runtime, built how, for which image, how often."""

    runtime: Runtime
    build: Build
    image: Tensor  # (1, C, H, W) on the CPU
    threads: int
    repeats: int

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds. Of one thread on a CPU its own time, which on an idle machine is that of the
        clock on the wall, and on a busy one what it would be if it were idle."""
        if self.runtime.device.type == "cuda":
            return wall_seconds
        return time.thread_time if self.threads == 1 else time.perf_counter


Times = dict[str, float]  # ms by key


def time_layers(
    timing: TimingConfig, configs: Sequence[LayerConfig], label: str
) -> Iterator[Times]:
    """One time of each of a group of configurations, by key, again and again: `repeats` of all."""

    def ready() -> Iterator[Ready]:
        layers = _layers(timing, configs)
        while some := list(itertools.islice(layers, EXPORTED)):
            calls = timing.runtime.layers([layer for _, layer in some])
            for (config, layer), call in zip(some, calls, strict=True):
                yield config.key, call, layer.bytes

    return _timed(timing, ready(), len(configs), f"{label}, layers")


def time_networks(timing: TimingConfig, archs: Sequence[Arch], label: str) -> Iterator[Times]:
    """The same of the whole networks of `archs`, by arch key."""
    image = timing.image.to(timing.runtime.device)

    def ready() -> Iterator[Ready]:
        for arch in archs:
            net = _built(timing, arch)
            size = sum(x.nbytes for x in (*net.parameters(), *net.buffers()))
            yield arch.key, timing.runtime.network(net, arch, image), size

    return _timed(timing, ready(), len(archs), f"{label}, generators")


def _timed(timing: TimingConfig, ready: Iterator[Ready], count: int, label: str) -> Iterator[Times]:
    """Times what is ready group by group; shows how much is left."""
    look = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    # Half of the bar is for making things ready, half for timing them.
    bar = progress(total=2.0 * count, desc=label, bar_format=look, leave=False)
    with bar, threads(timing.threads):
        for group in _groups(ready, bar.update):
            for times in _turns(group, timing):
                yield times
                bar.update(len(group) / timing.repeats)


def _groups(ready: Iterator[Ready], step: Callable[[], object]) -> Iterator[dict[str, Call]]:
    group: dict[str, Call] = {}
    held = 0
    for key, call, size in ready:
        if group and (len(group) == GROUP or held + size > GROUP_BYTES):
            yield group
            group, held = {}, 0
        group[key] = call
        held += size
        step()
    if group:
        yield group


def _turns(runs: Mapping[str, Call], timing: TimingConfig) -> Iterator[Times]:
    """A time of each in turn, again and again."""
    calls = {key: partial(time_ms, run, timing.clock) for key, run in runs.items()}
    with torch.inference_mode():
        yield from itertools.islice(in_turns(calls, WARMUP + timing.repeats), WARMUP, None)


def _built(timing: TimingConfig, arch: Arch) -> nn.Module:
    """The network of `arch` with its first weights: how long it takes does not depend on them."""
    return timing.build(arch).to(timing.runtime.device).eval().requires_grad_(False)


def _layers(
    timing: TimingConfig, configs: Sequence[LayerConfig]
) -> Iterator[tuple[LayerConfig, TimedLayer]]:
    """The modules of the configurations with the inputs that they are given in whole networks."""
    of: dict[Arch, list[LayerConfig]] = {}
    for config in configs:
        of.setdefault(config.arch, []).append(config)
    for arch, wanted in of.items():
        net = _built(timing, arch)
        calls = _calls(net, {config.part for config in wanted}, timing)
        for config in wanted:
            yield config, calls[config.part][config.call]


def _calls(net: nn.Module, parts: set[str], timing: TimingConfig) -> dict[str, list[TimedLayer]]:
    """Every call of these parts while the network runs."""
    found: dict[str, list[TimedLayer]] = {part: [] for part in parts}

    def note(part: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found[part].append(TimedLayer(module, _copied(args), _copied(kwargs)))

    hooks = [
        net.get_submodule(part).register_forward_pre_hook(partial(note, part), with_kwargs=True)
        for part in parts
    ]
    with torch.no_grad():
        net(timing.image.to(timing.runtime.device))
    for hook in hooks:
        hook.remove()
    return found


def _copied(given: Any) -> Any:
    """The same with copies of all tensors, in the memory layout that they have."""
    if isinstance(given, Tensor):
        return given.clone()
    if isinstance(given, list | tuple):
        return type(given)(_copied(one) for one in given)
    if isinstance(given, dict):
        return {name: _copied(one) for name, one in given.items()}
    return given
