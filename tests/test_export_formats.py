"""Every format, written from a real subnet, read back, compared and measured."""

import json
import os
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from gancompress import export
from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError, ExportError
from gancompress.export import card, formats
from gancompress.export.card import Card, ExportSource, manifest_text, read_manifest
from gancompress.export.extract import write_all
from gancompress.export.facts import Facts
from gancompress.export.formats import FORMATS, missing, require
from gancompress.export.options import Format
from gancompress.nets.families import family_of
from gancompress.supernet.supernet import Supernet

USABLE = [name for name in FORMATS if not missing(name)]
FAMILY = family_of("resnet", in_channels=4, out_channels=3, blocks=1)
ARCH = FAMILY.arch([8, 4, 8, 4, 4, 8], "separable")
CARD = Card(FAMILY.options, 4, 3, (32, 32), 4, facts=Facts(recipe="toy"))
# The graph, the names and the manifest; the weights come on top. Measured for this network:
# safetensors 2 kB, pt2 8 kB, onnx 14 kB (for nine blocks 9, 22 and 61 kB beside 1.4 MB), rounded
# 40 kB; OpenVINO writes a graph as XML. The last convolution's phases hold 5 kB of zeros.
OVERHEAD_BYTES = {"openvino": 80_000, "onnx": 50_000, "executorch": 70_000, "": 30_000}
BYTES = {"onnx-fp16": 2, "onnx-int8": 1, "openvino-16bit": 2, "openvino-int8": 1}  # of a weight
FILES = [name for name in USABLE if name != "web"]  # that is a folder, a browser's runtime in it
EXACT = [name for name in USABLE if FORMATS[name].is_float32]


@pytest.fixture(scope="module")
def supernet():
    net = Supernet(FAMILY.build, FAMILY.space([4, 8], ["dense", "separable"])).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in net.shared.values():
            tensor.normal_(0.0, 0.1, generator=generator)
    return net


