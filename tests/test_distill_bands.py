"""First weights and layers of networks with operators and splits by stage."""

import itertools

import pytest
import torch
from torch import Tensor, nn

import conformance
from gancompress.distill.calibrate import calibrate
from gancompress.distill.hooks import feature_channels, hooked
from gancompress.distill.initialise import fill_from_teacher, separable_from_dense
from gancompress.distill.supernet import _adapters, _fit_levels, fill_random
from gancompress.nets.families import family_of
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.layers.blocks import SeparableUp, Stage, init_normal
from gancompress.nets.layers.features import ONE, Bands, merged
from gancompress.supernet.supernet import Supernet, named_tensors, skeleton_of

FAMILY = family_of("resnet", blocks=1)
OPS = ("dense", "separable")
UPS = {"up.0.op": "separable", "up.1.op": "separable"}


def teacher(family: ResNet, width: int = 8) -> nn.Module:
    net = family.build(family.uniform(width)).eval()
    init_normal(net, torch.Generator().manual_seed(1), std=0.1)
    return net


def images(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def rank_one(net: nn.Module) -> None:
    """Makes every output channel's kernels of the ups one kernel, times a number per input."""
    for name in ("up.0.conv", "up.1.conv"):
        conv = net.get_submodule(name)
        assert isinstance(conv, nn.ConvTranspose2d)
        depthwise, pointwise = separable_from_dense(conv.weight)
        # (out, 1, k, k) and (in, out, 1, 1): see `separable_from_dense`
        conv.weight.copy_(depthwise[:, 0] * pointwise)


def separable_ups(name: str) -> tuple[nn.Module, nn.Module]:
    """A teacher with transposed kernels of rank 1, and the network filled from it."""
    family = family_of(name, blocks=1)
    assert isinstance(family, ResNet)
    taught = teacher(family)
    rank_one(taught)
    supernet = Supernet(family.build, family.space((8, 4), {"up": ("separable",)})).eval()
    fill_random(supernet, family.build, init_normal, torch.Generator().manual_seed(0))
    fill_from_teacher(supernet, taught)
    return taught, supernet.extract(family.uniform(8).replace(UPS))


@pytest.mark.parametrize("name", conformance.THOROUGH)
@pytest.mark.parametrize("stage", ["up.0", "up.1"])
@torch.no_grad()
def test_separable_ups_of_rank_one_are_the_teacher_s(name: str, stage: str) -> None:
    taught, student = separable_ups(name)
    dense, up = taught.get_submodule(f"{stage}.conv"), student.get_submodule(f"{stage}.conv")
    assert isinstance(dense, nn.ConvTranspose2d) and isinstance(up, SeparableUp)
    x = images(2, dense.in_channels, 6, 5)
    # Without the norm between them, the two convolutions are the dense one.
    plain = up.depthwise(up.pointwise(x)) - up.depthwise(torch.zeros_like(up.pointwise(x)))
    expected = nn.functional.conv_transpose2d(
        x, dense.weight, None, 2, 1, output_padding=dense.output_padding
    )
    torch.testing.assert_close(plain, expected, atol=1e-5, rtol=1e-4)
    # With it too, behind the stage's own norm, where there is no mean for it to take away.
    x = x - x.mean((2, 3), keepdim=True)
    ours, theirs = student.get_submodule(stage), taught.get_submodule(stage)
    assert isinstance(ours, Stage) and isinstance(theirs, Stage)
    torch.testing.assert_close(ours(x), theirs(x), atol=5e-3, rtol=0)
    assert theirs(x).std() > 0.3


def test_separable_ups_take_the_nearest_kernels_of_any_teacher() -> None:
    taught = teacher(FAMILY)
    supernet = Supernet(FAMILY.build, FAMILY.space((8,), {"up": OPS}))
    fill_from_teacher(supernet, taught)
    for name in ("up.0.conv", "up.1.conv"):
        dense = taught.get_parameter(f"{name}.weight")
        depthwise = supernet.shared[f"{name}.depthwise.weight"]  # (out, 1, k, k)
        pointwise = supernet.shared[f"{name}.pointwise.weight"]  # (out, in, 1, 1)
        assert torch.equal(supernet.shared[f"{name}.weight"], dense)
        for o, i in itertools.product(range(2), range(2)):
            matrix = dense[:, o].flatten(1)  # (in, k^2)
            left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
            best = values[0] * left[i, 0] * right[0]
            found = pointwise[o, i, 0, 0] * depthwise[o, 0].flatten()
            torch.testing.assert_close(found.double(), best, atol=1e-6, rtol=1e-4)


def filled(family: ResNet, ops: object, bands: object) -> tuple[nn.Module, Supernet]:
    taught = teacher(family)
    space = family.space((8, 4), ops, bands)  # type: ignore[arg-type]
    supernet = Supernet(family.build, space).eval()
    fill_from_teacher(supernet, taught)
    return taught, supernet


def bank_of(supernet: Supernet) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in supernet.shared.items()}


@torch.no_grad()
def test_calibration_leaves_turned_pointwise_convolutions_alone() -> None:
    taught, supernet = filled(FAMILY, {"up": ("separable",)}, ())
    before = bank_of(supernet)
    archs = [FAMILY.uniform(width).replace(UPS) for width in (8, 4)]
    calibrate(supernet, taught, archs, images(4, 3, 32, 32))
    moved = {n for n, t in supernet.shared.items() if not torch.equal(t, before[n])}
    assert not any(name.startswith("up.") for name in moved)
    assert {"stem.conv.weight", "body.0.conv2.weight", "head.weight"} <= moved


