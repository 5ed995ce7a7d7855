"""What the page draws: places, bars, curves, words, each against what it must show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from images import noise
from PIL import Image

from gancompress.archs.arch import Arch
from gancompress.durations import duration
from gancompress.export.report import Row
from gancompress.latency.table import Accuracy, Calibration, LatencyTable
from gancompress.nets.families import family_of
from gancompress.nets.families.spade import UNITS
from gancompress.nets.layers.features import Bands
from gancompress.report import sections
from gancompress.report.archplot import LABEL, NOTE, WIDTH, arch_plot, channels_per_unit
from gancompress.report.axes import Axis, stairs
from gancompress.report.frontplot import front_plot
from gancompress.report.pictures import MOST_PICTURE_BYTES, picture_uri
from gancompress.report.plots import best_so_far, smoothed, training_curves
from gancompress.report.sections import Curve, findings_table
from gancompress.report.words import cost_text, tick_text
from gancompress.search.results import Front, LowFidelityTrial, Measured, RowWinner, SearchTrials
from gancompress.storage.metricslog import MetricsLog
from gancompress.training.symptoms import SYMPTOMS


def test_large_pictures_are_packed_and_small_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    Image.fromarray(noise(900, 900, seed=0)).save(path)
    assert path.stat().st_size > MOST_PICTURE_BYTES
    uri = picture_uri(path)
    assert uri.startswith("data:image/jpeg") and len(uri) < 1.4 * MOST_PICTURE_BYTES
    Image.fromarray(noise(90, 90, seed=0)).save(path)
    assert picture_uri(path).startswith("data:image/png")


def point(macs: float, fd: float, width: int = 8) -> Measured:
    return Measured(Arch.of("resnet", {"stem.width": width}), {"macs": macs}, {"fd": fd})


def toy_front(**changes: object) -> Front:
    points = (point(10, 9, 1), point(20, 5, 2), point(40, 3, 3))
    best = points[1]
    winner = RowWinner(
        row="compressed",
        limits={"macs": 30},
        arch=best.arch,
        costs=best.costs,
        scores=best.scores,
        by_search=best,
    )
    front = Front(
        objective="fd",
        better="min",
        cost="macs",
        features="f",
        images=9,
        first_images=0,
        algorithm="pareto",
        first_look=None,
        winners=(winner,),
        points=points,
    )
    return replace(front, **changes)  # type: ignore[arg-type]


def test_the_front_goes_down_as_costs_grow_and_stairs_join_it() -> None:
    plot = front_plot(toy_front(), [])
    assert plot is not None
    places = [(dot.x, dot.y) for dot in plot.front]
    assert places == sorted(places)  # y grows downwards on a page
    numbers = [float(n) for n in re.findall(r"[\d.]+", plot.path)]
    (x0, y0), (x1, y1), (x2, y2) = places
    assert numbers == pytest.approx([x0, y0, x1, y1, x2, y2])
    assert [dot.number for dot in plot.winners] == [plot.front[1].number]
    assert places[1][0] < plot.budgets[0].place < places[2][0]
    assert plot.teacher_y is None


def test_the_teacher_has_a_line_where_its_score_is_known() -> None:
    plot = front_plot(toy_front(teacher=point(400, 5)), [])
    assert plot is not None and plot.teacher_y == plot.front[1].y


def test_the_worst_do_not_stretch_the_scale_and_are_counted() -> None:
    few = tuple(point(15 + i, 10 + i / 10, 10 + i) for i in range(99))
    searches = [SearchTrials("search", False, None, (*few, point(15, 1e9, 999)))]
    plot = front_plot(toy_front(), searches)
    assert plot is not None and len(plot.searched) + plot.hidden == 100
    assert 1 <= plot.hidden <= 3 and max(dot.y for dot in plot.searched) <= plot.frame.bottom


def test_nothing_measured_is_nothing_drawn() -> None:
    assert front_plot(toy_front(points=(), winners=()), []) is None


def test_progress_counts_what_breaks_the_limits_as_an_evaluation_only() -> None:
    front = toy_front()
    searches = [
        SearchTrials(
            "search", False, None, (point(99, 1), point(20, 7), point(25, 5), point(29, 6))
        )
    ]
    curve = sections._best(front, front.winners[0], searches, "search")
    assert curve == Curve("search", (2, 3, 4), (7.0, 5.0, 5.0))
    assert len(sections.progress(front, searches)) == 1 and sections.progress(front, []) == []


def test_progress_of_two_rungs_is_told_by_full_scores_where_they_were_proposed() -> None:
    front = toy_front()
    looks = tuple(
        LowFidelityTrial(one.arch, one.costs, one.scores)
        for one in (point(20, 1, 8), point(20, 9, 16), point(20, 2, 24), point(20, 3, 32))
    )
    searches = [SearchTrials("search", False, looks, (point(20, 5, 24), point(20, 6, 16)))]
    curve = sections._best(front, front.winners[0], searches, "search")
    assert curve == Curve("search", (2, 3, 4), (6.0, 5.0, 5.0))


def test_best_so_far_turns_with_the_objective() -> None:
    assert best_so_far([3, 5, 2, 4], True) == [3, 3, 2, 2]
    assert best_so_far([3, 5, 2, 4], False) == [3, 5, 5, 5]


def test_smoothing_is_the_mean_of_the_values_around() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 100):
        values = rng.normal(size=count)
        reach = int(np.ceil(0.04 * count))
        slow = [values[max(0, i - reach) : i + reach + 1].mean() for i in range(count)]
        np.testing.assert_allclose(smoothed(values), slow)


def test_drawings_are_svg_without_colours_or_names_of_their_own() -> None:
    drawn = training_curves({"a<b": [Curve("$x_{", (1, 2, 3), (3.0, 1.0, 2.0))]}, "teacher")
    ElementTree.fromstring(drawn[0])
    assert "a&lt;b" in drawn[0] and "#0000" not in drawn[0] and "var(--search)" in drawn[0]
    assert '<g id="' not in drawn[0]
    two = training_curves(dict.fromkeys("ab", [Curve("", (1, 2, 3), (3.0, 1.0, 2.0))]), "teacher")
    ids = [set(re.findall(r' id="([^"]*)"', one)) for one in two]
    assert ids[0] and not ids[0] & ids[1]


@pytest.mark.parametrize("numbers", [(1e6, 8e8), (17.7e6, 79e6), (3.0, 3.0), (0.0, 0.4), (-2, 7)])
def test_axes_place_all_numbers_and_their_ticks_inside(numbers: tuple[float, float]) -> None:
    axis = Axis.over(numbers, 60, 700, log=True)
    places = [axis.place(n) for n in (*numbers, *axis.ticks())]
    assert all(60 <= place <= 700 for place in places)
    assert len(axis.ticks()) >= 3 and sorted(axis.ticks()) == axis.ticks()


def test_ticks_read_as_the_numbers_that_they_are() -> None:
    units = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
    for value in (0, 5, 20, 300, 1000, 1500, 2e7, 1e8, 2.5e9):
        number, _, prefix = tick_text(value).partition(" ")
        assert float(number) * units[prefix] == value
    assert tick_text(2e7) == "20 M"


def test_stairs_go_across_before_they_go_down() -> None:
    assert stairs([(1, 9), (3, 5), (4, 5)]) == "M1 9H3V5H4"
    assert stairs([]) == ""


@pytest.mark.parametrize("family", ["resnet", "unet", "munit", "spade", "stargan"])
def test_units_are_the_channels_that_the_family_says(family: str) -> None:
    made = family_of(family)
    found = channels_per_unit(made.build, made.uniform(8))
    assert set(found) == set(made.width_slots)
    units = getattr(made, "unit", UNITS.get)
    for stage in (slot.removesuffix(".width") for slot in made.width_slots):
        told = made.channels(stage).get(f"{stage}.width") or units(stage)
        # Most weights of SPADE's last stage are those of its norms, which are twice as wide.
        twice = 2 if (family, stage) == ("spade", "up.3") else 1
        assert found[f"{stage}.width"] == twice * told, stage


def test_latency_tables_are_the_finished_ones(tmp_path: Path) -> None:
    error = Accuracy(30, 0.05, 0.1, 0.98, 0.9, 1.0, 9.0)
    table = LatencyTable(
        {}, Calibration(1.0, 0.0), identity={"runtime": "torch"}, device="a CPU", error=error
    )
    for name in ("torch-cpu.json", "torch-cpu.1.json", "torch-cpu.part.json"):
        table.save(tmp_path / name)
    assert sections.latency_tables(tmp_path) == [("torch", "a CPU", str(error))]
    assert sections.latency_tables(tmp_path / "none") == []


def test_bars_are_as_long_as_their_channels_and_split_into_bands() -> None:
    family = family_of("resnet")
    teacher, arch = family.uniform(32), family.uniform(8, "separable", Bands(0.5))
    plot = arch_plot(arch, teacher, channels_per_unit(family.build, teacher))
    rows = {row.name: row for row in plot.rows}
    assert rows["stem"].outline == pytest.approx(32 / 128 * (WIDTH - LABEL - NOTE), abs=0.1)
    body = rows["body.1"]
    assert sum(s.width for s in body.segments) == pytest.approx(body.outline / 4, abs=0.2)
    assert [s.title for s in body.segments] == [
        "body.1: 16 channels", "body.1: 16 channels at 1/2 resolution",
    ]  # fmt: skip
    assert body.note == "32 of 128 (16 + 16), separable" and rows["head"].segments == ()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.42 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"),
     (12000, "3 h 20 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_costs_carry_their_units() -> None:
    assert cost_text("macs", 61_190_000) == "61.19 M"
    assert cost_text("activation_bytes", 442_400) == "442.4 kB"
    assert cost_text("latency_ms", 8.3123) == "8.31 ms"


def test_tiles_say_what_the_rows_say() -> None:
    rows = [Row("teacher", 100, 1000, 1000), Row("compressed", 10, 50, 50)]
    assert sections.tiles(rows) == [("20.0x", "fewer MACs"), ("10.0x", "fewer parameters")]
    assert sections.tiles(rows[:1]) == []


def test_findings_of_a_training_are_told_with_their_end_and_what_to_try(tmp_path: Path) -> None:
    log, other = MetricsLog(tmp_path / "a.jsonl"), MetricsLog(tmp_path / "b.jsonl")
    discriminator = {"where": "discriminator", "what": "saturated", "found": "100%"}
    log.write(20, since=11, is_over=False, **discriminator)
    log.write(70, since=61, is_over=True, **discriminator)
    log.write(90, since=81, is_over=False, **discriminator)
    other.write(90, since=81, is_over=False, where="generator", what="unheard of", found="much")
    table = findings_table({"a": log.path, "b": other.path, "c": tmp_path / "c.jsonl"})
    assert table is not None
    advice = SYMPTOMS["discriminator"]["saturated"].advice("a")
    assert table.lines == (
        ("a", "discriminator saturated", "11", "61", "100%", advice),
        ("a", "discriminator saturated", "81", "-", "100%", advice),
        ("b", "generator unheard of", "81", "-", "much", "-"),
    )
    assert findings_table({"c": tmp_path / "c.jsonl"}) is None
