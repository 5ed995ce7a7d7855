"""Others' words in cards: they stay words in YAML, in Markdown and in its tables."""

from __future__ import annotations

import html
import re

import pytest
import yaml

from gancompress.archs.arch import Arch
from gancompress.export.card import Card
from gancompress.export.filetable import FileRow, file_table
from gancompress.export.markdown import code, table_words, words
from gancompress.export.modelcard import Licences, Page, model_card
from gancompress.export.report import ReportedValue, Row, table

HOSTILE = (
    "</script><script>alert(1)</script>",
    "---\nlicense: mit\n---",
    "```\nrm -rf\n```",
    "a | b | c",
    "# title\n\n- list",
    "[click](javascript:alert(1)) ![x](http://x/y.png)",
    "a: b # c {x} & *y !!python/object:os.system",
    "`` ` `` \\` ~~x~~ <b>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_words_are_one_line_without_marks_and_read_as_before(text: str) -> None:
    found = words(text)
    bare = re.sub(r"\\.", "", found)
    assert "\n" not in found and not set(bare) & set("<>`*[]|~") and not re.match("[-+#=>]", found)
    read = html.unescape(re.sub(r"\\(.)", r"\1", found))
    assert read == " ".join(text.split())


@pytest.mark.parametrize("text", [*HOSTILE, "", "`", "``", " ` "])
def test_code_ends_where_its_fence_does(text: str) -> None:
    found = code(text)
    fence = re.match("`+", found)
    assert fence is not None and found.endswith(fence[0]) and "\n" not in found
    inside = found[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall("`+", inside)
    assert not re.search(r"(?<!\\)\|", inside)


def page(evil: str) -> Page:
    arch = Arch.of("resnet", {"w": 4, evil: 8})
    rows = [
        Row(name, 10, 20, 40, figures=(ReportedValue("L1", 0.5, 3),)) for name in ("teacher", "4x")
    ]
    files = [FileRow("onnx", "model.onnx", 5, "float32", 0.0, note=f"size fixed: {evil}")]
    return Page(
        title=f"{evil}: {evil}", arch=arch, card=Card({}, 3, 3, (8, 8), 4),
        rows=rows, table=table(rows), file_rows=files, files=file_table(files, None),
        licences=Licences(evil, evil), version="1", data=evil, sums={"model.onnx": "0" * 64},
    )  # fmt: skip


@pytest.mark.parametrize("evil", HOSTILE)
def test_a_card_of_hostile_words_has_the_lines_of_a_plain_one(evil: str) -> None:
    text, plain = model_card(page(evil)), model_card(page("plain"))
    _, fields, body = text.split("---\n", 2)
    assert yaml.safe_load(fields)["license"] == " ".join(evil.split()).lower()
    assert list(yaml.safe_load(fields)) == list(yaml.safe_load(plain.split("---\n")[1]))
    unfenced = re.sub(r"^```(python)?\n.*?^```$", "", body, flags=re.S | re.M)
    assert "<" not in re.sub(r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)", "", unfenced)
    for start in ("# ", "## ", "```", "---", "- "):
        lines = [one.splitlines() for one in (body, plain.split("---\n", 2)[2])]
        counts = [sum(line.startswith(start) for line in one) for one in lines]
        assert counts[0] == counts[1], start
    slots = [line for line in body.splitlines() if line.startswith("| ") and line.endswith("| 8 |")]
    assert len(slots) == 1 and len(re.findall(r"(?<!\\)\|", slots[0])) == 3


def test_a_table_keeps_its_cells() -> None:
    assert table_words("| a<b> | c |") == "| a&lt;b&gt; | c |"
