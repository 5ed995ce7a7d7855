"""Costs of generators with operators and splits by stage: cached, whole, on real networks."""

import itertools
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

import conformance
from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.families import family_of
from gancompress.nets.families.family import Family
from gancompress.nets.layers.blocks import OPERATORS
from gancompress.nets.layers.features import ONE, Bands
from gancompress.supernet.cost import Cost, CostModel, layer_costs, network_cost
from gancompress.supernet.supernet import skeleton_of

SHAPE = (3, 64, 64)
SPLITS = (ONE, Bands(0.5), Bands(0.25), Bands(0.25, 0.25))


def everything(family: Family) -> SearchSpace:
    """All operators and splits in every stage."""
    splits = dict.fromkeys(family.stages[:-1], SPLITS)
    return family.space((40, 32, 9), dict.fromkeys(family.stages, tuple(OPERATORS)), splits)


def whole(family: Family, arch: Arch, side: int = 64) -> Cost:
    x = torch.empty(1, 3, side, side, device="meta")
    return network_cost(skeleton_of(family.build, arch), x)


@pytest.mark.parametrize("name", conformance.THOROUGH)
@pytest.mark.parametrize(("blocks", "side"), [(4, 64), (1, 68)])  # 68: bands of 17 and 9 and 5
def test_cost_model_equals_whole_networks_whatever_it_was_asked_before(
    name: str, blocks: int, side: int
) -> None:
    family = family_of(name, blocks=blocks)
    space, rng = everything(family), np.random.default_rng(blocks)
    model = CostModel(family.build, family.parts(), (3, side, side))
    archs = [space.largest, space.smallest, *(space.sample(rng) for _ in range(10))]
    archs += [space.mutate(archs[int(rng.integers(12))], rng, 0.1) for _ in range(12)]
    expected = {arch: asdict(whole(family, arch, side)) for arch in archs}
    for _ in range(2):
        for i in rng.permutation(len(archs)):
            assert asdict(model(archs[i])) == expected[archs[i]], archs[i].key
    assert len({tuple(cost.values()) for cost in expected.values()}) > 20


@pytest.mark.parametrize("name", conformance.THOROUGH)
def test_parts_are_all_modules_and_name_slots_of_the_family(name: str) -> None:
    family = family_of(name, blocks=4)
    arch = family.uniform(8)
    net = skeleton_of(family.build, arch)
    parts = [part.name for part in family.parts()]
    assert parts == [
        "stem", "down.0", "down.1", "body.0", "body.1", "body.2", "body.3", "up.0", "up.1", "head"
    ]  # fmt: skip
    owned = [f"{part}." for part in parts]
    assert all(any(n.startswith(p) for p in owned) for n, _ in net.named_parameters())
    assert {slot for part in family.parts() for slot in part.slots} == set(arch.values)


def test_cost_model_asked_of_neighbours_builds_the_changed_parts_alone() -> None:
    family = family_of("resnet", blocks=4)
    model = CostModel(family.build, family.parts(), SHAPE)
    arch = family.uniform(32)
    model(arch)
    known = set(model._outcomes)
    model(arch.replace({"body.1.bands": "0.5"}))
    new = [kind for kind, _ in set(model._outcomes) - known]
    # The stage, and the one behind it: what it is given has changed.
    changed = [part for part in family.parts() if "body.1.bands" in part.slots]
    assert sorted(new) == sorted(part.kind or part.name for part in changed)
    assert len(new) == 2


def split_archs() -> list[tuple[Family, Arch]]:
    found = []
    for name, op, split in itertools.product(conformance.THOROUGH, OPERATORS, SPLITS):
        family = family_of(name, blocks=2)
        ops = {f"{stage}.op": op for stage in family.stages}
        found.append((family, family.uniform(32, bands=split).replace(ops)))
    for name in conformance.THOROUGH:
        family = family_of(name, blocks=2)
        rng = np.random.default_rng(1)
        found += [(family, everything(family).sample(rng)) for _ in range(4)]
    return found


def label(value: object) -> str:
    return value.key[-24:] if isinstance(value, Arch) else ""


@pytest.mark.parametrize(("family", "arch"), split_archs(), ids=label)
def test_costs_without_memory_are_those_of_the_network_that_runs(
    family: Family, arch: Arch
) -> None:
    net = family.build(arch)
    x = torch.randn(1, *SHAPE)
    assert asdict(network_cost(net, x)) == asdict(whole(family, arch))


