"""Timing: the layers are those of the networks, in either runtime, each timed in its turn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.export.card import Card
from gancompress.export.latency import Call
from gancompress.latency import times as layertimes
from gancompress.latency.layers import layers_of, tensors_of
from gancompress.latency.runtimes import Bound, OnnxRuntime, TimedLayer, Torch
from gancompress.latency.times import TimingConfig, time_layers, time_networks
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import ONE, Bands

FAMILY = family_of("resnet", blocks=1)
SPACE = FAMILY.space([16], ["separable"], {"body": [ONE, Bands(0.5)]})
LAYOUT = layers_of(FAMILY.build, SPACE, FAMILY.parts(), (3, 16, 16))
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Noting:
    """Runs nothing, and keeps what it was given and the order of the calls."""

    device: torch.device = CPU
    given: list[TimedLayer] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def layers(self, layers: Sequence[TimedLayer]) -> list[Call]:
        start = len(self.given)
        self.given.extend(layers)
        return [self._call(str(start + i)) for i in range(len(layers))]

    def network(self, net: nn.Module, arch: Arch, image: Tensor) -> Call:
        return self._call(arch.compact)

    def _call(self, name: str) -> Call:
        def call() -> None:
            assert torch.is_inference_mode_enabled()
            self.order.append(name)

        return call


def timing_on(runtime: layertimes.Runtime, repeats: int = 2) -> TimingConfig:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return TimingConfig(runtime, FAMILY.build, image, threads=1, repeats=repeats)


def test_layers_are_given_what_the_network_gives_them() -> None:
    """One behind the other, on inputs kept from a whole run, the parts are the network."""
    noting = Noting()
    configs = [c for c in LAYOUT.configs if c.arch == LAYOUT.configs[0].arch]
    assert len(configs) == len(LAYOUT.parts)
    timing = timing_on(noting)
    last = timing.image.contiguous(memory_format=torch.channels_last)
    list(time_layers(replace(timing, image=last), configs, "test"))
    by_part = dict(zip((c.part for c in configs), noting.given, strict=True))
    with torch.no_grad():
        for before, after in (("stem", "down.0"), ("down.1", "body.0"), ("up.0", "up.1")):
            made = list(tensors_of(by_part[before]()))
            taken = list(tensors_of(by_part[after].args))
            for x, y in zip(made, taken, strict=True):
                assert torch.equal(x, y) and x.stride() == y.stride()
    assert all(layer.bytes > 0 for layer in noting.given)


def test_every_layer_is_timed_in_turn_and_every_other_turn_backwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layertimes, "WARMUP", 1)
    noting = Noting()
    times = list(time_layers(timing_on(noting), LAYOUT.configs[:3], "test"))
    assert "".join(noting.order) == "012" + "210" + "012"
    assert [sorted(turn) for turn in times] == [sorted(c.key for c in LAYOUT.configs[:3])] * 2


def test_groups_are_no_larger_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ready() -> Iterator[tuple[str, Call, int]]:
        for name, size in (("a", 5), ("b", 4), ("c", 3), ("d", 20), ("e", 1), ("f", 1), ("g", 1)):
            yield name, lambda: None, size

    monkeypatch.setattr(layertimes, "GROUP_BYTES", 10)
    monkeypatch.setattr(layertimes, "GROUP", 2)
    groups = layertimes._groups(ready(), lambda: None)
    assert ["".join(group) for group in groups] == ["ab", "c", "d", "ef", "g"]


def test_onnx_layers_compute_what_torch_does() -> None:
    """Bands among them: several tensors go in and come out."""
    noting = Noting()
    list(time_layers(timing_on(noting), LAYOUT.configs, "test"))
    given = noting.given
    assert any(len(list(tensors_of(layer.args))) == 2 for layer in given)
    card = Card(FAMILY.options, 3, 3, (16, 16), 4)
    for layer, call in zip(given, OnnxRuntime(card).layers(given), strict=True):
        assert isinstance(call, Bound)
        call()
        made = call.outputs()
        with torch.no_grad():
            wanted = list(tensors_of(layer()))
        for x, y in zip(made, wanted, strict=True):
            torch.testing.assert_close(torch.from_numpy(x), y, rtol=1e-3, atol=1e-4)


def test_networks_are_timed_by_arch_in_either_runtime() -> None:
    card = Card(FAMILY.options, 3, 3, (16, 16), 4)
    for runtime in (Torch(CPU), OnnxRuntime(card)):
        before = torch.get_num_threads()
        (times,) = time_networks(timing_on(runtime, repeats=1), [SPACE.largest], "test")
        assert list(times) == [SPACE.largest.key] and times[SPACE.largest.key] > 0
        assert torch.get_num_threads() == before


def test_one_thread_is_timed_by_its_own_time() -> None:
    """Waiting, as for a processor that others use, does not count; with more threads it does."""
    one = timing_on(Torch(CPU))
    start = one.clock()
    time.sleep(0.05)
    assert one.clock() - start < 0.04
    two = TimingConfig(one.runtime, one.build, one.image, threads=2, repeats=1)
    start = two.clock()
    time.sleep(0.05)
    assert two.clock() - start >= 0.05
