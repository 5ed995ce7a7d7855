"""Times in a file: kept when stopped, taken up again, refused where they are of something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gancompress.errors import CheckpointError, RunError
from gancompress.latency import measurements
from gancompress.latency.measurements import Measurements, medians

IDENTITY = {"size": [64, 64]}


def test_stopped_measurements_lose_nothing(tmp_path: Path) -> None:
    def stopped() -> Iterator[dict[str, float]]:
        yield {"p": 1.0, "q": 2.0}
        yield {"p": 3.0}
        raise KeyboardInterrupt

    path = tmp_path / "m.json"
    first = Measurements.begin(path, IDENTITY, "a CPU")
    with pytest.raises(KeyboardInterrupt):
        first.add(first.layers, stopped())
    again = Measurements.begin(path, IDENTITY, "a CPU")
    assert again.layers == {"p": [1.0, 3.0], "q": [2.0]} and again.generators == {}
    again.add(again.generators, [{"g": 5.0}])
    assert Measurements.begin(path, IDENTITY, "a CPU").generators == {"g": [5.0]}


def test_killed_measurements_lose_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "SAVE_SECONDS", 0.0)
    one = Measurements.begin(tmp_path / "m.json", IDENTITY, "a CPU")

    def watched() -> Iterator[dict[str, float]]:
        yield {"p": 1.0}
        kept = Measurements.begin(one.path, IDENTITY, "a CPU")
        assert kept.layers == {"p": [1.0]}

    one.add(one.layers, watched())


def test_measurements_of_something_else_are_refused(tmp_path: Path) -> None:
    one = Measurements.begin(tmp_path / "m.json", IDENTITY, "a CPU")
    one.add(one.layers, [{"p": 1.0}])
    with pytest.raises(RunError, match="measured for another size"):
        Measurements.begin(one.path, {"size": [32, 32]}, "a CPU")
    with pytest.raises(RunError, match="begun on a CPU, here is a GPU; go on there, or give"):
        Measurements.begin(one.path, IDENTITY, "a GPU")


@pytest.mark.parametrize("text", ["[]", '{"kind": "latency table"}', '{"kind": '])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"m\.json: not "):
        Measurements.begin(tmp_path / "m.json", IDENTITY, "a CPU")


def test_medians_are_those_of_each() -> None:
    assert medians({"p": [3.0, 1.0, 2.0], "q": [1.0, 2.0]}) == {"p": 2.0, "q": 1.5}
