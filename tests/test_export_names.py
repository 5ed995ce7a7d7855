"""Files keep the names that input and output have in the program that the teacher came from."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import tracednets
from torch import nn

from gancompress.export.card import Card, ExportSource, read_manifest
from gancompress.export.extract import write_all
from gancompress.export.filetable import FileRow
from gancompress.export.formats import FORMATS, missing
from gancompress.export.modelcard import Licences, Page, model_card
from gancompress.export.opening import open_model
from gancompress.export.report import Row
from gancompress.export.usage import usage_of
from gancompress.importers.generators import How, open_generator
from gancompress.importers.onnxgraph import open_onnx
from gancompress.importers.opened import Opened
from gancompress.importers.tracedfile import import_generator
from gancompress.nets.traced.facts import NAMES, ProgramFacts
from gancompress.storage.checkpoint import read_json

X = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
USABLE = [name for name in FORMATS if not missing(name)]


def net() -> nn.Module:
    return tracednets.seeded(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    )


def source_of(names: tuple[str, str]) -> ExportSource:
    family = import_generator(Opened(net(), "a net", names=names), "a net").family
    ours = family.build(family.traced_arch).eval()
    ours.load_state_dict(import_generator(Opened(net(), "a net"), "a net").tensors)
    card = Card(family.file_options, 3, 3, (16, 16), 1, names=family.names)
    return ExportSource(ours, family.traced_arch, card, X, [X], loss=lambda run: 0.0)


def written(folder: Path, names: tuple[str, str], formats: Sequence[str]) -> Path:
    """An export folder of a network whose input and output have these names."""
    source = source_of(names)
    write_all(source, formats=formats, folder=folder, reference=source.net, inputs=[X])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("names") / "model"
    return written(place, ("photo", "painted"), USABLE)


def test_an_onnx_teacher_s_names_are_those_of_its_onnx_file(tmp_path: Path) -> None:
    pytest.importorskip("onnx2torch")
    pytest.importorskip("onnxscript")
    torch.onnx.export(
        net(), (torch.zeros(1, 3, 32, 32),), tmp_path / "net.onnx", dynamo=True, verbose=False,
        input_names=["photo"], output_names=["painted"], external_data=False,
        dynamic_shapes=({0: "n", 2: "h", 3: "w"},),
    )  # fmt: skip
    found = import_generator(open_onnx(tmp_path / "net.onnx"), "net.onnx")
    assert found.program.facts.names == found.family.names == ("photo", "painted")
    again = ProgramFacts.of(
        {**vars(found.program.facts), "names": ["photo", "painted"]}, "as JSON has it"
    )
    assert again == found.program.facts


@pytest.mark.parametrize("name", [n for n in USABLE if "onnx" in n])
def test_onnx_files_have_the_names(name: str, folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / FORMATS[name].files[0])
    assert [value.name for value in session.get_inputs()] == ["photo"]
    assert [value.name for value in session.get_outputs()] == ["painted"]


def test_a_program_s_parameter_has_the_name(folder: Path) -> None:
    program = torch.export.load(folder / "model.pt2").module()
    assert [*inspect.signature(program.forward).parameters] == ["photo"]
    with torch.no_grad():
        torch.testing.assert_close(program(X), net()(X))


@pytest.mark.parametrize("name", USABLE)
def test_every_format_is_opened_and_says_the_names(name: str, folder: Path) -> None:
    model = open_model(folder / FORMATS[name].files[0])
    assert model.card.names == ("photo", "painted")
    with torch.no_grad():
        expected = net()(X)
    assert (model(X) - expected).abs().max() <= FORMATS[name].tolerance + 1e-5


@pytest.mark.parametrize("name", [n for n in USABLE if n not in ("executorch", "web")])
def test_the_lines_of_a_format_name_them(name: str, folder: Path) -> None:
    lines, scope = usage_of(name, FORMATS[name].files[0], ("photo", "painted")), {"x": X.numpy()}
    if name.startswith(("onnx", "openvino")):
        assert '"painted"' in lines
    with contextlib.chdir(folder):
        exec(lines, scope)
    expected = open_model(folder / FORMATS[name].files[0])(X).numpy()
    # OpenVINO's own hint for bfloat16 is another arithmetic than the loaded file's.
    atol = max(1e-5, FORMATS[name].tolerance if "openvino" in name else 1e-5)
    np.testing.assert_allclose(scope["y"], expected, atol=atol)


def test_the_manifest_and_the_model_card_say_the_names(folder: Path) -> None:
    about = read_json(folder / "arch.json")
    assert (about["input"]["name"], about["output"]["name"]) == ("photo", "painted")
    arch, card = read_manifest((folder / "arch.json").read_text(), "card")
    rows = [Row(n, 1, m, m, 4, {}, ()) for n, m in (("teacher", 4), ("small", 1))]
    file = FileRow("onnx", "model.onnx", 1, "float32", 0.0, None)
    page = Page("toy", arch, card, rows, "", [file], "", Licences(), "1", "inputs")
    text = model_card(page)
    assert "`photo`: float32, (N, 3, H, W)" in text and "`painted`: float32" in text
    assert '(y,) = session.run(["painted"], {"photo": x})' in text


def test_files_of_before_names_were_kept_have_the_usual_ones(folder: Path) -> None:
    text = (folder / "arch.json").read_text()
    for name in ("photo", "painted"):
        assert f'"name": "{name}",' in text
        text = text.replace(f'"name": "{name}",', "")
    assert read_manifest(text, "card")[1].names == NAMES == Card({}, 3, 3, (1, 1), 1).names


@pytest.mark.parametrize("names", [("relu", "conv2d"), ("output", "input"), ("in:0", "a/b (c)")])
def test_names_that_values_inside_have_are_given_all_the_same(
    names: tuple[str, str], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    place = written(tmp_path / "model", names, ["pt2", "onnx"])
    session = onnxruntime.InferenceSession(place / "model.onnx")
    (found,) = session.run([names[1]], {names[0]: X.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, net()(X).numpy(), atol=1e-5)


MODULE = """
import torch


class Generator(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(3, 3, 1)

    def forward(self, picture, strength=None):
        return super().forward(picture) * (1 if strength is None else strength)
"""


def test_a_module_s_and_a_program_s_name_is_that_of_the_parameter(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    torch.save(tracednets.seeded(nn.Conv2d(3, 3, 1)).state_dict(), tmp_path / "net.pth")
    for bound in ({}, {"strength": torch.ones(1, 1, 1, 1)}):
        how = How(weights=tmp_path / "net.pth", bound=bound)
        assert open_generator(f"{tmp_path}/net.py:Generator", how, str).names == ("picture", "")

    class Named(nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return picture * 2

    torch.export.save(torch.export.export(Named(), (X,)), tmp_path / "net.pt2")
    assert open_generator(f"{tmp_path}/net.pt2", How(), str).names == ("picture", "")


def test_names_that_say_nothing_are_the_usual_ones() -> None:
    for names, usable in (
        (("", ""), NAMES),
        (("x", ""), ("x", "output")),
        (("output", ""), NAMES),
        (("same", "same"), NAMES),
    ):
        assert Opened(net(), "a net", names=names).usable_names == usable