@torch.no_grad()
def test_calibration_leaves_split_convolutions_alone() -> None:
    taught, supernet = filled(FAMILY, ("dense",), {"down.1": (Bands(0.5),), "body": (Bands(0.5),)})
    before = bank_of(supernet)
    calibrate(supernet, taught, [supernet.space.largest], images(4, 3, 32, 32))
    moved = {
        n.rsplit(".", 1)[0] for n, t in supernet.shared.items() if not torch.equal(t, before[n])
    }
    # up.0 is split at its input alone, which is enough to be several convolutions.
    assert moved == {"stem.conv", "down.0.conv", "up.1.conv", "head"}


@torch.no_grad()
def test_fitting_serves_every_operator_and_split_of_a_space() -> None:
    bands = {"body": (ONE, Bands(0.5)), "down": (ONE, Bands(0.5))}
    taught, supernet = filled(FAMILY, dict.fromkeys(FAMILY.stages, OPS), bands)
    before, x = bank_of(supernet), images(4, 3, 32, 32)
    _fit_levels(supernet, taught, x)
    moved = {n for n, t in supernet.shared.items() if not torch.equal(t, before[n])}
    kernels = {n for n in before if n.endswith("weight")}
    assert kernels - moved == {
        n for n in kernels if "depthwise" in n or (n.startswith("up.") and "pointwise" in n)
    }
    for arch in supernet.space.corners():
        assert torch.isfinite(supernet(arch, x)).all()


def test_fitting_a_space_whose_first_splits_exclude_each_other_works() -> None:
    family = family_of("resnet", blocks=2)
    widths = dict.fromkeys(family.width_slots, (8,)) | {"down.1.width": (12, 10)}
    widths |= {"body.0.width": (12,), "body.1.width": (10,)}
    splits = {"body.0": (Bands(1 / 3), ONE), "body.1": (Bands(0.2), ONE)}
    supernet = Supernet(family.build, family.space(widths, ("dense",), splits))
    taught = teacher(family, 12)
    fill_from_teacher(supernet, taught)
    _fit_levels(supernet, taught, images(2, 3, 32, 32))
    assert torch.isfinite(supernet.shared["head.weight"]).all()


@pytest.mark.parametrize("name", conformance.THOROUGH)
def test_random_filling_reaches_all_kernels_and_is_the_usual_one(name: str) -> None:
    family = family_of(name, blocks=2)
    splits = dict.fromkeys(family.stages[:-1], (ONE, Bands(0.5)))
    space = family.space((32, 16), dict.fromkeys(family.stages, OPS), splits)
    supernet = Supernet(family.build, space)
    fill_random(supernet, family.build, init_normal, torch.Generator().manual_seed(0))
    for key, tensor in supernet.shared.items():
        if tensor.dim() > 1:
            assert tensor.ne(0).all() and abs(tensor.std().item() - 0.02) < 0.006, key
        elif key.endswith("bias"):
            assert tensor.eq(0).all(), key
        else:
            assert tensor.eq(1).all(), key  # an affine norm begins as no more than a norm


def test_undivided_supernet_is_filled_as_the_plain_network_is() -> None:
    """A space of one operator has one corner: the generator's draws are the supernet's."""
    family = family_of("resnet", blocks=2)
    supernet = Supernet(family.build, family.space((8, 4), ("separable",)))
    fill_random(supernet, family.build, init_normal, torch.Generator().manual_seed(3))
    net = family.build(family.uniform(8, "separable"))
    init_normal(net, torch.Generator().manual_seed(3))
    assert all(torch.equal(supernet.shared[n], t) for n, t in named_tensors(net))


def test_taps_of_split_features_are_all_bands_at_one_resolution() -> None:
    split = Bands(0.25, 0.25)
    family = family_of("resnet", blocks=3)
    net = family.build(family.uniform(32, bands=split)).eval()
    x = images(2, 3, 32, 32)
    outputs: dict[str, tuple[Tensor, ...]] = {}
    for name in family.distilled_layers():
        net.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: outputs.__setitem__(name, out)
        )
    with torch.no_grad(), hooked(net, family.distilled_layers()) as taken:
        net(x)
    for name, tensor in taken.items():
        high, middle, low = outputs[name]
        assert tensor.shape == (2, 128, 8, 8) and torch.equal(tensor, merged(outputs[name]))
        assert torch.equal(tensor[:, :64], high)
        assert torch.equal(tensor[:, 64:96, ::2, ::2], middle)
        assert torch.equal(tensor[:, 96:, ::4, ::4], low)
        assert torch.equal(tensor[:, 96:, 3::4, 1::4], low)


def test_adapters_take_the_widest_trunk_also_where_the_first_split_forbids_it() -> None:
    family = family_of("resnet", blocks=1)
    widths = dict.fromkeys(family.width_slots, (12,)) | {"down.1.width": (13, 12)}
    space = family.space(widths, ("dense",), (Bands(1 / 3), ONE))
    assert space.largest.width("down.1.width") == 12
    supernet = Supernet(family.build, space)
    taught = skeleton_of(family.build, family.uniform(16))
    adapt = _adapters(supernet, taught, family.distilled_layers(), (3, 32, 32))
    meta = torch.empty(1, 3, 32, 32, device="meta")
    widest = space.largest.replace({"body.0.bands": "0", "down.1.width": 13})
    channels = feature_channels(supernet.skeleton(widest), family.distilled_layers(), meta)
    shapes = [tuple(weight.shape) for weight in adapt.parameters()]
    assert [student for _, student in shapes] == channels == [52, 52]
    assert widest in space
