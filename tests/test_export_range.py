"""Files keep the value range of the teacher's own program; here all images are in [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import tracednets
from torch import Tensor, nn

from gancompress.errors import ExportError
from gancompress.export import load
from gancompress.export.card import Card, ExportSource, read_manifest
from gancompress.export.extract import write_all
from gancompress.export.opening import open_model
from gancompress.importers.tracedfile import with_range
from gancompress.storage.checkpoint import read_json


class Doubled(nn.Module):
    """Takes and gives values from 0 to 1, and answers otherwise in another range."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(torch.relu(self.conv(x))))


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module, Tensor]:
    """An export folder of a network of [0, 1], the network itself, and inputs in [-1, 1]."""
    net = tracednets.seeded(Doubled())
    found = with_range(tracednets.imported(net), (0.0, 1.0))
    family = found.family
    own = family.build(family.traced_arch).eval()
    own.load_state_dict(found.tensors)
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    card = Card(family.file_options, 3, 3, (16, 16), 1, value_range=family.value_range)
    source = ExportSource(own, family.traced_arch, card, x)
    folder = tmp_path_factory.mktemp("range") / "model"
    formats = ["safetensors", "pt2", "onnx"]
    done = write_all(source, formats=formats, folder=folder, reference=own, inputs=[x])
    assert all(one.difference < 1e-5 for one in done)
    return folder, net, x


def test_the_network_here_takes_and_gives_images_from_minus_one_to_one() -> None:
    net = tracednets.seeded(Doubled())
    family = with_range(tracednets.imported(net), (0.0, 1.0)).family
    ours = family.build(family.traced_arch).eval()
    ours.load_state_dict(net.state_dict())
    x = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net((x + 1) / 2) * 2 - 1)


def test_files_take_the_range_of_the_original(export: tuple[Path, nn.Module, Tensor]) -> None:
    folder, net, x = export
    own = (x + 1) / 2
    with torch.no_grad():
        expected = net(own)
        torch.testing.assert_close(load(folder)(own), expected)
        program = torch.export.load(folder / "model.pt2").module()
        torch.testing.assert_close(program(own), expected)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (found,) = session.run(["output"], {"input": own.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("file", ["model.safetensors", "model.pt2", "model.onnx"])
def test_opened_models_take_images_as_all_do_here(
    export: tuple[Path, nn.Module, Tensor], file: str
) -> None:
    folder, net, x = export
    with torch.no_grad():
        expected = net((x + 1) / 2) * 2 - 1
    torch.testing.assert_close(open_model(folder / file)(x), expected, atol=1e-5, rtol=1e-5)


def test_the_manifest_says_which_values_the_file_takes(
    export: tuple[Path, nn.Module, Tensor],
) -> None:
    about = read_json(export[0] / "arch.json")
    assert about["input"]["range"] == about["output"]["range"] == [0.0, 1.0]


def test_a_range_that_is_none_is_refused(export: tuple[Path, nn.Module, Tensor]) -> None:
    text = (
        (export[0] / "arch.json").read_text().replace("[\n      0.0,\n      1.0\n    ]", "[1, 0]")
    )
    assert "[1, 0]" in text
    with pytest.raises(ExportError, match="card: a damaged manifest .ValueError: range"):
        read_manifest(text, "card")
