"""Rows of figures survive kills, and a resumed stage does not write a step twice."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gancompress.errors import CheckpointError
from gancompress.storage.metricslog import MetricsLog


def test_rows_are_appended_in_order(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "new" / "metrics.jsonl")
    assert log.rows() == []
    log.write(1, l1=0.5, arch="8_8")
    log.write(2, l1=0.25)
    assert log.rows() == [{"step": 1, "l1": 0.5, "arch": "8_8"}, {"step": 2, "l1": 0.25}]
    assert log.path.read_text().count("\n") == 2


def test_truncating_drops_later_rows_and_a_half_written_one(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(1, 6):
        log.write(step, l1=1 / step)
    whole = log.path.read_text()
    with open(log.path, "a") as file:
        file.write('{"step": 3, "l1": 0.1')
    log.truncate_after(3)
    assert [row["step"] for row in log.rows()] == [1, 2, 3]
    assert whole.startswith(log.path.read_text())
    log.write(4, l1=1 / 4)
    log.write(5, l1=1 / 5)
    assert log.path.read_text() == whole
    log.truncate_after(-1)
    assert log.path.read_text() == ""


def test_a_file_cut_anywhere_gives_its_whole_rows(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(1, note="größe")
    log.write(22, note="größe")
    content = log.path.read_bytes()
    first = content.index(b"\n")
    for kept in range(len(content) - 1):
        log.path.write_bytes(content[:kept])
        found = [row["step"] for row in log.rows()]
        assert found == ([] if kept < first else [1] if kept < len(content) - 1 else [1, 22])


def test_truncating_what_is_not_there_makes_no_file(tmp_path: Path) -> None:
    MetricsLog(tmp_path / "metrics.jsonl").truncate_after(3)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(1, x=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"metrics.jsonl: no space left on disk; free"):
            log.write(2, text="x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [row["step"] for row in log.rows()] == [1]
