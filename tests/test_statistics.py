"""Batch statistics estimated anew: against hand values, and without a trace in the supernet."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.export import weights
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import family_of
from gancompress.supernet.reestimation import batch_norms, estimate
from gancompress.supernet.supernet import Supernet

FAMILY = family_of("spade", in_channels=2)
SPACE = FAMILY.space((3, 2), ("dense", "separable"))


def channels(count: int = 3) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(5)
    return [(torch.rand(2, 2, 64, 64, generator=generator).round(),) for _ in range(count)]


@pytest.fixture
def supernet() -> Supernet:
    net = Supernet(FAMILY.build, SPACE).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in net.shared.items():
            if tensor.is_floating_point():
                tensor.normal_(0, 0.1, generator=generator)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return net


def test_estimates_are_the_means_over_batches() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    norm = net.get_submodule("1")
    batches = [(torch.randn(n, 1, 4, 4) + n,) for n in (2, 3, 5)]
    with torch.no_grad():
        seen = [net.get_submodule("0")(x) for (x,) in batches]
    estimate(net, batches)
    means = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)  # every batch counts alike
    variances = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(norm.get_buffer("running_mean"), means)
    torch.testing.assert_close(norm.get_buffer("running_var"), variances)


@pytest.mark.parametrize("training", [False, True])
def test_estimating_leaves_modes_and_momenta_as_they_were(training: bool) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, momentum=0.3), nn.Dropout(0.5))
    net.train(training)
    net[1].train()
    estimate(net, [(torch.randn(2, 1, 4, 4),)])
    norm = batch_norms(net)[0]
    assert norm.momentum == 0.3 and norm.training
    assert net.training is training and net[2].training is training
    assert all(p.grad is None for p in net.parameters())


def test_estimates_forget_what_was_before() -> None:
    net, batches = nn.Sequential(nn.BatchNorm2d(1)), [(torch.randn(4, 1, 2, 2),)]
    net(100 * torch.ones(2, 1, 2, 2))
    estimate(net, batches)
    once = {name: tensor.clone() for name, tensor in net.named_buffers()}
    estimate(net, batches)
    assert all(torch.equal(tensor, once[name]) for name, tensor in net.named_buffers())


def test_networks_without_batch_norms_are_not_run() -> None:
    family = family_of("resnet", blocks=1)
    net = family.build(family.uniform(1))
    assert batch_norms(net) == []
    estimate(net, iter([("not an image",)]))  # type: ignore[list-item]


def test_norms_without_statistics_are_none_of_those() -> None:
    kept, dropped = nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False)
    assert batch_norms(nn.Sequential(kept, dropped)) == [kept]


def settled(supernet: Supernet, arch: Arch) -> nn.Module:
    """A subnet with statistics of its own, as search and export have it."""
    net = supernet.extract(arch)
    estimate(net, channels())
    return net


def test_every_way_to_run_a_settled_subnet_answers_alike(
    supernet: Supernet, tmp_path: Path
) -> None:
    shared = {name: tensor.clone() for name, tensor in supernet.shared.items()}
    mixed = SPACE.smallest.replace({"stem.width": 3, "up.1.norm.op": "dense"})
    x = channels()[1][0]
    card = Card(FAMILY.options, 2, 3, (64, 64), FAMILY.size_multiple)
    for arch in (SPACE.largest, SPACE.smallest, mixed):
        net = settled(supernet, arch)
        subnet = supernet.subnet(arch, dict(net.named_buffers()))
        weights.write(ExportSource(net, arch, card, x), tmp_path)
        with torch.no_grad():
            expected = net(x)
            assert torch.equal(subnet(x), expected)
            assert torch.equal(weights.load(tmp_path)(x), expected)
            assert not torch.equal(supernet(arch, x), expected)  # whose statistics are no one's
    assert all(torch.equal(tensor, shared[name]) for name, tensor in supernet.shared.items())


def test_statistics_of_a_subnet_do_not_depend_on_those_before_it(supernet: Supernet) -> None:
    archs = [SPACE.largest, SPACE.smallest]
    found = []
    for order in (archs, archs[::-1]):
        nets = {arch: settled(supernet, arch) for arch in order}
        found.append([dict(nets[arch].named_buffers()) for arch in archs])
    for one, other in zip(*found, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
