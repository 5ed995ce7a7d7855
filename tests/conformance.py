"""What every generator family owes, with every operator and split: checks for test modules.

A new entry of `FAMILIES` or `OPERATORS` appears in `cases` by itself, a user's own `build` among
them: nothing here has to name it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tracednets
from _pytest.mark import ParameterSet
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.distill.hooks import hooked
from gancompress.export import weights
from gancompress.export.card import Card, ExportSource
from gancompress.nets.families import FAMILIES, family_of
from gancompress.nets.families.choices import Widths
from gancompress.nets.families.family import Family
from gancompress.nets.layers.blocks import OPERATORS
from gancompress.nets.layers.features import ONE, Bands
from gancompress.nets.layers.views import TensorView, views_of
from gancompress.supernet.channels import permute, sets_of
from gancompress.supernet.cost import CostModel, network_cost
from gancompress.supernet.groupproof import known_channels
from gancompress.supernet.layouts import declared, widths_of
from gancompress.supernet.supernet import Build, Supernet, named_tensors, skeleton_of, view_of

WIDTHS = (7, 4, 3)  # odd ones too, so that no window happens to be aligned
SPLITS = (ONE, Bands(0.5), Bands(0.25, 0.25))
# By the number of bands: of a stage the least channels with bands of 8, and a little more (where
# splits are to choose from, 16 allow only some of them); and the side of the images, with which the
# coarsest band of the trunk is 2x2.
CHANNELS = {1: (), 2: (20, 16), 3: (36, 32)}
SIDES = {1: 16, 2: 16, 3: 32}
# Of any family that has an option of such a name and uses it: a value that makes it small.
SMALL: dict[str, Any] = {
    "levels": 3,
    "style": 1,
    "mlp": 6,
    "file": f"{Path(__file__).parents[1]}/docs/my_generator.py",
}
NUMBERS = 5  # of the random vector that families take which have the side of their images as option
UNEVEN = {"munit": 3}  # blocks that form groups of unequal size where the usual number does not
COARSE = 16  # channels per unit of a width: above, the widths 2 and 1 are enough for every split


def usual_family(name: str) -> Family:
    """A family with its defaults, and what it must be told from `SMALL`."""
    if name == "traced":
        return tracednets.usual_family()
    fields = FAMILIES[name].model_fields
    return family_of(name, **{key: SMALL[key] for key in fields if fields[key].is_required()})


BANDED = [name for name in FAMILIES if usual_family(name).banded]
PLAIN = [name for name in FAMILIES if name not in BANDED]
THOROUGH = ("resnet", "stargan")  # with every split alone too; the others only mixed with them


@dataclass(frozen=True)
class Case:
    """One space to check, and the shape (N, C, H, W) of its inputs."""

    name: str
    build: Build
    space: SearchSpace
    shape: tuple[int, int, int, int]
    family: Family | None = None

    def archs(self, count: int, seed: int = 0) -> list[Arch]:
        """Both ends of the space, and random archs up to `count` in all."""
        rng = np.random.default_rng(seed)
        drawn = [self.space.sample(rng) for _ in range(count - 2)]
        return [self.space.largest, self.space.smallest, *drawn]

    def supernet(self, seed: int = 0) -> Supernet:
        """A supernet of its own with random weights and plausible statistics in every buffer."""
        known = {id(part): part for part in (self.family, self.space)}  # frozen: not copied
        return copy.deepcopy(_filled(self, seed), known)

    def images(self, seed: int = 0) -> Tensor:
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))


@lru_cache(maxsize=16)  # a file asks for the same few again and again, in turns
def _filled(case: Case, seed: int) -> Supernet:
    """What `Case.supernet` gives copies of."""
    generator = torch.Generator().manual_seed(seed)
    supernet = Supernet(case.build, case.space)
    with torch.no_grad():
        for name, tensor in supernet.shared.items():
            if tensor.is_floating_point():
                # Wide kernels less: where a head's tanh is 1 everywhere, all would be equal.
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 1
                tensor.normal_(0, min(0.3, fan_in**-0.5), generator=generator)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return supernet


def cases(blocks: int = 4) -> list[Case]:
    """Every family with every operator and split alone, in all stages, and with all to choose from.

    blocks: repeated blocks, of undivided networks; four make groups of unequal size.
    """
    made = []
    for name in FAMILIES:
        splits = SPLITS if name in THOROUGH else (ONE,)
        for op, split in itertools.product(OPERATORS, splits):
            family = small(name, split.count, blocks if split == ONE else 1)
            made.append(_case(f"{name}-{op}-{split}", family, (op,), (split,)))
        made.append(mixed(name))
    return made


def marked(case: Case, *values: bool, is_quick: bool = True) -> ParameterSet:
    """The parameters of a test, slow but for the cases with all to choose from: one a family."""
    marks = () if is_quick and case.name.endswith("-mixed") else (pytest.mark.slow,)
    flags = "".join(f"-{int(value)}" for value in values)
    return pytest.param(case, *values, marks=marks, id=f"{case.name}{flags}")


def mixed(name: str) -> Case:
    """The family with every operator and split to choose from in every stage."""
    family = small(name, 3, 2)
    splits = SPLITS if family.banded else (ONE,)
    return _case(f"{name}-mixed", family, tuple(OPERATORS), splits)


def small(name: str, count: int, blocks: int) -> Family:
    """A family small enough, for splits of up to `count` bands."""
    if name == "traced":
        return tracednets.usual_family(2, 4)
    usual = usual_family(name).options
    wanted = {**SMALL, "size": SIDES[count], "blocks": UNEVEN.get(name, blocks)}
    options = {key: wanted[key] for key, value in usual.items() if key in wanted and value != 0}
    return family_of(name, in_channels=NUMBERS if "size" in usual else 2, **options)


def _case(label: str, family: Family, ops: Sequence[str], splits: Sequence[Bands]) -> Case:
    """These operators in every stage, and in each the splits that the family's layout gives it."""
    count = max(split.count for split in splits)
    bands = {
        stage: list(dict.fromkeys(family.layout(split)[stage] for split in splits))
        for stage in family.banded
    }
    every = dict.fromkeys(family.stages, ops)
    depths = {s: kept[::2] for s, kept in family.depths.items()} if len(ops) > 1 else {}
    widths = _widths(family, count, is_mixed=len(splits) > 1)
    space = family.space(widths, every, bands, depths)
    if "size" in family.options:
        return Case(label, family.build, space, (2, NUMBERS, 1, 1), family)
    side = SIDES[count] if family.banded else max(16, 2 * family.size_multiple)
    return Case(label, family.build, space, (2, 2, side, side), family)


