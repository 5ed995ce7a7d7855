"""LPIPS is that of its authors' package, of both networks; and it needs its files."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toymetrics import Toy

from gancompress.errors import CheckpointError, MetricError
from gancompress.metrics import perceptual as ours
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.lpips import LPIPS
from gancompress.metrics.perceptual import PerceptualNet

LAYERS = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}


def theirs(kind: str) -> torch.nn.Module:
    """The package's own network, with random weights in its trunk."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision's older way to ask for no weights
        net = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False)
    return net.eval()  # type: ignore[no-any-return]


def trunk(net: torch.nn.Module, kind: str) -> dict[str, Tensor]:
    """The weights of its trunk as torchvision names them."""
    state = {f"{n.rpartition('.')[0].rpartition('.')[2]}.{n.rpartition('.')[2]}": t
             for n, t in net.net.state_dict().items()}  # fmt: skip
    return {f"features.{n}.{leaf}": state[f"{n}.{leaf}"].clone()
            for n in LAYERS[kind] for leaf in ("weight", "bias")}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_distances_are_those_of_the_package(kind: str, tmp_path: Path) -> None:
    net = theirs(kind)
    torch.save(trunk(net, kind), tmp_path / "trunk.pth")
    mine = PerceptualNet(tmp_path / "trunk.pth")
    random = torch.Generator().manual_seed(1)
    x, y = (torch.rand(3, 3, 48, 64, generator=random) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        torch.testing.assert_close(mine(x, y), net(x, y).flatten(), rtol=1e-4, atol=1e-6)
        assert (mine(x, x) == 0).all()
    assert mine.label == {"alex": "LPIPS (AlexNet)", "vgg": "LPIPS (VGG16)"}[kind]


def test_heads_may_lie_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = theirs("alex")
    heads = {f"lin{i}.model.1.weight": net.lins[i].model[1].weight for i in range(5)}
    torch.save({**trunk(net, "alex"), **heads}, tmp_path / "both.pth")
    torch.save(trunk(net, "alex"), tmp_path / "trunk.pth")
    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: None)
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            PerceptualNet(tmp_path / "both.pth")(x, -x), net(x, -x).flatten(), rtol=1e-4, atol=1e-6
        )
    with pytest.raises(MetricError, match="has no heads .*pip install .gancompress.lpips"):
        PerceptualNet(tmp_path / "trunk.pth")


def test_the_metric_is_the_mean_over_pairs(tmp_path: Path) -> None:
    net = theirs("alex")
    torch.save(trunk(net, "alex"), tmp_path / "trunk.pth")
    data = Toy(n=5, size=40)
    evaluator = Evaluator(
        data, "test", None, 2, metrics=("lpips",), perceptual=PerceptualNet(tmp_path / "trunk.pth")
    )
    found = evaluator.score(lambda x: x)["lpips"]
    with torch.no_grad():
        expected = net(data.input, data.target).mean()
    assert found.n == 5 and found.label == "LPIPS (AlexNet)" and LPIPS.better == "min"
    assert evaluator.label_of("lpips") == found.label
    assert found.value == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"features.0.weight": torch.zeros(3, 3)}, r"tensor features.0.weight is .3, 3.; torchvis"),
        ({"else": torch.zeros(3)}, "tensor features.0.weight is missing; torchvision's AlexNet"),
    ],
)
def test_other_files_are_refused(state: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=message):
        PerceptualNet(tmp_path / "net.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(CheckpointError, match="truncated or not a file of tensors"):
        PerceptualNet(tmp_path / "text.pth")


def test_small_images_are_refused(tmp_path: Path) -> None:
    torch.save(trunk(theirs("alex"), "alex"), tmp_path / "trunk.pth")
    metric = LPIPS(PerceptualNet(tmp_path / "trunk.pth"))
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(MetricError, match="images of 16x16; at least 32x32"):
        metric.update({"output": image, "target": image})
