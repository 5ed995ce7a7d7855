"""TensorBoard events beside metrics.jsonl."""

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from gancompress.errors import RunError
from gancompress.storage.runs import Run
from gancompress.training.board import open_log


def test_events_are_written_beside_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    stage = Run(tmp_path).stage("teacher")
    log = open_log(stage, tensorboard=True)
    log.truncate_after(0)
    log.write(50, l1=0.5)
    log.write(100, l1=0.25)
    events = accumulators.EventAccumulator(str(stage.path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("l1")] == [(50, 0.5), (100, 0.25)]
    assert [row["l1"] for row in stage.metrics.rows()] == [0.5, 0.25]


def test_missing_tensorboard_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("tensorboard"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [n for n in sys.modules if n.startswith(("tensorboard", "torch.utils.tensorb"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RunError, match=r"gancompress\[tensorboard\]"):
        open_log(Run(tmp_path).stage("teacher"), tensorboard=True)
