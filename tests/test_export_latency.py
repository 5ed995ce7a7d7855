"""Timing: what is counted, in which order, under which settings."""

import time

import pytest
import torch

from gancompress.export.latency import Latency, paired_latency


def test_latency_measures_a_known_wait():
    got = paired_latency({"": lambda: time.sleep(0.01)}, repeats=5, warmup=1)[""]
    assert 10 <= got.median_ms < 40 and got.p95_ms >= got.median_ms
    assert (got.repeats, got.threads) == (5, torch.get_num_threads())


def test_latency_is_the_median_and_95th_percentile_without_the_warmup(monkeypatch):
    clock = iter(x for ms in [5, 1, 2, 3, 100] for x in (0.0, ms / 1e3))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    calls = []
    got = paired_latency({"": lambda: calls.append(1)}, repeats=5, warmup=4)[""]
    assert len(calls) == 9
    assert got == Latency(3.0, pytest.approx(5 + 0.8 * 95), 5, torch.get_num_threads())


def test_paired_latency_takes_turns_and_keeps_no_gradients():
    order = []

    def call(name):
        order.append(name)
        assert torch.is_inference_mode_enabled()

    got = paired_latency({n: lambda n=n: call(n) for n in "abc"}, repeats=4, warmup=2)
    assert "".join(order) == "aabbcc" + "abc" + "cba" + "abc" + "cba"
    assert list(got) == ["a", "b", "c"]


def test_warm_turns_have_a_call_ahead_that_is_not_counted(monkeypatch):
    clock = iter(x for ms in [7, 9] for x in (0.0, ms / 1e3))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))  # two clock times a turn
    order = []
    runs = {n: lambda n=n: order.append(n) for n in "ab"}
    got = paired_latency(runs, repeats=1, warmup=0, is_warm=True)
    assert "".join(order) == "aabb"
    assert [got[n].median_ms for n in "ab"] == pytest.approx([7, 9])


def test_paired_latency_shares_a_drift_between_the_candidates(monkeypatch):
    # Each call takes longer than the one before: taken in turn, the medians stay together.
    now = [0.0, 0.0]

    def tick():
        now[1] += 0.001
        now[0] += now[1]
        return now[0]

    monkeypatch.setattr(time, "perf_counter", tick)
    got = paired_latency({"a": lambda: None, "b": lambda: None}, repeats=40, warmup=0)
    assert got["a"].median_ms == pytest.approx(got["b"].median_ms, rel=0.01)


def test_latency_of_no_repeats_is_refused():
    with pytest.raises(ValueError, match="repeats=0; at least 1"):
        paired_latency({"": lambda: None}, repeats=0)
