"""Trained generators as users have them: whatever the file, one graph with the same answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import foreignnets
import numpy as np
import pytest
import torch
import tracednets
from torch import Tensor, nn

from gancompress.errors import ArchError, CheckpointError
from gancompress.importers import tracedfile
from gancompress.importers.filling import fill
from gancompress.importers.generators import How, bound_value, open_generator
from gancompress.importers.opened import Opened
from gancompress.importers.tracedfile import ImportedGenerator, import_generator

MODULE = """
import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self, width=4, scale=1.0):
        super().__init__()
        self.scale = scale
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(True), nn.Conv2d(width, 3, 3, padding=1)
        )

    def forward(self, x):
        return torch.tanh(self.layers(x)) * self.scale


class Blended(Generator):
    def forward(self, x, other, *, weight=None):
        return super().forward(x) + other * (1 if weight is None else weight)


number = 3
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(MODULE)
    return path


def plain(width: int = 4) -> nn.Module:
    return tracednets.seeded(
        nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1)
        )
    )


def weights(width: int = 4) -> dict[str, Tensor]:
    return {f"layers.{name}": tensor for name, tensor in plain(width).state_dict().items()}


def silent(text: str) -> None:
    raise AssertionError(text)


def opened(place: str, say: Callable[[str], None] = silent, **how: object) -> ImportedGenerator:
    return import_generator(open_generator(place, How(**how), say), place)  # type: ignore[arg-type]


def answers_as(found: ImportedGenerator, net: Callable[[Tensor], Tensor]) -> bool:
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    ours = found.family.build(found.family.traced_arch).eval()
    ours.load_state_dict(found.tensors)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x), atol=1e-5, rtol=1e-5)
    return found.difference <= 1e-5 and found.program.facts.in_channels == 3


WRAPPED: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "plain": lambda state: state,
    "in parallel": lambda state: {f"module.{name}": t for name, t in state.items()},
    "within": lambda state: {"epoch": 3, "state_dict": state},
    "netG": lambda state: {"netG": state, "optimizer": {"state": {}}},
    "average": lambda state: {"params": {n: t * 0 for n, t in state.items()}, "params_ema": state},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_module_with_weights_however_they_are_wrapped(
    name: str, module: Path, tmp_path: Path
) -> None:
    torch.save(WRAPPED[name](weights()), tmp_path / "net.pth")
    found = opened(f"{module}:Generator", weights=tmp_path / "net.pth")
    net = plain()
    assert answers_as(found, lambda x: torch.tanh(net(x)))


def test_a_norm_of_a_file_from_before_batches_were_counted(tmp_path: Path) -> None:
    trained = tracednets.seeded(nn.BatchNorm2d(3))
    state = {n: t for n, t in trained.state_dict().items() if n != "num_batches_tracked"}
    torch.save(state, tmp_path / "net.pth")
    net = nn.BatchNorm2d(3).eval()
    assert fill(net, tmp_path / "net.pth", None) == ""
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(x), trained.eval()(x))


def test_constructors_take_arguments(module: Path, tmp_path: Path) -> None:
    torch.save(weights(6), tmp_path / "net.pth")
    arguments = {"width": 6, "scale": 0.5}
    found = opened(f"{module}:Generator", weights=tmp_path / "net.pth", arguments=arguments)
    net = plain(6)
    assert answers_as(found, lambda x: torch.tanh(net(x)) * 0.5)
    assert not any(name.startswith("gancompress_own") for name in sys.path)


def test_further_inputs_are_bound(module: Path, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "net.pth")
    np.save(tmp_path / "other.npy", np.full((1, 3, 1, 1), 0.25, np.float32))
    place, how = f"{module}:Blended", {"weights": tmp_path / "net.pth"}
    with pytest.raises(CheckpointError, match="takes 2 inputs .x, other, weight.*--bind other="):
        opened(place, **how)
    name, value = bound_value(f"other={tmp_path}/other.npy")
    net = plain()
    assert answers_as(
        opened(place, bound={name: value}, **how), lambda x: torch.tanh(net(x)) + 0.25
    )
    with pytest.raises(CheckpointError, match="--bind no: .* has no such further input"):
        opened(place, bound={"no": value}, **how)


def test_a_program_of_torch_export(tmp_path: Path) -> None:
    net, free = plain(), torch.export.Dim("n", min=2)
    program = torch.export.export(
        net, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: free, 2: None, 3: None},)
    )
    torch.export.save(program, tmp_path / "net.pt2")
    found = opened(str(tmp_path / "net.pt2"))
    assert found.program.facts.is_static and found.program.facts.size == (32, 32)
    ours = found.family.build(found.family.traced_arch).eval()
    ours.load_state_dict(found.tensors)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x))


