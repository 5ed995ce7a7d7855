"""VGG-19's features against torchvision's layout of it, and files that are refused."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.nets.layers.blocks import init_normal
from gancompress.nets.vgg import Vgg19

# Convolutions by their channels, "M" a pooling: configuration E (Simonyan and Zisserman 2015).
PLAN = (64, 64, "M", 128, 128, "M", *(256,) * 4, "M", *(512,) * 4, "M", *(512,) * 4, "M")
RELUS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, ... relu5_1


def layers() -> nn.Sequential:
    """What torchvision calls `features`."""
    found: list[nn.Module] = []
    channels = 3
    for width in PLAN:
        if isinstance(width, str):
            found.append(nn.MaxPool2d(2))
        else:
            found += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*found)


@pytest.fixture(scope="module")
def theirs() -> nn.Sequential:
    return layers()


def state(theirs: nn.Sequential) -> dict[str, Tensor]:
    classifier = {"classifier.0.weight": torch.zeros(2, 2)}  # in the file, and of no use
    return {f"features.{name}": t for name, t in theirs.state_dict().items()} | classifier


def saved(tensors: Mapping[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(dict(tensors), path)
    else:
        torch.save(dict(tensors), path)
    return path


@pytest.mark.parametrize("name", ["vgg19.pth", "vgg19.safetensors"])
def test_perceptual_loss_is_the_weighted_l1_of_five_features(
    name: str, theirs: nn.Sequential, tmp_path: Path
) -> None:
    ours = Vgg19(saved(state(theirs), tmp_path / name))
    image, target = torch.rand(2, 1, 3, 32, 16) * 2 - 1
    image.requires_grad_()
    taken = []
    for x in (image, target):
        features = []
        for i, layer in enumerate(theirs[: RELUS[-1] + 1]):
            x = layer(x)
            if i in RELUS:
                features.append(x)
        taken.append(features)
    torch.testing.assert_close(ours.features(image), taken[0])
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    expected = sum(w * (a - b).abs().mean() for w, a, b in zip(weights, *taken, strict=True))
    loss = ours(image, target)
    torch.testing.assert_close(loss, expected)
    (grad,) = torch.autograd.grad(loss, image)
    assert grad.isfinite().all() and grad.abs().sum() > 0
    assert ours(target, target) == 0


def test_weights_are_buffers_that_no_initialisation_reaches(
    theirs: nn.Sequential, tmp_path: Path
) -> None:
    net = Vgg19(saved(state(theirs), tmp_path / "vgg.pth"))
    assert list(net.parameters()) == []
    before = {name: tensor.clone() for name, tensor in net.named_buffers()}
    init_normal(net, torch.Generator())
    assert len(before) == 26 and all(torch.equal(t, before[n]) for n, t in net.named_buffers())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"features.5.bias": None}, r"vgg.pth: tensor features.5.bias is missing; .*\(128,\)"),
        (
            {"features.28.weight": torch.zeros(512, 256, 3, 3)},
            r"tensor features.28.weight is \(512, 256, 3, 3\); torchvision's VGG-19 has \(512, 512",
        ),
    ],
)
def test_weights_of_other_networks_are_refused(
    change: Mapping[str, Tensor | None], text: str, theirs: nn.Sequential, tmp_path: Path
) -> None:
    changed = {n: t for n, t in (state(theirs) | change).items() if t is not None}
    with pytest.raises(CheckpointError, match=text):
        Vgg19(saved(changed, tmp_path / "vgg.pth"))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("gone.pth", None, "gone.pth: no such file; give a file that exists"),
        ("gone.safetensors", None, "gone.safetensors: no such file"),
        ("short.pth", b"PK", "short.pth: truncated or not a file of tensors"),
        ("short.safetensors", b"12", "short.safetensors: truncated"),
    ],
)
def test_files_that_cannot_be_read_are_refused(
    name: str, content: bytes | None, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=text):
        Vgg19(path)


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CheckpointError, match="list.pth: holds no named tensors"):
        Vgg19(path)
