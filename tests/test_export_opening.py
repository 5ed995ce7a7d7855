"""Any exported file by its name, and one sentence for whatever is none."""

import importlib.util
import json
import shutil

import pytest
import torch

from gancompress.errors import ExportError
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS, missing
from gancompress.export.opening import locate, models_in, open_model
from gancompress.nets.families import family_of

FAMILY = family_of("resnet", in_channels=3, out_channels=3, blocks=1)
ARCH = FAMILY.arch([4, 4, 4, 4, 4, 4])
CARD = Card(FAMILY.options, 3, 3, (16, 16), 4)
X = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
USABLE = [name for name in ("safetensors", "pt2", "onnx") if not missing(name)]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return FAMILY.build(ARCH).eval()


@pytest.fixture(scope="module")
def run(net, tmp_path_factory):
    """A folder as a run's, with its export in every format that is used here."""
    root = tmp_path_factory.mktemp("run")
    write_all(
        ExportSource(net, ARCH, CARD, X),
        formats=USABLE,
        folder=root / "export" / "model",
        reference=net,
        inputs=[X],
    )
    return root


def test_run_export_and_model_folder_all_open_the_weights(run, net):
    weights = run / "export" / "model" / "model.safetensors"
    places = (run, run / "export", weights.parent, weights, weights.with_name("arch.json"))
    for place in places:
        model = open_model(place)
        assert model.where == str(weights)
        assert torch.equal(model(X), net(X))


@pytest.mark.parametrize("name", USABLE)
def test_every_file_opens_as_its_format_does(name, run):
    path = run / "export" / "model" / FORMATS[name].files[0]
    assert locate(path) == (name, path)
    assert models_in(run)[name] == path
    assert torch.equal(open_model(path)(X), FORMATS[name].load(path)(X))


def test_a_renamed_file_opens_by_its_suffix(run, tmp_path, net):
    copy = shutil.copy(run / "export" / "model" / "model.pt2", tmp_path / "mine.pt2")
    assert (open_model(copy)(X) - net(X)).abs().max() <= FORMATS["pt2"].tolerance
    renamed = tmp_path / "mine.safetensors"
    renamed.touch()
    with pytest.raises(ExportError, match=r"read from model.safetensors beside arch.json"):
        open_model(renamed)


def test_a_folder_without_weights_opens_what_it_has(run, tmp_path):
    shutil.copy(run / "export" / "model" / "model.pt2", tmp_path)
    assert open_model(tmp_path).where == str(tmp_path / "model.pt2")


def test_own_code_is_run_from_the_file_that_is_given(tmp_path):
    code = tmp_path / "mine.py"
    code.write_text(
        "from torch import nn\ndef build(arch):\n    width = arch.width('mid')\n"
        "    return nn.Sequential(nn.Conv2d(3, width, 1), nn.Conv2d(width, 3, 1))\n"
    )
    family = family_of("own", in_channels=3, out_channels=3, file=str(code))
    arch = family.arch([4])
    net = family.build(arch).eval()
    card = Card(family.options, 3, 3, (8, 8), 1)
    weights = FORMATS["safetensors"].write(ExportSource(net, arch, card, X), tmp_path).path
    with pytest.raises(ExportError, match="code of its maker's own"):
        open_model(weights)
    assert torch.equal(open_model(weights, code)(X), net(X))


def test_what_is_no_model_is_one_sentence(tmp_path):
    text = tmp_path / "notes.txt"
    text.touch()
    with pytest.raises(ExportError, match=r"notes.txt: not a model file .* \.safetensors \.pt2"):
        open_model(text)
    with pytest.raises(ExportError, match="no such file or folder"):
        open_model(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="no model in it"):
        open_model(tmp_path)


def test_a_file_of_another_version_is_refused(run, tmp_path):
    shutil.copytree(run / "export" / "model", tmp_path / "model")
    about = tmp_path / "model" / "arch.json"
    manifest = json.loads(about.read_text())
    about.write_text(json.dumps(manifest | {"version": 99}))
    with pytest.raises(ExportError, match=r"version 99; this gancompress reads version"):
        open_model(tmp_path / "model")


def test_a_missing_package_is_named_with_its_pip_line(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ExportError, match=r"model.onnx: onnx needs onnx, .*pip install 'gancompress\[onnx\]'"
    ):
        open_model(path)
