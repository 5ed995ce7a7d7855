"""The model card: one page that goes with the files, for people (`README.md`).

Its sections are those of Mitchell et al. 2019 that a compressed generator can fill from its own
run; the same facts lie beside it as `card.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from gancompress.arch import Arch
from gancompress.export.card import Card
from gancompress.export.filetable import FileRow
from gancompress.export.report import Row
from gancompress.export.usage import usage_of

UNSTATED = "not stated"

# Facts of a file that say what planes mean, in the order in which the card tells them.
_PLANES = ("label_planes", "class_planes", "style_planes")


@dataclass(frozen=True)
class Licences:
    """Of the data that a generator was trained on, and of its weights; free text or SPDX names."""

    data: str = UNSTATED
    weights: str = UNSTATED


@dataclass(frozen=True)
class Page:
    """What a card tells of an export.

    rows: the final table's, the teacher's first and the exported generator's next; table and files
    as text.
    """

    title: str
    arch: Arch
    card: Card
    rows: Sequence[Row]
    table: str
    file_rows: Sequence[FileRow]
    files: str
    licences: Licences
    version: str
    data: str


def model_card(page: Page) -> str:
    """The markdown of a card; it starts with the fields that model hubs read."""
    teacher, row = page.rows[0], page.rows[1]
    weights = page.licences.weights
    return (
        _template()
        .render(
            title=page.title,
            arch={"family": page.arch.family, "slots": page.arch.values},
            fewer=teacher.macs_true / row.macs_true,
            version=page.version,
            takes=_takes(page.card),
            planes=[page.card.facts[key] for key in _PLANES if key in page.card.facts],
            row=row,
            size="x".join(str(side) for side in page.card.size),
            images=max((f.images for f in row.figures), default=0),
            table=page.table,
            files=page.files,
            usage={r.name: usage_of(r.name, r.file) for r in page.file_rows},
            data=page.data,
            licence={
                "data": page.licences.data,
                "weights": weights,
                "tag": "other" if weights == UNSTATED else weights.lower(),
            },
        )
        .rstrip("\n")
        + "\n"
    )


def licence_facts(licences: Licences) -> Mapping[str, Any]:
    return {"data": licences.data, "weights": licences.weights, "software": "MIT"}


def _takes(card: Card) -> str:
    height, width = card.size
    times = card.facts.get("enlargement", "")
    sizes = (
        f"{height}x{width} pixels"
        if card.is_static
        else f"any height and width that are multiples of {card.size_multiple} (trained at "
        f"{height}x{width})"
    )
    return (
        f"`input`: float32, (N, {card.in_channels}, H, W), values in [-1, 1]; {sizes}, where a "
        "file does not say less.\n"
        f"`output`: float32, (N, {card.out_channels}, {times}H, {times}W), values in [-1, 1]."
    )


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("gancompress.export")
    environment = jinja2.Environment(  # markdown, which is not escaped
        loader=loader, undefined=jinja2.StrictUndefined, autoescape=False
    )
    return environment.get_template("card.md.j2")
