"""Exports of a generator whose answers are larger than its inputs.

What only the slow tests prove: the same of its separable form, undivided.
"""

from pathlib import Path

import pytest
import torch

from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.facts import Facts
from gancompress.export.formats import FORMATS, missing
from gancompress.export.modelcard import _takes
from gancompress.export.opening import open_model
from gancompress.nets.families import family_of
from gancompress.nets.layers.features import Bands
from gancompress.supernet.supernet import Supernet


@pytest.mark.parametrize(
    ("op", "bands"),
    [pytest.param("separable", Bands(), marks=pytest.mark.slow), ("dense", Bands(0.5))],
)
def test_files_answer_larger_than_they_are_asked_at_any_size(
    op: str, bands: Bands, tmp_path: Path
) -> None:
    family = family_of("srresnet", blocks=1, scale=4)
    space = family.space([16, 8], ["dense", "separable"], [Bands(), Bands(0.5)])
    supernet = Supernet(family.build, space).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in supernet.shared.items():
            if tensor.is_floating_point():
                tensor.normal_(0.0, 0.1, generator=generator)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    arch = family.uniform(16, op, bands)
    multiple = family.multiple(arch)
    card = Card(family.options, 3, 3, (8, 12), multiple, facts=Facts(enlargement=4))
    x = torch.randn(1, 3, 8, 12, generator=generator)
    formats = [name for name in ("safetensors", "pt2", "onnx") if not missing(name)]
    done = write_all(
        ExportSource(supernet.extract(arch), arch, card, x),
        formats=formats,
        folder=tmp_path / "export",
        reference=supernet.subnet(arch),
        inputs=[x],
    )
    assert [one.name for one in done] == formats
    wider = torch.randn(2, 3, 8 + multiple, 10, generator=generator)
    with torch.no_grad():
        wanted = supernet(arch, wider)
    assert wanted.shape == (2, 3, 32 + 4 * multiple, 40)
    for one in done:
        assert one.note == ""  # no fixed size
        got = FORMATS[one.name].load(one.path)(wider)
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
        assert open_model(one.path).card.facts.enlargement == 4


def test_the_model_card_says_how_much_larger_answers_are() -> None:
    card = Card({}, 3, 3, (24, 24), 1, facts=Facts(enlargement=4))
    assert "`output`: float32, (N, 3, 4H, 4W), values in [-1, 1]." in _takes(card)
    assert "`output`: float32, (N, 3, H, W), values in [-1, 1]." in _takes(
        Card({}, 3, 3, (8, 8), 4)
    )
