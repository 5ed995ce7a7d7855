"""An export folder is replaced as a whole or not at all, and only by files that agree."""

import os

import pytest
import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import extract
from gancompress.export.card import Card, ExportSource, Model, Written
from gancompress.export.extract import staging, write_all
from gancompress.export.formats import FORMATS, Format
from gancompress.export.verify import difference, verify
from gancompress.nets.families import family_of

FAMILY = family_of("resnet", blocks=1)
ARCH = FAMILY.uniform(2)
CARD = Card(FAMILY.options, 3, 3, (16, 16), 4)
X = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1


def net(seed=0):
    torch.manual_seed(seed)
    return FAMILY.build(ARCH)


def export(folder, generator, *, reference=None, formats=("safetensors",), inputs=(X,), card=CARD):
    return write_all(
        ExportSource(generator, ARCH, card, X),
        formats=formats,
        folder=folder,
        reference=reference or generator,
        inputs=inputs,
    )


def names(folder):
    return sorted(os.listdir(folder))


def test_write_all_returns_what_lies_on_the_disk(tmp_path):
    (one,) = export(tmp_path / "run" / "export", net())
    assert (one.name, one.difference, one.note) == ("safetensors", 0.0, "")
    assert one.path == tmp_path / "run" / "export" / "model.safetensors"
    assert one.bytes == sum(f.stat().st_size for f in one.path.parent.iterdir())
    assert names(tmp_path / "run") == ["export"]


def test_write_all_leaves_the_network_as_it_was(tmp_path):
    generator = net().train()
    before = {n: t.clone() for n, t in generator.state_dict().items()}
    export(tmp_path / "export", generator)
    assert generator.training and all(p.requires_grad for p in generator.parameters())
    assert all(torch.equal(t, before[n]) for n, t in generator.state_dict().items())


def test_file_of_other_weights_is_refused_and_the_earlier_export_kept(tmp_path):
    folder = tmp_path / "export"
    (one,) = export(folder, net(0))
    content = one.path.read_bytes()
    with pytest.raises(ExportError, match=r"differs .* own output by .*; safetensors allows 0 \("):
        export(folder, net(1), reference=net(0))
    assert one.path.read_bytes() == content and names(tmp_path) == ["export"]


def test_unknown_format_writes_nothing(tmp_path):
    with pytest.raises(ExportError, match="'tflite' is unknown"):
        export(tmp_path / "export", net(), formats=("safetensors", "tflite"))
    assert names(tmp_path) == []


def test_models_of_an_earlier_export_go_and_other_files_stay(tmp_path):
    folder = tmp_path / "export"
    export(folder, net())
    (folder / "model.onnx").write_text("of an earlier run")
    (folder / "notes.txt").write_text("mine")
    export(folder, net(1))
    assert names(folder) == ["arch.json", "model.safetensors", "notes.txt"]
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("done", [1, 2], ids=["first rename", "second rename"])
def test_export_killed_between_its_renames_is_put_right_by_the_next(done, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    export(folder, net())
    (folder / "notes.txt").write_text("mine")
    calls = []

    def rename(source, target):
        if len(calls) == done:
            raise KeyboardInterrupt
        calls.append((source, target))
        os.replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(extract.os, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            export(folder, net(1))
    assert (folder / "notes.txt").exists() is False and len(calls) == done
    with staging(folder) as fresh:
        assert (folder / "notes.txt").read_text() == "mine"
        assert (folder / "model.safetensors").exists()
        (fresh / "model.pt2").write_text("new")
    assert names(folder) == ["model.pt2", "notes.txt"] and names(tmp_path) == ["export"]


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "export").write_text("mine")
    with pytest.raises(ExportError, match="a file of that name is in the way"):
        export(tmp_path / "export", net())
    assert (tmp_path / "export").read_text() == "mine"
    with pytest.raises(ExportError, match="cannot be written .*choose another folder"):
        export(tmp_path / "export" / "below", net())


class OneSize(nn.Module):
    """Takes 16x16 alone: its middle is a matrix over all positions."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(256, 256)

    def forward(self, x):
        return torch.tanh(self.mix(x.flatten(2)).view(x.shape))


def test_network_of_one_size_gives_a_file_of_one_size(tmp_path):
    (one,) = export(tmp_path / "export", OneSize(), formats=("pt2",))
    assert one.note.startswith("size fixed at 16x16: ") and "cannot be multiplied" in one.note
    with pytest.raises(ExportError, match="with height 16 and width 16"):
        FORMATS["pt2"].load(one.path)(X.repeat(1, 1, 2, 2))


def stub(answer, tolerance=0.0, is_static=True):
    def write(source, folder):
        path = folder / "stub"
        path.write_text("")
        return Written(path, (path,), is_static)

    return Format(("stub",), write, lambda path: answer, tolerance, "a test")


def test_claim_to_take_other_sizes_is_proven_on_one(tmp_path, monkeypatch):
    sizes = []

    def only_trained_size(x):
        sizes.append(tuple(x.shape[2:]))
        return x if x.shape[2] == 16 else 2 * x

    card = Card({}, 3, 3, (16, 16), 4)
    model = Model(only_trained_size, Arch.of("own", {}), card, "stub")
    monkeypatch.setitem(FORMATS, "stub", stub(model, is_static=False))
    with pytest.raises(ExportError, match="differs from the supernet's own output"):
        export(tmp_path / "export", net(), formats=("stub",), reference=lambda x: x)
    assert sizes == [(16, 16), (20, 24)]
    monkeypatch.setitem(FORMATS, "stub", stub(model, is_static=True))
    export(tmp_path / "export", net(), formats=("stub",), reference=lambda x: x)


@pytest.mark.parametrize(("gap", "tolerance", "ok"), [(0.25, 0.25, True), (0.5, 0.25, False)])
def test_verify_measures_the_largest_difference_and_enforces_it(gap, tolerance, ok, monkeypatch):
    def answer(x):
        moved = x.clone()
        moved[-1, 0, 3, 5] -= gap
        return moved

    monkeypatch.setitem(FORMATS, "stub", stub(answer, tolerance))
    x = torch.zeros(2, 1, 8, 8)
    if ok:
        assert verify("m", "stub", lambda x: x, [x, x]) == gap
    else:
        with pytest.raises(ExportError, match=r"m: differs .* by 0.5; stub allows 0.25 \(a test\)"):
            verify("m", "stub", lambda x: x, [x])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x * float("nan"), "by nan"),
        (lambda x: x[:, :, 1:], r"answers \(1, 1, 7, 8\) torch.float32; the supernet answers"),
        (lambda x: x.double(), "torch.float64; the supernet answers"),
    ],
    ids=["nan", "shape", "dtype"],
)
def test_verify_refuses_what_cannot_be_compared(answer, message, monkeypatch):
    monkeypatch.setitem(FORMATS, "stub", stub(answer, 1.0))
    with pytest.raises(ExportError, match=message):
        verify("m", "stub", lambda x: x, [torch.ones(1, 1, 8, 8)])
    with pytest.raises(ExportError, match="no images to compare with"):
        verify("m", "stub", lambda x: x, [])


def test_difference_is_the_largest_absolute_one():
    one = torch.tensor([1.0, -2.0, 3.0])
    assert difference(one, torch.tensor([1.5, 1.0, 3.0])) == 3.0
    assert difference(one, one) == 0.0


def test_export_is_of_the_arch_that_the_file_names(tmp_path):
    (one,) = export(tmp_path / "export", net())
    about = Arch.from_json(ARCH.to_json())
    assert about == ARCH and ARCH.key.encode() in one.path.read_bytes()
