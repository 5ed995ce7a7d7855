"""Exports of networks with operators and splits by stage, at free sizes.

What only the slow tests prove: that each stage can be split alone, and in StarGAN's form too; in
every suite one stage is, and all together.
"""

from pathlib import Path

import pytest
import torch

from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS, missing
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import Bands

# Alone, so that undivided neighbours meet it, or everywhere; and the multiple that sides have.
SPLITS: dict[str, tuple[dict[str, Bands], int]] = {
    "none": ({}, 4),
    "stem": ({"stem": Bands(0.25, 0.25)}, 4),
    "down.0": ({"down.0": Bands(0.5)}, 8),
    "body.0": ({"body.0": Bands(0.25, 0.25)}, 16),
    "up.0": ({"up.0": Bands(0.5)}, 8),
    "up.1": ({"up.1": Bands(0.25, 0.25)}, 8),
    "all": (dict.fromkeys(("stem", "down.0", "down.1", "body.0", "up.0", "up.1"), Bands(0.5)), 8),
}
QUICK = ("body.0", "all")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param("resnet", label, marks=() if label in QUICK else pytest.mark.slow)
        for label in SPLITS
    ]
    + [pytest.param("stargan", label, marks=pytest.mark.slow) for label in ("down.0", "up.0")],
)
def test_files_take_the_sizes_that_the_family_names(name: str, label: str, tmp_path: Path) -> None:
    splits, multiple = SPLITS[label]
    family = family_of(name, blocks=1)
    bands = {f"{stage}.bands": str(split) for stage, split in splits.items()}
    arch = family.uniform(32).replace({**bands, "up.0.op": "separable", "down.1.op": "separable"})
    assert family.multiple(arch) == multiple
    net = family.build(arch).eval()
    formats = [f for f in ("pt2", "onnx") if not missing(f)][: 2 if len(splits) > 1 else 1]
    x = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    done = write_all(
        ExportSource(net, arch, Card(family.options, 3, 3, (48, 64), multiple), x),
        formats=formats,
        folder=tmp_path / "export",
        reference=net,
        inputs=[x],
    )
    wider = torch.randn(3, 3, 48 + multiple, 80)
    for one in done:
        assert one.note == ""  # no fixed size
        got = FORMATS[one.name].load(one.path)(wider)
        torch.testing.assert_close(got, net(wider).detach(), atol=1e-4, rtol=0)
