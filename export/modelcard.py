"""The model card: one page that goes with the files, for people (`README.md`).

Its sections are those of Mitchell et al. 2019 that a compressed generator can fill from its own
run; the same facts lie beside it as `card.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import yaml

from gancompress.archs.arch import Arch
from gancompress.export.card import Card
from gancompress.export.filetable import FileRow
from gancompress.export.markdown import code, table_words, words
from gancompress.export.report import Row
from gancompress.export.sums import MODEL, sums_text
from gancompress.export.usage import usage_of

UNSTATED = "not stated"


@dataclass(frozen=True)
class Licences:
    """Of the data that a generator was trained on, and of its weights; free text or SPDX names."""

    data: str = UNSTATED
    weights: str = UNSTATED


@dataclass(frozen=True)
class Page:
    """What a card tells of an export.

    rows: the final table's, the teacher's first and the exported generator's next; table and files
    as text. sums: SHA-256 of the model files by name.
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
    sums: Mapping[str, str] = field(default_factory=dict)


def model_card(page: Page) -> str:
    """The markdown of a card; it starts with the fields that model hubs read."""
    teacher, row = page.rows[0], page.rows[1]
    return (
        _template()
        .render(
            fields=_fields(page),
            title=page.title,
            arch=page.arch.as_dict(),
            fewer=teacher.macs_true / row.macs_true,
            version=page.version,
            takes=_takes(page.card),
            channels=page.card.facts.channels,
            row=row,
            size="x".join(str(side) for side in page.card.size),
            images=max((f.images for f in row.figures), default=0),
            table=table_words(page.table),
            files=table_words(page.files),
            sums=sums_text({f"{MODEL}/{name}": digest for name, digest in page.sums.items()}),
            usage={r.name: usage_of(r.name, r.file, page.card.names) for r in page.file_rows},
            data=page.data,
            licence={"data": page.licences.data, "weights": page.licences.weights},
        )
        .rstrip("\n")
        + "\n"
    )


def _fields(page: Page) -> str:
    """What model hubs read, as YAML."""
    weights = " ".join(page.licences.weights.split())
    fields = {
        "license": "other" if weights == UNSTATED else weights.lower(),
        "library_name": "gancompress",
        "pipeline_tag": "image-to-image",
        "tags": ["gan", "image-to-image", "model-compression", page.arch.family],
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1000)


def licence_facts(licences: Licences) -> Mapping[str, Any]:
    return {"data": licences.data, "weights": licences.weights, "software": "MIT"}


def _takes(card: Card) -> str:
    height, width = card.size
    taken, given = map(code, card.names)
    times = card.facts.enlargement or ""
    sizes = (
        f"{height}x{width} pixels"
        if card.is_static
        else f"any height and width that are multiples of {card.size_multiple} (trained at "
        f"{height}x{width})"
    )
    values = "[{:g}, {:g}]".format(*card.value_range)
    return (
        f"{taken}: float32, (N, {card.in_channels}, H, W), values in {values}; {sizes}, where a "
        "file does not say less.\n"
        f"{given}: float32, (N, {card.out_channels}, {times}H, {times}W), values in {values}."
    )


def _template() -> jinja2.Template:
    loader = jinja2.PackageLoader("gancompress.export")
    # Markdown: what others wrote goes through a filter, as HTML's escapes alone would not do.
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters |= {"words": words, "code": code}
    return environment.get_template("card.md.j2")
