"""The model card's five lines: each is run, as it stands there, on files just written."""

import contextlib
import re

import numpy as np
import pytest
import torch

from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.facts import Facts
from gancompress.export.filetable import FileRow, file_table
from gancompress.export.formats import FORMATS, missing
from gancompress.export.latency import Latency
from gancompress.export.modelcard import Licences, Page, model_card
from gancompress.export.report import ReportedValue, Row, table
from gancompress.export.usage import USAGE, usage_of
from gancompress.nets.families import family_of

FAMILY = family_of("resnet", blocks=1)
ARCH = FAMILY.uniform(8, "separable")
CARD = Card(FAMILY.options, 3, 3, (16, 16), 4, facts=Facts(style_planes="what the last are"))
X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
RUN_HERE = [n for n in ("safetensors", "pt2", "onnx", "openvino") if not missing(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    net = FAMILY.build(ARCH).eval()
    write_all(
        ExportSource(net, ARCH, CARD, X), formats=RUN_HERE, folder=folder, reference=net, inputs=[X]
    )
    return folder


def test_every_format_has_its_lines_and_no_more_than_five():
    assert set(USAGE) == set(FORMATS)
    for name, entry in FORMATS.items():
        lines = usage_of(name, entry.files[0]).splitlines()
        assert 2 <= len(lines) <= 5 and any(entry.files[0] in line for line in lines)


@pytest.mark.parametrize("name", RUN_HERE)
def test_lines_of_a_format_run_and_give_its_answer(name, folder):
    scope = {"x": X.numpy()}
    with contextlib.chdir(folder):
        exec(usage_of(name, FORMATS[name].files[0]), scope)
    expected = FORMATS[name].load(folder / FORMATS[name].files[0])(X)
    found = torch.from_numpy(np.asarray(scope["y"]))
    torch.testing.assert_close(found, expected, atol=FORMATS[name].tolerance, rtol=0)


def row(name, macs, fd):
    return Row(name, 1_000, macs, 2 * macs, 4_000, {}, (ReportedValue("FD", fd, 50),))


def file_row(name, ms, **more):
    latency = Latency(ms, ms + 1, 30, 1)
    return FileRow(name, f"{name}.bin", 2_500_000, "float32", 2e-6, latency, **more)


def test_file_table_compares_with_the_teacher_and_shows_losses():
    text = file_table(
        [
            file_row("exact", 4.0, figures=(ReportedValue("FD", 100.0, 50),)),
            file_row(
                "small", 2.0, figures=(ReportedValue("FD", 102.0, 50),), loss={"FD": 0.02}, note="x"
            ),
        ],
        Latency(80.0, 90.0, 30, 1),
    )
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[0][5:] == ["ms, 1 thread", "faster than the teacher in torch", "FD (n=50)"]
    assert lines[2][:3] == ["exact", "model/exact.bin", "2.500 MB"]
    assert lines[2][4:] == ["2e-06", "4.00", "20.0x", "100.0"]
    assert lines[3][5:] == ["2.00", "40.0x", "102.0 (+2.0%)"]
    assert text.splitlines()[-1] == "small: x"


def test_model_card_tells_what_a_user_needs():
    rows = [row("teacher", 10_000, 90.0), row("4x", 2_500, 100.0)]
    files = [file_row("onnx", 4.0)]
    page = Page(
        title="toy: 4x",
        arch=ARCH,
        card=CARD,
        rows=rows,
        table=table(rows),
        file_rows=files,
        files=file_table(files, None),
        licences=Licences("CC0-1.0", "MIT"),
        version="1.2.3",
        data="maps",
    )
    text = model_card(page)
    assert text.startswith("---\nlicense: mit\n") and "\n\n\n" not in text
    assert "4.0 times fewer" in text and "2,500 true" in text and "5,000 as published" in text
    assert "multiples of 4 (trained at 16x16)" in text and "what the last are" in text
    assert all(f"| {slot} | {value} |" in text for slot, value in ARCH.values.items())
    assert "On 50 test images" in text and table(rows) in text and page.files in text
    assert re.search(r"```python\nimport onnxruntime\n.*onnx\.bin", text)
    assert "data: CC0-1.0" in text and "weights:\nMIT" in text
