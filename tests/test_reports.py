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
from gancompress.report.archplot import arch_plot, channels_per_unit, stage_rows
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


def places(svg: str, kind: str) -> list[tuple[float, float]]:
    """Where the marks of a kind lie, in the order in which they were drawn."""
    found = re.findall(rf'<g class="{kind}".*?<use[^>]* x="([\d.]+)" y="([\d.]+)"', svg, re.S)
    return [(float(x), float(y)) for x, y in found]


def test_the_front_goes_down_as_costs_grow_and_the_winner_lies_on_it() -> None:
    plot = front_plot(toy_front(), [])
    assert plot is not None
    ElementTree.fromstring(plot.svg)
    *line, winner = places(plot.svg, "point")
    assert len(line) == 3 and winner == line[1]
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted(y for _, y in line)  # y grows downwards on a page
    assert plot.data["points"][plot.first][2] == [2]
    assert "compressed" in plot.svg and "budget" in plot.svg and "teacher<" not in plot.svg


def test_the_teacher_has_a_line_where_its_score_is_known() -> None:
    plot = front_plot(toy_front(teacher=point(400, 5)), [])
    assert plot is not None and "teacher<" in plot.svg and "var(--teacher)" in plot.svg


def test_winners_of_one_arch_share_their_name_and_others_do_not_overlap() -> None:
    winner, *_ = toy_front().winners
    other = point(20.1, 5, 4)
    near = replace(winner, row="near", arch=other.arch, costs=other.costs, scores=other.scores)
    front = toy_front(winners=(winner, replace(winner, row="again"), near))
    plot = front_plot(front, [])
    assert plot is not None and "compressed, again" in plot.svg
    first, second = re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(?:near|compressed)', plot.svg)
    assert abs(float(first) - float(second)) > 8  # points


def test_costs_far_apart_have_a_logarithmic_axis() -> None:
    for most, is_log in ((30, False), (4000, True)):
        plot = front_plot(toy_front(points=(point(10, 9), point(most, 3)), winners=()), [])
        assert plot is not None and ("MACs, logarithmic" in plot.svg) == is_log
    assert ">1 k<" in plot.svg


def test_the_worst_do_not_stretch_the_scale_and_are_counted() -> None:
    few = tuple(point(15 + i, 10 + i / 10, 10 + i) for i in range(99))
    searches = [SearchTrials("search", False, None, (*few, point(15, 1e9, 999)))]
    plot = front_plot(toy_front(), searches)
    assert plot is not None and len(places(plot.svg, "dot")) + plot.hidden == 100
    heights = [y for _, y in places(plot.svg, "dot")]
    assert 1 <= plot.hidden <= 3 and max(heights) - min(heights) > 50


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


def test_every_row_shows_its_search_beside_its_baseline() -> None:
    winner, *_ = toy_front().winners
    front = toy_front(winners=(winner, replace(winner, row="half")))
    searches = [
        SearchTrials("search", False, None, (point(20, 5), point(25, 4))),
        SearchTrials("compressed, random", True, None, (point(20, 9), point(25, 8))),
        SearchTrials("half, random", True, None, (point(20, 7), point(25, 6))),
    ]
    found = sections.best_by_row(front, searches)
    name = front.algorithm
    assert found == {
        "compressed": [Curve(name, (1, 2), (5.0, 4.0)), Curve("random", (1, 2), (9.0, 8.0))],
        "half": [Curve(name, (1, 2), (5.0, 4.0)), Curve("random", (1, 2), (7.0, 6.0))],
    }
    own = SearchTrials("half", False, None, (point(20, 3),))
    assert sections.best_by_row(front, [*searches, own])["half"][0] == Curve(name, (1,), (3.0,))


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


def test_ticks_read_as_the_numbers_that_they_are() -> None:
    units = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
    for value in (0, 5, 20, 300, 1000, 1500, 2e7, 1e8, 2.5e9):
        number, _, prefix = tick_text(value).partition(" ")
        assert float(number) * units[prefix] == value
    assert tick_text(2e7) == "20 M"


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


def test_bars_are_the_channels_of_a_stage_split_into_bands() -> None:
    family = family_of("resnet")
    teacher, arch = family.uniform(32), family.uniform(8, "separable", Bands(0.5))
    units = channels_per_unit(family.build, teacher)
    rows = {row.name: row for row in stage_rows(arch, teacher, units)}
    assert rows["stem"].whole == 32 and rows["head"].parts == ()
    assert rows["body.1"].parts == (16, 16) and rows["body.1"].whole == 128
    assert rows["body.1"].note == "32 of 128 (16 + 16), separable"
    plot = arch_plot(arch, teacher, units, "compressed")
    assert all(f">{row.note}<" in plot.svg for row in rows.values())
    assert plot.has_separable and plot.has_bands and plot.in_channels and "<pattern" in plot.svg
    other = arch_plot(teacher, None, {}, "teacher")
    assert not (other.has_separable or other.has_bands or other.in_channels)
    ids = [set(re.findall(r' id="([^"]*)"', one.svg)) for one in (plot, other)]
    assert ids[0] and not ids[0] & ids[1]


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
