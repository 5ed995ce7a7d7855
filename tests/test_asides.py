"""Where earlier results are kept."""

from __future__ import annotations

from pathlib import Path

from gancompress.storage.asides import set_aside


def test_each_time_the_first_free_number_is_taken(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "search.5").mkdir()
        (tmp_path / "search.5" / "x").write_text(str(number))
        assert set_aside(tmp_path / "search.5") == tmp_path / f"search.5.{number}"
        (tmp_path / "torch-cpu.json").write_text(str(number))
        aside = set_aside(tmp_path / "torch-cpu.json", ".json")
        assert aside == tmp_path / f"torch-cpu.{number}.json" and aside.read_text() == str(number)
    assert (tmp_path / "search.5.1" / "x").read_text() == "1"
    assert not (tmp_path / "search.5").exists()