def images(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def source(net):
    x, calibration = images(0, 1, 4, 32, 32), images(3, 4, 4, 32, 32)
    return ExportSource(net, ARCH, CARD, x, tuple(calibration.split(1)))


def written(supernet, folder, names):
    given = source(supernet.extract(ARCH))
    inputs = [images(1, 1, 4, 32, 32), images(2, 3, 4, 32, 32)]
    reference = supernet.subnet(ARCH)
    done = write_all(given, formats=names, folder=folder, reference=reference, inputs=inputs)
    return {one.name: one for one in done}


@pytest.fixture(scope="module")
def exports(supernet, tmp_path_factory):
    return written(supernet, tmp_path_factory.mktemp("run") / "export", USABLE)


@pytest.fixture(scope="module")
def others(supernet, tmp_path_factory):
    """The same from an equal network, the last format first: none depends on those before."""
    return written(supernet, tmp_path_factory.mktemp("again") / "export", USABLE[::-1])


@pytest.fixture(scope="module")
def runs(exports):
    return {name: FORMATS[name].load(one.path) for name, one in exports.items()}


def test_registry_holds_eleven_formats_with_tolerance_and_reason():
    assert len(FORMATS) == 11 and all(f.reason and f.files for f in FORMATS.values())
    assert {n for n, f in FORMATS.items() if f.tolerance == 0} == {"safetensors"}
    for entry in FORMATS.values():
        assert entry.tolerance <= (1e-3 if entry.is_float32 else 1.0)
        assert entry.is_float32 == (entry.mean_tolerance is None)
    files = [file for entry in FORMATS.values() for file in entry.files]
    assert len(files) == len(set(files))


def test_recipe_knows_the_formats_of_the_registry():
    assert set(get_args(Format)) == set(FORMATS)


@pytest.mark.parametrize("name", FILES)
def test_file_is_as_large_as_its_parameters(name, exports, supernet):
    own = sum(p.numel() for p in supernet.extract(ARCH).parameters())
    one = exports[name]
    sizes = [(one.path.parent / file).stat().st_size for file in FORMATS[name].files]
    over = OVERHEAD_BYTES.get(name.split("-")[0], OVERHEAD_BYTES[""])
    assert one.bytes == sum(sizes) and BYTES.get(name, 4) * own <= one.bytes <= 4 * own + over


@pytest.mark.parametrize("name", USABLE)
def test_difference_is_within_tolerance_and_size_is_free(name, exports, runs, supernet):
    assert exports[name].difference <= FORMATS[name].tolerance
    assert (name in EXACT and name != "executorch") == (exports[name].note == "")
    run, entry = runs[name], FORMATS[name]
    sizes = [(32, 32)] if run.card.is_static else [(16, 64), (48, 20)]
    assert run.card.is_static == (name in ("onnx-static", "executorch"))
    for count, size in zip((1, 3), (sizes[0], sizes[-1]), strict=True):
        x = images(7, count, 4, *size)
        gap = (run(x) - supernet(ARCH, x)).detach().abs()
        assert gap.max() <= entry.tolerance and not run(x).requires_grad
        assert entry.mean_tolerance is None or gap.mean() <= entry.mean_tolerance


@pytest.mark.parametrize("name", USABLE)
@pytest.mark.parametrize(
    "x",
    [torch.zeros(1, 3, 32, 32), torch.zeros(1, 4, 32, 30), torch.zeros(4, 32, 32)],
    ids=["channels", "size", "no batch"],
)
def test_wrong_input_is_one_sentence(name, x, runs):
    sizes = "height 32 and width 32" if runs[name].card.is_static else ".* multiples of 4"
    with pytest.raises(ExportError, match=rf"takes float32 \(N, 4, H, W\) with {sizes}"):
        runs[name](x)


@pytest.mark.parametrize("name", FILES)
def test_truncated_or_missing_file_is_refused(name, exports, tmp_path):
    files, folder = FORMATS[name].files, exports[name].path.parent
    for file in files:
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    for file in files:
        whole = (tmp_path / file).read_bytes()
        for keep in (0, 100, len(whole) // 2, len(whole) - 1):
            (tmp_path / file).write_bytes(whole[:keep])
            if file.endswith(".json") and whole[:keep].rstrip() == whole.rstrip():
                continue  # a line end less is the same JSON
            with pytest.raises((ExportError, CheckpointError), match="truncated"):
                FORMATS[name].load(tmp_path / files[0])
        (tmp_path / file).unlink()
        with pytest.raises((ExportError, CheckpointError), match="no such file"):
            FORMATS[name].load(tmp_path / files[0])
        (tmp_path / file).write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_foreign_file_is_refused(name, exports, tmp_path):
    for file in FORMATS[name].files:
        (tmp_path / file).write_text("<net>not one of ours</net>")
    with pytest.raises((ExportError, CheckpointError), match="not (a|an|JSON|one)|no manifest"):
        FORMATS[name].load(tmp_path / FORMATS[name].files[0])


@pytest.mark.parametrize("name", USABLE)
def test_file_of_another_version_is_refused(name, exports, monkeypatch):
    monkeypatch.setattr(card, "VERSION", 9)
    with pytest.raises(ExportError, match="written as version 1; this gancompress reads version 9"):
        FORMATS[name].load(exports[name].path)


@pytest.mark.parametrize("name", USABLE)
def test_equal_networks_give_equal_bytes_without_this_machines_paths(name, exports, others):
    one, other = exports[name].path.parent, others[name].path.parent
    for file in FORMATS[name].files:
        parts = sorted((one / file).rglob("*")) if (one / file).is_dir() else [one / file]
        for part in (part for part in parts if part.is_file()):
            content = part.read_bytes()
            assert content == (other / part.relative_to(one)).read_bytes()
            assert b"site-packages" not in content and os.getcwd().encode() not in content


def test_load_rebuilds_the_generator_bit_for_bit(exports, supernet):
    net = export.load(exports["safetensors"].path.parent)
    assert not net.training
    own = supernet.extract(ARCH).state_dict()
    assert all(torch.equal(t, own[name]) for name, t in net.state_dict().items())
    assert len(own) == len(net.state_dict())


def test_program_runs_without_gancompress(exports, supernet, tmp_path):
    x = images(5, 2, 4, 24, 40)
    np.save(tmp_path / "in.npy", x.numpy())
    script = (
        "import sys; sys.modules['gancompress'] = None\n"
        "import numpy, torch\n"
        "path, source, target = sys.argv[1:]\n"
        "net = torch.export.load(path).module()\n"
        "numpy.save(target, net(torch.from_numpy(numpy.load(source))).numpy())\n"
        "assert not [m for m in sys.modules if m.startswith('gancompress.')]\n"
    )
    files = [exports["pt2"].path, tmp_path / "in.npy", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-c", script, *map(str, files)], check=True)
    with torch.inference_mode():
        expected = supernet(ARCH, x)
    assert (torch.from_numpy(np.load(tmp_path / "out.npy")) - expected).abs().max() <= 1e-5


@pytest.mark.skipif("onnx" not in USABLE, reason="the onnx extra is not installed")
def test_onnx_names_its_ends_its_opset_and_its_free_axes(exports):
    import onnx

    model = onnx.load(exports["onnx"].path)
    (x,), (y,) = model.graph.input, model.graph.output
    assert (x.name, y.name) == ("input", "output")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 20)]
    dims = x.type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 4, "4*height", "4*width"]
    kinds = {node.op_type for node in model.graph.node}
    assert {"InstanceNormalization", "ConvTranspose", "Pad"} <= kinds  # each one node
    about = {p.key: p.value for p in model.metadata_props}["gancompress"]
    assert read_manifest(about, "") == (ARCH, CARD)