def _widths(family: Family, count: int, *, is_mixed: bool) -> Widths:
    """The choices of every slot: narrow, and wide enough for splits of `count` bands."""
    units = {
        slot: family.channels(stage)[slot] if stage in family.banded else 1
        for slot in family.width_slots
        if (stage := slot.removesuffix(".width"))
    }
    if max(units.values()) > COARSE:
        return (2, 1)
    if count == 1:
        return WIDTHS
    channels = CHANNELS[count] + ((16,) if is_mixed else ())
    return {slot: [c // per_unit for c in channels] for slot, per_unit in units.items()}


@contextmanager
def conditions(*, bf16: bool, grad: bool) -> Iterator[None]:
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        yield


def check_output_equals_extracted(
    case: Case, *, training: bool, bf16: bool, channels_last: bool, grad: bool
) -> None:
    """A supernet answers as the network extracted from it, to the last bit."""
    supernet = case.supernet().train(training)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = case.images().to(memory_format=layout)
    seed = 8 * training + 4 * bf16 + 2 * channels_last + grad  # other archs in every condition
    for arch in case.archs(3, seed):
        net = supernet.extract(arch)  # before running: statistics move in training
        assert net.training is training
        with conditions(bf16=bf16, grad=grad):
            ours, theirs = supernet(arch, x), net(x)
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), arch.key
        windows = views_of(net)
        for name, tensor in net.named_buffers():
            if name in windows and not tensor.is_floating_point():
                continue  # the bands of a batch norm count their batches together
            at = windows.get(name, TensorView(name))
            own = view_of(supernet.shared[at.name], tensor.shape, at.starts)
            assert torch.equal(own, tensor), name


def undivided(arch: Arch) -> Arch:
    """The arch of the same widths and operators, without bands."""
    return arch.replace({slot: str(ONE) for slot, _ in arch.slots if slot.endswith(".bands")})


def check_gradients_equal_extracted(case: Case) -> None:
    """Gradients land in the shared weights: the extracted network's in its view, zero elsewhere."""
    supernet = case.supernet()
    x = case.images()
    for arch in case.archs(3, seed=1):
        supernet.zero_grad(set_to_none=True)
        net = supernet.extract(arch)
        weight = torch.randn(net(x).shape, generator=torch.Generator().manual_seed(2))
        (supernet(arch, x) * weight).sum().backward()
        (net(x) * weight).sum().backward()
        expected = {n: torch.zeros_like(tensor) for n, tensor in supernet.shared.items()}
        trained, windows = set(), views_of(net)
        for name, own in net.named_parameters():
            if own.grad is None and case.name.startswith("progan") and name.startswith("head."):
                continue  # of a smaller image, which only a growing network makes
            assert own.grad is not None, name
            at = windows.get(name, TensorView(name))
            view_of(expected[at.name], own.shape, at.starts).copy_(own.grad)
            trained.add(at.name)
        for name, tensor in supernet.shared.items():
            assert (tensor.grad is not None) == (name in trained), name
            if tensor.grad is not None:
                torch.testing.assert_close(tensor.grad, expected[name], rtol=1e-5, atol=1e-6)


def check_bank_holds_the_largest_shapes(case: Case, count: int = 20) -> None:
    """Shared weights are the element-wise largest of a name over all archs, not corners alone;
    an arch with bands has its windows in what the undivided arch of its widths needs."""
    largest: dict[str, tuple[int, ...]] = {}
    for arch in [*case.space.corners(), *case.archs(count, seed=3)]:
        for name, tensor in named_tensors(skeleton_of(case.build, undivided(arch))):
            before = largest.get(name, (0,) * tensor.dim())
            largest[name] = tuple(map(max, before, tensor.shape))
    shared = Supernet(case.build, case.space).shared
    assert {name: tuple(tensor.shape) for name, tensor in shared.items()} == largest


def check_absorbed_networks_come_back(case: Case) -> None:
    """Weights that a supernet absorbs are those of the network that it then gives back."""
    supernet = case.supernet()
    for arch in case.archs(4, seed=6):
        net = case.build(arch)
        supernet.absorb(net, arch)
        back = dict(named_tensors(supernet.extract(arch)))
        assert [name for name, t in named_tensors(net) if not torch.equal(t, back[name])] == []


def check_taps_are_features_of_the_trunk(case: Case) -> None:
    """All layers give (N, C, H, W) of one size, however the features are split, C of the trunk."""
    assert case.family is not None
    supernet, layers, x = case.supernet().eval(), case.family.distilled_layers(), case.images()
    for arch in case.archs(4, seed=7):
        subnet = supernet.subnet(arch)
        with torch.no_grad(), hooked(subnet.skeleton, layers) as taken:
            subnet(x)
        plain = skeleton_of(case.build, undivided(arch))
        with torch.no_grad(), hooked(plain, layers) as wanted:
            plain(torch.empty_like(x, device="meta"))
        assert len(layers) > 1 and list(taken) == list(layers)
        for name in layers:
            assert taken[name].shape == wanted[name].shape, (name, arch.key)
            assert torch.isfinite(taken[name]).all(), (name, arch.key)


def check_exported_weights_rebuild_the_network(case: Case, folder: Path) -> None:
    """The safetensors export answers as the subnet, to the last bit."""
    assert case.family is not None
    supernet, x = case.supernet().eval(), case.images()
    _, channels, *size = case.shape
    options = case.family.options
    card = Card(options, channels, 3, (size[0], size[1]), case.family.size_multiple)
    for arch in case.archs(3, seed=8):
        weights.write(ExportSource(supernet.extract(arch), arch, card, x), folder)
        with torch.no_grad():
            again = weights.load(folder, options.get("file"))
            assert torch.equal(again(x), supernet(arch, x)), arch.key


def check_skeletons_hold_no_memory(case: Case) -> None:
    supernet = case.supernet()
    for arch in case.archs(4):
        skeleton = supernet.skeleton(arch)
        assert {tensor.device.type for _, tensor in named_tensors(skeleton)} == {"meta"}
        supernet(arch, case.images())
        assert {tensor.device.type for _, tensor in named_tensors(skeleton)} == {"meta"}
        assert supernet.skeleton(arch) is skeleton


def check_permuted_slots_compute_the_same(case: Case, archs: Sequence[Arch]) -> None:
    """Permuting the axes of any one width slot together leaves the function unchanged.

    archs: undivided ones, as a band's channels are not another band's.
    """
    supernet = case.supernet().eval()
    x = case.images().double()  # so that another order of sums hardly shows
    generator = torch.Generator().manual_seed(4)
    for arch in archs:
        net = supernet.extract(arch).double()
        before = net(x)
        moved = 0
        for slot, value in arch.slots:
            if isinstance(value, int):
                moved += _permute(case, net, arch, slot, generator)
                torch.testing.assert_close(net(x), before, rtol=1e-8, atol=1e-8)
        assert moved > 0
    assert archs


def _permute(case: Case, net: nn.Module, arch: Arch, slot: str, generator: torch.Generator) -> int:
    """Permutes one slot's axes in place; how many tensors changed."""
    tensors = {name: tensor.detach() for name, tensor in named_tensors(net)}
    changed = tensors
    widths = widths_of(case.space, arch).get(slot)
    known = None if case.family is None else case.family.layouts()
    if known is not None:
        layouts = known_channels(known).layouts
    else:
        layouts = declared(case.build, [arch], {slot: widths}).layouts if widths else {}
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for moves in sets_of(layouts, shapes, arch, slot):
        size = len(next(iter(moves.values())))
        changed = permute(changed, moves, torch.randperm(size, generator=generator))
    count = sum(not torch.equal(changed[name], tensors[name]) for name in tensors)
    for name, tensor in tensors.items():
        tensor.copy_(changed[name])
    return count


def check_cost_model_equals_measurement(case: Case, count: int = 6) -> None:
    """Cached costs equal those of the whole network, and torch's own count; in any order."""
    shape = case.shape[1:]
    model = CostModel(case.build, case.family.parts() if case.family else (), shape)
    archs = case.archs(count, seed=5)
    for arch in [*archs, *reversed(archs)]:
        with torch.device("meta"):
            net = case.build(arch)
            whole = network_cost(net, torch.empty(1, *shape))
        assert model(arch) == whole, arch.key
    for arch in archs[:4]:
        with torch.device("meta"):
            net = case.build(arch)
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                net(torch.empty(1, *shape))
        assert 2 * model(arch).macs_true == counter.get_total_flops(), arch.key
        assert model(arch).params == sum(p.numel() for p in net.parameters()), arch.key
