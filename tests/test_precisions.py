"""Precision `auto`: what the processor can do, a timed step, and a record that a resume keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import toytraining as toy
from torch import Tensor, nn

from gancompress.storage.checkpoint import read_record
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.training import precisions, steptimes
from gancompress.training.precisions import (
    candidates,
    fastest,
    processor_of,
    recorded_precision,
    settle_precision,
    step_times,
    without_effect,
)
from gancompress.training.steps import step_rng
from gancompress.training.steptimes import batch_times, precision_times

CPU = torch.device("cpu")


@pytest.fixture
def avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "AVX512", "x86_64")


def pretend(monkeypatch: pytest.MonkeyPatch, capability: str, machine: str) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: machine)


@pytest.mark.parametrize(
    ("capability", "machine", "expected"),
    [
        ("AVX2", "x86_64", ("float32",)),
        ("DEFAULT", "AMD64", ("float32",)),
        ("AVX512", "x86_64", ("float32", "bf16")),
        ("DEFAULT", "aarch64", ("float32", "bf16")),
    ],
)
def test_a_processor_that_emulates_bf16_is_not_asked_for_it(
    capability: str, machine: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, capability, machine)
    assert candidates(CPU) == expected
    assert candidates(torch.device("mps")) == ("float32",)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({}, "float32"),
        ({"float32": 1.0, "bf16": 0.6}, "bf16"),
        ({"float32": 1.0, "bf16": 0.95}, "float32"),  # not worth the lost digits
        ({"float32": 1.0, "bf16": 7.0}, "float32"),
    ],
)
def test_the_fastest_precision_wins_by_more_than_noise(
    seconds: Mapping[str, float], expected: str
) -> None:
    assert fastest(seconds) == expected


def test_timed_steps_stop_before_the_time_is_up(
    avx512: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(precisions.time, "monotonic", lambda: now[0])
    made = []

    def step(precision: str) -> None:
        # The first step of each compiles its kernels; in bf16 every step takes ten times as long.
        first = precision not in made
        made.append(precision)
        now[0] += {"float32": 0.1, "bf16": 1.0}[precision] * (1.5 if first else 1.0)

    assert step_times(CPU, step, candidates(CPU)) == {
        "float32": pytest.approx(0.15),
        "bf16": pytest.approx(1.5),
    }
    assert made == ["float32", "bf16"]  # another round would have passed the two seconds


def test_a_choice_is_recorded_and_kept_on_such_a_processor(
    avx512: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    times = {"float32": 0.4, "bf16": 0.2}
    assert settle_precision(tmp_path, "auto", CPU, lambda: times, said.append) == "bf16"
    assert said == ["precision bf16, by a timed step (float32 0.4 s, bf16 0.2 s)"]
    assert recorded_precision(tmp_path) == "bf16"
    kept = read_record(tmp_path / "training.json")
    assert kept == {"precision": "bf16", "processor": processor_of(CPU), "timed_seconds": times}

    def untimed() -> dict[str, float]:
        raise AssertionError("a recorded precision is not timed again")

    assert settle_precision(tmp_path, "auto", CPU, untimed, said.append) == "bf16"
    # Moved to a processor that only emulates bf16, the training goes on in float32.
    pretend(monkeypatch, "AVX2", "x86_64")
    assert settle_precision(tmp_path, "auto", CPU, untimed, said.append) == "float32"
    assert recorded_precision(tmp_path) == "float32" and len(said) == 1


def test_a_precision_that_is_asked_for_is_taken_and_a_change_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    assert settle_precision(tmp_path, "bf16", CPU, dict, said.append) == "bf16"
    assert settle_precision(tmp_path, "float32", CPU, dict, said.append) == "float32"
    assert said == ["goes on in float32; the steps before were made in bf16"]


class Normed(Task):
    """One network with batch norm, which counts the batches that it has seen."""

    target = "net"
    phases = (Phase("turn", ("net",)),)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        return {"loss": nets["net"](batch["input"]).square().mean()}


def test_timing_leaves_no_trace_in_the_networks(avx512: None) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    net[0].requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    how = toy.training(Path("unused"), steps=3, precision="auto")
    found = precision_times(Normed(), {"net": net}, toy.batch_at(0), how)
    assert set(found) == {"float32", "bf16"} and all(s > 0 for s in found.values())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    assert all(p.grad is None for p in net.parameters())
    # The control: a step outside of the block does leave one.
    Normed().losses({"net": net}, toy.batch_at(0), "turn", Step(0, step_rng(0, 0)))
    assert net.state_dict()["1.num_batches_tracked"] == before["1.num_batches_tracked"] + 1


def test_what_learns_at_some_steps_is_timed_at_some_of_them() -> None:
    """Steps 0, 300, 600 and 900 are all multiples of three."""
    turns: list[int] = []

    class Seldom(Normed):
        phases = (Phase("turn", ("net",), every=3),)

        def losses(
            self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
        ) -> dict[str, Tensor]:
            turns.append(step.index)
            return super().losses(nets, batch, phase, step)

    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    how = toy.training(Path("unused"), steps=1200, precision="auto")
    precision_times(Seldom(), {"net": net}, toy.batch_at(0), how, ("float32",))
    assert set(turns) == {0, 903}


@pytest.mark.parametrize(
    ("seconds_of_4", "accumulate", "timed", "found"),
    [
        # 16 images take 0.04 s by the first; timed as a whole, bf16 saves what 4 do not show.
        (0.01, 1, [4, 16], {"float32": 0.02, "bf16": 0.01}),
        (0.01, 2, [4, 8], {"float32": 0.04, "bf16": 0.02}),  # two parts of 8, one after the other
        (0.2, 1, [4], {"float32": 0.8, "bf16": 0.8}),  # two rounds of 0.8 s each would be too long
    ],
)
def test_a_whole_batch_is_timed_where_that_is_quick(
    monkeypatch: pytest.MonkeyPatch,
    seconds_of_4: float,
    accumulate: int,
    timed: list[int],
    found: dict[str, float],
) -> None:
    sizes: list[int] = []

    def times(task: Any, nets: Any, batch: Batch, *_: Any, **__: Any) -> dict[str, float]:
        sizes.append(len(batch["input"]))
        few = dict.fromkeys(("float32", "bf16"), seconds_of_4)
        return few if len(sizes) == 1 else {"float32": 0.02, "bf16": 0.01}

    monkeypatch.setattr(steptimes, "precision_times", times)
    how = replace(toy.training(Path("unused"), steps=3), accumulate=accumulate)
    assert batch_times(toy.TASK, {}, {"input": torch.zeros(16, 1)}, how) == pytest.approx(found)
    assert sizes == timed


def test_an_error_in_a_timed_step_puts_the_networks_back_too() -> None:
    net = nn.BatchNorm2d(1)
    with pytest.raises(ZeroDivisionError), without_effect({"net": net}):
        net(torch.ones(2, 1, 2, 2))
        raise ZeroDivisionError
    assert int(net.num_batches_tracked) == 0


def test_a_training_that_times_itself_ends_with_the_bytes_of_the_precision_found(
    avx512: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain, auto = toy.pix2pix_nets(), toy.pix2pix_nets()
    monkeypatch.setattr(precisions, "fastest", lambda seconds: "bf16")
    toy.train(toy.TASK, plain, tmp_path / "plain", steps=3, precision="bf16")
    toy.train(toy.TASK, auto, tmp_path / "auto", steps=3, precision="auto")
    assert recorded_precision(tmp_path / "auto") == "bf16"
    for name, value in toy.weights(plain).items():
        assert torch.equal(value, toy.weights(auto)[name]), name