def test_manifest_reads_back_what_it_wrote():
    assert read_manifest(manifest_text(ARCH, CARD), "x") == (ARCH, CARD)
    assert read_manifest(manifest_text(ARCH, CARD.static()), "x")[1].is_static


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d | {"version": 9}, "a/b: written as version 9; .* reads version 1"),
        (lambda d: d | {"format": "other"}, "a/b: no gancompress manifest"),
        (lambda d: d | {"arch": 3}, "a/b: a damaged manifest"),
        (lambda d: d | {"input": {"channels": 3}}, "a/b: a damaged manifest .*KeyError"),
        (lambda d: [d], "a/b: no gancompress manifest"),
    ],
)
def test_manifest_of_another_kind_is_refused(change, message):
    text = json.dumps(change(json.loads(manifest_text(ARCH, CARD))))
    with pytest.raises(ExportError, match=message):
        read_manifest(text, "a/b")


def test_pair_from_two_exports_is_refused(exports, tmp_path):
    folder = exports["safetensors"].path.parent
    about = json.loads((folder / "arch.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    about["arch"]["slots"]["up.1.width"] = 4
    (tmp_path / "arch.json").write_text(json.dumps(about))
    with pytest.raises(ExportError, match="not the weights of"):
        export.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("options", {"blocks": 2, "in_channels": 4}, "does not rebuild"),
        ("options", {"colours": 4}, "does not rebuild"),
        ("arch", {"family": "unet", "slots": {}}, "not the weights of|is unknown"),
    ],
)
def test_arch_that_does_not_fit_the_weights_is_refused(key, value, message, exports, tmp_path):
    folder = exports["safetensors"].path.parent
    about = json.loads((folder / "arch.json").read_text()) | {key: value}
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "arch.json").write_text(json.dumps(about))
    with pytest.raises(ExportError, match=message):
        export.load(tmp_path)


class Branching(nn.Module):
    """A network that torch.export can only trace for one height: its code looks at it."""

    def forward(self, x):
        return torch.tanh(x) if x.shape[2] == 16 else 2 * x


FREE = [n for n in EXACT if n not in ("safetensors", "onnx-static", "executorch")]


@pytest.mark.parametrize("name", FREE)
def test_size_is_fixed_with_the_reason_where_it_cannot_be_traced_free(name, tmp_path):
    x, card = images(3, 3, 1, 16, 16), Card({}, 1, 1, (16, 16), 4)
    written = FORMATS[name].write(
        ExportSource(Branching().eval(), Arch.of("branching", {}), card, x), tmp_path
    )
    assert written.note.startswith("size fixed at 16x16: Constraints violated (4*height)")
    run = FORMATS[name].load(written.path)
    assert written.is_static and (run(x) - x.tanh()).abs().max() <= FORMATS[name].tolerance
    with pytest.raises(ExportError, match="with height 16 and width 16"):
        run(images(3, 1, 1, 32, 32))


def test_missing_package_names_the_pip_line(monkeypatch):
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name
    )
    assert missing("safetensors") == missing("pt2") == ""
    assert "needs onnxscript; " in missing("onnx")
    with pytest.raises(ExportError, match=r"pip install 'gancompress\[onnx\]'"):
        require("onnx")


def test_unknown_format_lists_the_known():
    with pytest.raises(ExportError, match="'tflite' is unknown; one of safetensors, pt2, onnx"):
        require("tflite")
