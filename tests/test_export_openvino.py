"""OpenVINO's pair of files: three precisions, pairs that belong together, nothing printed."""

import hashlib
import subprocess
import sys

import pytest
import torch
from processors import int8_sums_saturate

from gancompress.errors import ExportError
from gancompress.export import openvino_file
from gancompress.export.card import Card, ExportSource
from gancompress.export.formats import FORMATS
from gancompress.nets.families import family_of

openvino = pytest.importorskip("openvino")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

FAMILY = family_of("resnet", blocks=1)
ARCH = FAMILY.uniform(8, "separable")
IMAGES = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(0)) * 2 - 1
NAMES = [name for name in FORMATS if name.startswith("openvino")]


def source(seed=0):
    torch.manual_seed(seed)
    net = FAMILY.build(ARCH).eval().requires_grad_(False)
    card = Card(FAMILY.options, 3, 3, (32, 32), 4)
    return ExportSource(net, ARCH, card, IMAGES[:1], tuple(IMAGES.split(1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, given = tmp_path_factory.mktemp("openvino"), source()
    for name in NAMES:
        FORMATS[name].write(given, folder)
    return folder


def load(name, folder):
    return FORMATS[name].load(folder / FORMATS[name].files[0])


def test_there_are_three_and_each_has_its_precision(folder):
    assert len(NAMES) == 3
    known = openvino_file.sixteen_bits()[1]
    found = [load(name, folder).card.precision for name in NAMES]
    assert found == ["float32", known, "int8"]
    sizes = [(folder / FORMATS[name].files[1]).stat().st_size for name in NAMES]
    assert sizes[1] < 0.6 * sizes[0]
    # Without VNNI its kernels are less exact, and half of the layers were left in float here.
    assert sizes[2] < (1 if int8_sums_saturate() else 0.6) * sizes[0]


@pytest.mark.parametrize(("able", "expected"), [
    (["FP32", "BF16", "FP16"], ("bf16", "bfloat16")),
    (["FP32", "FP16", "INT8"], ("f16", "float16")),
    (["FP32", "INT8"], ("f32", "float32")),
])  # fmt: skip
def test_sixteen_bits_are_those_of_the_cpu(able, expected, monkeypatch):
    class Core:
        def get_property(self, device, key):
            return able

    monkeypatch.setattr(openvino_file, "_core", Core)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert openvino_file.sixteen_bits.__wrapped__() == expected
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert openvino_file.sixteen_bits.__wrapped__() == ("f32", "float32")


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_near_and_their_memory_is_their_own(name, folder):
    run, net = load(name, folder), source().net
    first = run(IMAGES[:1])
    kept = first.clone()
    run(IMAGES[1:2])
    assert torch.equal(first, kept)
    strided = IMAGES.transpose(2, 3)[:2]
    assert (run(strided) - net(strided)).abs().max() <= FORMATS[name].tolerance


def test_weights_of_another_export_are_refused(folder, tmp_path):
    openvino_file.write(source(1), tmp_path)
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes())
    with pytest.raises(ExportError, match=r"model.bin: truncated, or not the weights of .*xml"):
        load("openvino", tmp_path)


def test_xml_alone_names_the_missing_bin(folder, tmp_path):
    (tmp_path / "model.xml").write_bytes((folder / "model.xml").read_bytes())
    with pytest.raises(ExportError, match=r"model.bin: cannot be read .* written with model.xml"):
        load("openvino", tmp_path)


def test_model_of_someone_else_has_no_manifest(tmp_path):
    x = openvino.opset13.parameter([1, 3, 4, 4], name="input")
    openvino.save_model(openvino.Model([openvino.opset13.relu(x)], [x]), tmp_path / "model.xml")
    with pytest.raises(ExportError, match="no gancompress manifest; give a file that"):
        load("openvino", tmp_path)


def test_plain_openvino_reads_names_and_manifest(folder):
    model = openvino.Core().read_model(folder / "model.xml")
    assert (model.input().get_any_name(), model.output().get_any_name()) == ("input", "output")
    content = (folder / "model.bin").read_bytes()
    told = str(model.get_rt_info([openvino_file.HASH]).astype(str))
    assert told == hashlib.sha256(content).hexdigest()
    assert '"family": "resnet"' in str(model.get_rt_info([openvino_file.MANIFEST]).astype(str))


def test_nothing_is_printed(folder, capfd):
    for name in NAMES:
        load(name, folder)(IMAGES)
    assert capfd.readouterr() == ("", "")


def test_model_compiled_for_one_shape_answers_as_for_any(folder):
    run = load("openvino", folder)
    shapes = [(1, 32), (2, 32), (1, 48), (1, 64), (3, 32), (1, 80)]  # more than are kept
    inputs = [torch.randn(n, 3, side, 32).clamp(-1, 1) for n, side in shapes]
    first = [run(x) for x in inputs]
    for _ in range(2):  # the second time each shape has a request of its own
        for x, expected in zip(inputs, first, strict=True):
            torch.testing.assert_close(run(x), expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(run(x), expected, atol=1e-5, rtol=0)


def test_ctrl_c_is_still_one_after_models_were_let_go_in_any_order(folder):
    program = f"""
import signal, sys, torch
from pathlib import Path
from gancompress.export.openvino_file import load_run
# As from a terminal: where the suite is a job in the background, SIGINT is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
path, x = Path({str(folder / "model.xml")!r}), torch.zeros(1, 3, 32, 32)
first, second = load_run(path), load_run(path)
first(x), second(x)
del first
del second
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    sys.exit(3)
"""
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    assert subprocess.run(command, timeout=120).returncode == 3
