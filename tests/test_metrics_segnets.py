"""Segmentation networks: in every kind of file as themselves, and files that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from colournets import colour_net, maps, painted, program, segmenter, torchscript
from torch import Tensor, nn

from gancompress.errors import MetricError
from gancompress.metrics.options import NORMALISATIONS


def test_every_kind_of_file_answers_as_its_network_does(tmp_path: Path) -> None:
    images = painted(maps(size=(8, 8)))
    with torch.no_grad():
        expected = colour_net()(images)
    files: list[tuple[str, Path]] = [
        ("torchscript", torchscript(colour_net(), tmp_path / "net.pt")),
        ("pt2", program(colour_net(), tmp_path / "free.pt2")),
        ("pt2", program(colour_net(), tmp_path / "one.pt2", batch=1, side=8)),
    ]
    for kind, path in files:
        found = segmenter(path, kind)(images)
        torch.testing.assert_close(found, expected, msg=f"{path}")
        assert found.dtype == torch.float32 and not found.requires_grad


class Answering(nn.Module):
    """The colour network's scores in the form that a library gives them."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.net, self.form = colour_net(), form

    def forward(self, x: Tensor) -> Any:
        y = self.net(x)
        return {"tuple": (y, -y), "out": {"aux": -y, "out": y}, "logits": {"logits": y}}[self.form]


@pytest.mark.parametrize("form", ["tuple", "out", "logits"])
def test_scores_are_found_in_what_libraries_answer(tmp_path: Path, form: str) -> None:
    images = painted(maps(size=(8, 8)))
    path = program(Answering(form), tmp_path / "net.pt2")
    with torch.no_grad():
        expected = colour_net()(images)
    torch.testing.assert_close(segmenter(path, "pt2")(images), expected)


def torchvision_model(name: str, seed: int = 0, **options: Any) -> nn.Module:
    from torchvision.models import get_model

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net: nn.Module = get_model(name, weights=None, weights_backbone=None, **options)
    return net.eval()


def test_torchvision_weights_are_read_with_their_number_of_classes(tmp_path: Path) -> None:
    model = torchvision_model("lraspp_mobilenet_v3_large", num_classes=7)
    path = tmp_path / "lraspp.pth"
    torch.save(model.state_dict(), path)
    mean, std = NORMALISATIONS["imagenet"]
    name = "lraspp_mobilenet_v3_large"
    net = segmenter(path, "torchvision", architecture=name, size=(64, 32), range="imagenet")
    images = painted(maps(2, size=(32, 16)))
    x = nn.functional.interpolate((images + 1) / 2, (64, 32), mode="bilinear", antialias=True)
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with torch.no_grad():
        expected = model(x)["out"]
    torch.testing.assert_close(net(images), expected)
    assert expected.shape == (2, 7, 64, 32)
    with pytest.raises(MetricError, match="not the weights of torchvision's fcn_resnet50"):
        segmenter(path, "torchvision", architecture="fcn_resnet50")


def test_torchvision_file_of_something_else_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(MetricError, match=r"no tensor classifier\.\*\.weight; weights of fcn"):
        segmenter(path, "torchvision", architecture="fcn_resnet50")
    torch.save({"weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(MetricError, match="not a file of network weights"):
        segmenter(path, "torchvision", architecture="fcn_resnet50")
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pixels_are_rounded_to_eight_bits_and_normalised(tmp_path: Path) -> None:
    path = torchscript(nn.Identity(), tmp_path / "net.pt")
    images = torch.tensor([-1.5, -1, 0.0, 0.5, 1])[None, None, :, None].expand(1, 3, 5, 4)
    levels = torch.tensor([0, 0, 128, 191, 255]) / 255
    for mean, std in NORMALISATIONS.values():
        net = segmenter(path, "torchscript", mean=mean, std=std)
        for channel in range(3):
            expected = (levels - mean[channel]) / std[channel]
            torch.testing.assert_close(net(images)[0, channel, :, 0], expected)


def test_files_of_another_kind_or_none_are_refused(tmp_path: Path) -> None:
    script, free = torchscript(colour_net(), tmp_path / "a.pt"), tmp_path / "a.pt2"
    program(colour_net(), free)
    text = tmp_path / "text.pt"
    text.write_text("hello")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(script.read_bytes()[:-100])
    cases: list[tuple[Path, str, str]] = [
        (tmp_path / "no.pt", "torchscript", "cannot be read .no such file.*; give a torchscript"),
        (free, "torchscript", "a pt2 file; metrics.segmentation.kind is torchscript"),
        (script, "pt2", "a torchscript file; metrics.segmentation.kind is pt2"),
        (text, "pt2", "text.pt: truncated, or no network; metrics"),
        (cut, "torchscript", "cut.pt: truncated, or no network; metrics"),
        (program(colour_net(), tmp_path / "4.pt2", 4), "pt2", "for batches of 4; export it with a"),
    ]
    for path, kind, message in cases:
        with pytest.raises(MetricError, match=message):
            segmenter(path, kind)


def test_network_that_does_not_take_the_images_is_told_with_its_reason(tmp_path: Path) -> None:
    fixed = segmenter(program(colour_net(), tmp_path / "a.pt2", 0, 8), "pt2")
    with pytest.raises(MetricError, match=r"images of shape \(1, 3, 8, 10\) \(Expected input"):
        fixed(painted(maps(1)))
    flat = torchscript(nn.Sequential(colour_net(), nn.Flatten()), tmp_path / "flat.pt")
    with pytest.raises(MetricError, match=r"answers \(1, 400\) to images of \(1, 3, 8, 10\)"):
        segmenter(flat, "torchscript")(painted(maps(1)))

    class Wordy(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"scores": x}

    named = program(Wordy(), tmp_path / "named.pt2")
    with pytest.raises(MetricError, match="fails on images .* .'logits'.; set"):
        segmenter(named, "pt2")(painted(maps(1)))
