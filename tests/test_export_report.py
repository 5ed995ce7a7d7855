"""The closing table and the picture grid."""

import math
import os

import numpy as np
import pytest
import torch
from PIL import Image

from gancompress.errors import ExportError
from gancompress.export.latency import Latency
from gancompress.export.picture import PAPER, TILE, grid
from gancompress.export.report import ReportedValue, Row, class_table, quantity, ratio, table

ROWS = [
    Row(
        "teacher",
        11_378_179,
        49_551_507_456,
        56_799_264_768,
        45_512_716,
        {"torch": Latency(529.0, 541.0, 30, 1), "ort": Latency(450.0, 460.0, 30, 1)},
        (
            ReportedValue("L1", 0.2841, 482),
            ReportedValue("FID", 414.04, 482),
            ReportedValue("KID", -0.00012, 482),
        ),
    ),
    Row(
        "compressed",
        355_235,
        1_938_890_752,
        2_641_000_000,
        1_421_940,
        {"torch": Latency(84.0, 90.0, 30, 1), "ort": Latency(48.0, 50.0, 30, 1)},
        (
            ReportedValue("L1", 0.277, 482),
            ReportedValue("FID", 448.31, 482),
            ReportedValue("KID", 0.0312, 482),
        ),
    ),
    Row("40x", 90_000, 1_238_000_000, 1_300_000_000),
]


def cells(text):
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line]


def test_table_says_every_figure_with_its_unit_and_count():
    head, _, teacher, compressed, small, note = cells(table(ROWS))
    assert head == [
        "generator", "params", "true MACs", "fewer", "published MACs", "file", "torch ms, 1 thread",
        "faster", "ort ms, 1 thread", "faster", "L1 (n=482)", "FID (n=482)", "KID (n=482)",
    ]  # fmt: skip
    assert teacher == [
        "teacher", "11.38 M", "49.55 G", "1.00x", "56.80 G", "45.51 MB", "529", "1.00x",
        "450", "1.00x",
        "0.2841", "414.0", "-0.0001200",
    ]  # fmt: skip
    assert compressed[:4] == ["compressed", "355.2 k", "1.939 G", "25.6x"]
    assert compressed[5:10] == ["1.422 MB", "84.0", "6.30x", "48.0", "9.38x"]
    assert small[3:] == ["40.0x", "1.300 G", *["-"] * 8]
    assert note == ["ms: one image, median of 30 runs taken in turn"]


def test_table_is_aligned_markdown():
    lines = table(ROWS).splitlines()[:5]
    assert len({len(line) for line in lines}) == 1
    bars = {tuple(i for i, c in enumerate(line) if c == "|") for line in lines}
    assert len(bars) == 1
    for name, *numbers in [line.strip("|").split("|") for line in lines[2:]]:
        assert name[1] != " " and all(n[-2] != " " and n[-1] == " " for n in numbers)
    rule = cells(lines[1])[0]
    assert rule[0].strip("-") == "" and all(c.rstrip(":").strip("-") == "" for c in rule)
    assert all(c.endswith("-:") for c in rule[1:])


def test_table_leaves_out_what_nobody_measured():
    bare = [Row("a", 1, 2, 3), Row("b|c", 1, 1, 3)]
    text = table(bare)
    assert cells(text)[0] == ["generator", "params", "true MACs", "fewer", "published MACs"]
    assert cells(text)[3] == ["b/c", "1", "1", "2.00x", "3"] and len(text.splitlines()) == 4


def test_table_states_differing_counts_and_threads_in_the_cells():
    rows = [
        Row(
            "a",
            1,
            2,
            3,
            None,
            {"torch": Latency(2.0, 3.0, 30, 1)},
            (ReportedValue("FID", 9.0, 100),),
        ),
        Row(
            "b",
            1,
            2,
            3,
            None,
            {"torch": Latency(1.0, 2.0, 10, 2)},
            (ReportedValue("FID", 8.0, 50),),
        ),
    ]
    head, _, a, b, note = cells(table(rows))
    assert head[5:] == ["torch ms", "faster", "FID"]
    assert a[5:] == ["2.00 (1 thread)", "1.00x", "9.000 (n=100)"]
    assert b[5:] == ["1.00 (2 threads)", "2.00x", "8.000 (n=50)"]
    assert "median of 10 or 30 runs" in note[0]


