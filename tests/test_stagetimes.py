"""Times of a run's stages, whoever worked on them."""

from __future__ import annotations

from pathlib import Path

from gancompress.storage.stagetimes import note_redo, note_time, times_of


def test_times_add_up_over_commands_and_begin_anew_with_redo(tmp_path: Path) -> None:
    for seconds in (1.5, 2.0):
        note_time(tmp_path, "teacher", seconds)
    note_time(tmp_path, "search", 4.0)
    note_redo(tmp_path, "search")
    note_time(tmp_path, "search", 0.5)
    with open(tmp_path / "times.jsonl", "a") as file:
        file.write('[3]\n{"stage": "export", "sec')
    found = times_of(tmp_path)
    assert {name: (t.seconds, t.commands) for name, t in found.items()} == {
        "teacher": (3.5, 2), "search": (0.5, 1),
    }  # fmt: skip
    assert times_of(tmp_path / "none") == {}
