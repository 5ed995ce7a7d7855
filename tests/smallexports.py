"""A small network in every format, at the sizes that it takes.

Every format is proven with one family in tests/test_export_formats.py. Of the others ONNX stands
for all in every suite, as the graph that most are made from; their other formats are slow.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gancompress.export.card import Card, ExportSource
from gancompress.export.formats import FORMATS, missing
from gancompress.nets.families.family import Family

every_format = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "onnx" else pytest.mark.slow)
        for name, entry in FORMATS.items()
        if entry.is_float32 and not missing(name)
    ],
)


def source_of(family: Family) -> ExportSource:
    """A separable network of width 3; formats share what they trace of it."""
    arch = family.uniform(3, "separable")  # the ends are dense
    card = Card(
        family.options, family.in_channels, family.out_channels, (16, 16), family.size_multiple
    )
    example = torch.randn(1, family.in_channels, 16, 16)
    return ExportSource(family.build(arch).eval(), arch, card, example, (example,))


def check_alike_at_any_size(name: str, source: ExportSource, folder: Path) -> None:
    """The file of the format `name` answers as the network does, at another size if it may."""
    written, multiple = FORMATS[name].write(source, folder), source.card.size_multiple
    assert written.is_static == (name in ("onnx-static", "executorch"))
    scale = 4 if written.is_static else multiple
    x = torch.randn(3, source.card.in_channels, 4 * scale, 4 * scale)
    if not written.is_static:
        x = x[:, :, :-multiple]
    with torch.no_grad():
        found = FORMATS[name].load(written.path)(x)
        assert (found - source.net(x)).abs().max() <= FORMATS[name].tolerance