def test_table_says_intervals_and_what_lies_between_a_generator_and_the_teacher():
    rows = [
        Row("teacher", 1, 2, 3, None, {}, (
            ReportedValue("FD", 412.3, 525, interval=(399.4, 425.2)),
            ReportedValue("KID", 0.0312, 525, interval=(0.02881, 0.03359)),
        )),
        Row("compressed", 1, 1, 3, None, {}, (
            ReportedValue("FD", 451.2, 525, interval=(437.7, 464.7), above_teacher=(30.15, 47.65)),
            ReportedValue(
                "KID", 0.0312, 525, interval=(0.0312, 0.0312), above_teacher=(-0.0004, 0.0004)
            ),
        )),
        Row("13x", 1, 1, 3, None, {}, (
            ReportedValue("FD", 1451.2, 525, interval=(1200, 1702.4), above_teacher=(788, 1290)),
            ReportedValue("L1", 0.3, 525),
        )),
    ]  # fmt: skip
    head, _, teacher, compressed, small, *notes = cells(table(rows))
    assert head[5:] == ["FD (n=525)", "KID (n=525)", "L1 (n=525)"]
    assert teacher[5:] == ["412.3 [399, 425]", "0.03120 [0.0288, 0.0336]", "-"]
    assert compressed[5:7] == ["451.2 [438, 465]", "0.03120 [0.0312, 0.0312]"]
    assert small[5:] == ["1451 [1200, 1702]", "-", "0.3000"]
    assert [note for (note,) in notes] == [
        "[from, to]: the mean over test sets of as many such images, with 95 % confidence",
        "FD minus that of teacher: compressed +38.9 [30.1, 47.6], 13x +1039 [788, 1290]",
        "KID minus that of teacher: compressed +0.00000 [-0.00040, 0.00040]",
    ]


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 "), (999, "999 "), (1000, "1.000 k"), (822_051, "822.1 k"), (999_999, "1.000 M"),
     (49_551_507_456, "49.55 G"), (281.28e9, "281.3 G")],
)  # fmt: skip
def test_quantity_has_four_digits(n, text):
    assert quantity(n) == text


@pytest.mark.parametrize(
    ("whole", "part", "text"), [(8, 1, "8.00x"), (256, 10, "25.6x"), (1e4, 3, "3333x"), (1, 0, "-")]
)
def test_ratio_has_three_digits(whole, part, text):
    assert ratio(whole, part) == text


def columns(n=2, size=64):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand((n, c, size, size), generator=generator) * 2 - 1
        for name, c in {"input": 4, "teacher": 3, "compressed": 1, "ground truth": 3}.items()
    }


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image).astype(int)


def tiles(path, rows, width, height):
    """The page's content below the titles, cut into tiles by its paper-white gaps."""
    page = pixels(path)
    page = page[page.shape[0] - 16 - rows * (height + 8) + 8 : -16, 16:-16]
    across = (page.shape[1] + 8) // (width + 8)
    return [
        [page[j * (height + 8) :][:height, i * (width + 8) :][:, :width] for i in range(across)]
        for j in range(rows)
    ]


def test_grid_shows_every_pixel_as_a_square(tmp_path):
    data = columns()
    assert grid(data, tmp_path / "g.png") == tmp_path / "g.png"
    found = tiles(tmp_path / "g.png", 2, 192, 192)
    for i, images in enumerate(data.values()):
        for j in range(2):
            x = (images[j].clamp(-1, 1) + 1) / 2
            x = x[:3] * x[3:] + 1 - x[3:] if len(x) == 4 else x.expand(3, -1, -1)
            large = torch.nn.functional.interpolate(x[None], scale_factor=3, mode="nearest")[0]
            expected = (large * 255).round().permute(1, 2, 0).numpy().astype(int)
            assert np.array_equal(found[j][i], expected)