def test_torchscript_is_said_to_be_code(tmp_path: Path) -> None:
    net = plain()
    with pytest.warns(FutureWarning, match="deprecated"):  # its files are still about
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 16, 16)), tmp_path / "net.pt")
    said: list[str] = []
    assert answers_as(opened(str(tmp_path / "net.pt"), said.append), net)
    assert said == [f"{tmp_path}/net.pt: a TorchScript file; opening it can run code that is in it"]


def test_an_onnx_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnx2torch")
    pytest.importorskip("onnxscript")
    net = plain()
    torch.onnx.export(
        net, (torch.zeros(1, 3, 32, 32),), tmp_path / "net.onnx", dynamo=True, verbose=False,
        input_names=["photo"], external_data=False,
        dynamic_shapes=({0: "n", 2: "h", 3: "w"},),
    )  # fmt: skip
    assert answers_as(opened(str(tmp_path / "net.onnx")), net)


def test_a_checkpoint_of_a_program_that_is_read(tmp_path: Path) -> None:
    net = foreignnets.cyclegan_resnet()
    torch.save(tracednets.seeded(net).state_dict(), tmp_path / "latest_net_G.pth")
    assert answers_as(opened(str(tmp_path / "latest_net_G.pth")), net.eval())


def test_a_checkpoint_that_spandrel_knows(tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact.__arch.SRVGG import (  # type: ignore[import-untyped]
        SRVGGNetCompact,
    )

    net = tracednets.seeded(SRVGGNetCompact(num_feat=8, num_conv=3, upscale=2))
    torch.save({"params": net.state_dict()}, tmp_path / "small.pth")
    one = open_generator(str(tmp_path / "small.pth"), How(), silent)
    assert one.about == "RealESRGAN Compact, 2x (8nf, 3nc)" and one.value_range == (0.0, 1.0)
    found = import_generator(one, "small.pth")
    assert found.program.facts.enlargement == 2
    assert answers_as(found, net)


REFUSED = [
    ("nowhere.pth", {}, "nowhere.pth: no such file; give a checkpoint, module.py:Name"),
    ("{module}:Missing", {}, "no Missing there; it has Generator, Blended"),
    ("{module}:number", {}, r"cannot be made .TypeError"),
    ("{module}:Generator", {}, "without --weights FILE it has the weights that torch draws"),
    ("no.such.package:Name", {}, "no.such.package cannot be imported"),
    ("{module}:Generator", {"arguments": {"depth": 3}}, "cannot be made .TypeError.*--args"),
    ("{module}:Generator", {"weights": "{wide}"}, "tensor layers.0.weight is .6, 3, 3, 3.; the"),
    ("{module}:Generator", {"weights": "{other}"}, "has no tensor layers.0.weight, which the"),
    ("{wide}", {"arguments": {"width": 3}}, "--weights and --args are for a module"),
]


@pytest.mark.parametrize(("place", "how", "message"), REFUSED)
def test_what_cannot_be_opened_is_refused(
    place: str, how: dict[str, object], message: str, module: Path, tmp_path: Path
) -> None:
    torch.save(weights(6), tmp_path / "wide.pth")
    torch.save({"else": torch.zeros(3)}, tmp_path / "other.pth")
    places = {"module": module, "wide": tmp_path / "wide.pth", "other": tmp_path / "other.pth"}
    given = {k: Path(v.format(**places)) if isinstance(v, str) else v for k, v in how.items()}
    with pytest.raises(CheckpointError, match=message):
        opened(place.format(**places), **given)


class Answering(nn.Module):
    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer, self.conv = answer, nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> object:
        return self.answer(self.conv(x))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x.mean((2, 3)), r"answers an image with a tensor .2, 3.; a generator that"),
        (lambda x: {"image": x}, "answers an image with a dict"),
        (lambda x: (x, x), "answers an image with a tuple"),
        (lambda x: x + torch.rand_like(x), "answers the same image differently each time"),
        (lambda x: x / 0, "answers numbers that are not finite"),
        (lambda x: x[:, :, ::2, ::2], "answers 16x16 pixels with 8x8; an image as large as"),
        (lambda x: x[:, :, :, : x.shape[3] // 2], "answers 16x16 pixels with 16x8"),
        (lambda x: x.reshape(7, -1), r"cannot run on images of 3, 1, 4, 2, 6 channels and 16x16"),
    ],
)
def test_what_answers_no_image_is_refused(answer: Callable[[Tensor], object], message: str) -> None:
    net = Answering(answer).eval()
    with pytest.raises((ArchError, CheckpointError), match=f"net: {message}"):
        import_generator(Opened(net, "a net"), "net", size=(16, 16))


def test_an_operator_that_nobody_has_met_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*args: object) -> object:
        raise RuntimeError("an operator\nof another kind")

    monkeypatch.setattr(tracedfile, "renamed", fails)
    with pytest.raises(
        ArchError, match="net: its graph is not taken .RuntimeError: an operator of"
    ):
        import_generator(Opened(plain(), "a net"), "net", size=(16, 16))