@pytest.mark.parametrize(("family", "arch"), split_archs(), ids=label)
def test_counts_equal_other_ways_of_counting(family: Family, arch: Arch) -> None:
    """MACs by torch's counter and by hooks of their own, saved bytes by autograd itself."""
    net = family.build(arch)
    x = torch.randn(1, *SHAPE)
    cost = whole(family, arch)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        skeleton_of(family.build, arch)(x.to("meta"))
    assert 2 * cost.macs_true == counter.get_total_flops()
    assert cost.params == sum(p.numel() for p in net.parameters())
    assert cost.saved_bytes == saved_bytes(net, x)
    true, published, normed = by_hooks(net, x)
    assert (cost.macs_true, cost.macs_published) == (true, published)
    assert cost.macs_published_norm == published + normed


def saved_bytes(net: nn.Module, x: Tensor) -> int:
    """What stays alive for the backward pass, by the storages that autograd holds."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)  # or a later one could lie at its address
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(x)
    del out
    return sum(kept.values())


def by_hooks(net: nn.Module, x: Tensor) -> tuple[int, int, int]:
    """MACs, the same as published, and normalised elements."""
    counts = [0, 0, 0]

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.InstanceNorm2d):
            counts[2] += output.numel()
        elif isinstance(module, nn.ConvTranspose2d):
            kernels = module.kernel_size[0] ** 2 * module.in_channels * module.out_channels
            kernels //= module.groups
            counts[0] += kernels * inputs[0].shape[2] * inputs[0].shape[3]
            counts[1] += kernels * output.shape[2] * output.shape[3]
        elif isinstance(module, nn.Conv2d):
            kernels = module.kernel_size[0] ** 2 * module.in_channels * module.out_channels
            macs = kernels // module.groups * output.shape[2] * output.shape[3]
            counts[0] += macs
            counts[1] += macs

    for module in net.modules():
        module.register_forward_hook(look)
    with torch.no_grad():
        net(x)
    return counts[0], counts[1], counts[2]


def test_splits_save_arithmetic_by_the_papers_law() -> None:
    """3x3 blocks of the trunk: 1/4 + 3/4 (1 - alpha)^2 of the undivided ones (Chen et al. 2019)."""
    family = family_of("resnet", blocks=3)
    costs = {}
    for alpha in (0.0, 0.125, 0.25, 0.5):
        bands = {f"{s}.bands": str(Bands(alpha)) for s in ("down.1", *family.body)}
        net = skeleton_of(family.build, family.uniform(32).replace(bands))
        layers = layer_costs(net, torch.empty(1, *SHAPE, device="meta"))
        costs[alpha] = sum((c for n, c in layers.items() if n.startswith("body.")), Cost())
    for alpha, cost in costs.items():
        share = 1 / 4 + 3 / 4 * (1 - alpha) ** 2
        assert cost.macs_true == share * costs[0.0].macs_true
        assert cost.params == costs[0.0].params


class Residual(nn.Module):
    """Holds its input until the end, as residual blocks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 1, bias=False)
        self.act = nn.ReLU()
        self.back = nn.Conv2d(8, 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.back(self.act(self.conv(x)))


def test_memory_equals_hand_counts() -> None:
    net = skeleton_of(lambda _: nn.Sequential(Residual(), nn.Tanh()), Arch.of("r", {}))
    x = torch.empty(1, 2, 5, 5, device="meta")
    costs = layer_costs(net, x)
    image, hidden = 4 * 2 * 25, 4 * 8 * 25
    # The activation takes and gives the hidden map, while the block holds its input, the image.
    assert costs["0.act"].activation_bytes == image + 2 * hidden
    assert costs["0.conv"].activation_bytes == image + hidden  # its input is the block's
    assert costs["1"].activation_bytes == 3 * image  # the network's input, its own and its output
    assert network_cost(net, x).activation_bytes == image + 2 * hidden
    # Saved: the image for `conv`, the activation once for itself and `back`, tanh's output.
    assert {n: c.saved_bytes for n, c in costs.items() if c.saved_bytes} == {
        "0.conv": image, "0.act": hidden, "1": image
    }  # fmt: skip


def test_case_costs_are_those_of_conformance() -> None:
    """A user's own `build` has no parts: every arch is measured once, and kept."""
    case = conformance.cases(1)[0]
    model = CostModel(case.build, (), case.shape[1:])
    arch = case.space.smallest
    assert model(arch) == model(arch) and list(model._rest) == [tuple(arch.values.values())]
