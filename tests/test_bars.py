"""Progress bars: lines now and then in a file, tqdm's own on a terminal. No test waits."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from gancompress.bars import progress, say_above

ROOT = Path(__file__).parents[1]


class Clock:
    """Seconds that pass only when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps_of(seconds: float, count: int, **look: object) -> str:
    """What a bar of `count` steps that take so many seconds each leaves in a file."""
    file, clock = io.StringIO(), Clock()
    for _ in progress(range(count), "training", stream=file, clock=clock, **look):
        clock.now += seconds
    return file.getvalue()


def counts(text: str) -> list[int]:
    """The step that each line shows; every line must be whole."""
    assert "\r" not in text and text.endswith("\n") and "\x1b" not in text
    return [int(re.search(r"(\d+)/", line)[1]) for line in text.splitlines()]


def test_a_file_has_a_line_every_ten_seconds_and_the_final_state() -> None:
    text = steps_of(1.0, 95)
    assert counts(text) == [*range(10, 95, 10), 95]
    assert text.startswith("training:  11%|")


def test_slow_steps_have_a_line_each_and_fast_ones_share_it() -> None:
    assert counts(steps_of(60.0, 3)) == [1, 2, 3, 3]
    assert counts(steps_of(1 / 1024, 25_000)) == [10_240, 20_480, 25_000]


def test_a_short_bar_that_is_not_left_leaves_nothing_a_long_one_its_end() -> None:
    assert steps_of(1.0, 9, leave=False) == ""
    assert counts(steps_of(1.0, 9)) == [9]
    assert counts(steps_of(4.0, 4, leave=False)) == [3, 4]
    assert steps_of(1.0, 9, is_summed_up=True) == ""
    assert counts(steps_of(4.0, 4, is_summed_up=True)) == [3, 4]


def test_news_of_a_bar_are_no_reason_for_a_line() -> None:
    file, clock = io.StringIO(), Clock()
    with progress(total=40, desc="search", stream=file, clock=clock, unit="arch") as bar:
        for step in range(40):
            bar.n = step
            bar.set_postfix_str(f"best {step}", refresh=True)
            bar.refresh()
            clock.now += 1
        bar.update()
    assert counts(file.getvalue()) == [10, 20, 30, 40, 40]
    assert "best 10" in file.getvalue().splitlines()[0]


def test_a_disabled_bar_is_silent() -> None:
    assert steps_of(60.0, 3, disable=True) == ""


def test_on_a_terminal_it_is_tqdms_own() -> None:
    ours, theirs = Terminal(), Terminal()
    bar = progress(range(3), "fitting", stream=ours, bar_format="{desc} {n}", mininterval=0)
    assert type(bar) is tqdm and list(bar) == [0, 1, 2]
    list(tqdm(range(3), "fitting", file=theirs, bar_format="{desc} {n}", mininterval=0))
    assert ours.getvalue() == theirs.getvalue() and "\r" in ours.getvalue()


def test_a_sentence_above_a_bar_is_a_line_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    file, clock = io.StringIO(), Clock()
    monkeypatch.setattr(sys, "stderr", file)
    with progress(total=2, clock=clock) as bar:
        say_above("the discriminator has won")
        bar.update(2)
    said, final = file.getvalue().splitlines()
    assert said == "the discriminator has won" and "2/2" in final and "\r" not in file.getvalue()


def test_every_bar_of_the_packages_is_made_here() -> None:
    folders = ("gancompress", "search", "distill", "export")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    calls = [
        path.name for path in files if re.search(r"\btqdm(\(|\.write)", path.read_text("utf-8"))
    ]
    assert calls == ["bars.py"]