def test_grid_writes_titles_above_the_tiles(tmp_path):
    data = columns(1)
    named = pixels(grid(data, tmp_path / "a.png"))
    blank = pixels(grid(data, tmp_path / "b.png", dict.fromkeys(data, "")))
    assert named.shape == blank.shape
    differ = (named != blank).any(axis=(1, 2)).nonzero()[0]
    assert differ.min() >= 10 and differ.max() < 48  # in the strip above the first row, alone
    assert (blank[:48] == PAPER).all()


def test_grid_keeps_large_tiles_and_centres_smaller_ones(tmp_path):
    data = {"a": torch.ones(1, 3, 256, 320), "b": -torch.ones(1, 1, 100, 100)}
    ((large, small),) = tiles(grid(data, tmp_path / "g.png"), 1, 320, 256)
    assert (large == 255).all()
    dark = (small == 0).all(axis=2)
    assert dark.sum() == 200 * 200  # 100 px doubled to reach TILE
    assert dark[28:228, 60:260].all() and TILE == 192


@pytest.mark.parametrize(("channels", "shown"), [(2, 1), (5, 3), (36, 3)])
def test_grid_shows_some_channels_of_a_label_map(channels, shown, tmp_path):
    x = torch.linspace(-1, 1, channels).view(1, -1, 1, 1).expand(1, -1, 192, 192)
    ((tile,),) = tiles(grid({"labels": x}, tmp_path / "g.png", {"labels": "x"}), 1, 192, 192)
    expected = ((x[0, :shown, 0, 0] + 1) / 2 * 255).round().int().tolist()
    assert tile[0, 0].tolist() == (expected if shown == 3 else expected * 3)


def test_grid_of_values_that_are_no_colours_is_still_a_picture(tmp_path):
    x = torch.tensor([math.nan, math.inf, -math.inf, 7.0]).view(1, 1, 2, 2)
    ((tile,),) = tiles(grid({"x": x}, tmp_path / "g.png"), 1, 192, 192)
    assert tile[::96, ::96, 0].tolist() == [[0, 255], [0, 255]]


@pytest.mark.parametrize(
    "counts", [{}, {"a": 0}, {"a": 1, "b": 2}], ids=["nothing", "no images", "unequal"]
)
def test_grid_of_unequal_columns_is_refused(counts, tmp_path):
    data = {name: torch.zeros(n, 3, 8, 8) for name, n in counts.items()}
    with pytest.raises(ExportError, match="give equal numbers, at least one"):
        grid(data, tmp_path / "g.png")
    assert os.listdir(tmp_path) == []


def detailed(name: str, road: float, sky: float | None) -> Row:
    details = {"road": {"IoU %": road, "pixels": 123_456.0}}
    if sky is not None:
        details["sky|air"] = {"IoU %": sky, "pixels": 12.0}
    return Row(
        name,
        1,
        1,
        1,
        figures=(ReportedValue("mIoU %", 50.0, 4, details), ReportedValue("L1", 0.1, 4)),
    )


def test_class_table_has_a_column_for_each_generator_and_one_for_what_they_share():
    rows = [detailed("teacher", 97.25, 40.0), detailed("10x", 91.0, 0.125)]
    lines = class_table(rows).splitlines()
    assert cells("\n".join(lines)) == [
        ["mIoU %", "teacher IoU %", "10x IoU %", "pixels"],
        ["-" * 7, *["-" * (n - 1) + ":" for n in (13, 9, 6)]],
        ["road", "97.25", "91", "123456"],
        ["sky/air", "40", "0.1250", "12"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert cells(class_table([detailed("a", 97.25, 40.0), detailed("b", 91.0, None)]))[3] == [
        "sky/air", "40", "-", "12", "-",
    ]  # fmt: skip


def test_class_table_of_one_generator_or_of_no_classes():
    alone = class_table([detailed("teacher", 97.25, None)])
    assert cells(alone)[0] == ["mIoU %", "IoU %", "pixels"]
    assert class_table(ROWS) == ""
