"""SPADE generators: the published counts (FACTS section 4), and what a norm and a block compute."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import write_all
from gancompress.export.formats import FORMATS, missing
from gancompress.nets.families import family_of
from gancompress.nets.families.options import SpadeOptions
from gancompress.nets.families.spade import (
    TRUNK,
    UPS,
    Spade,
    SpadeBlock,
    SpadeNorm,
    Widths,
)
from gancompress.nets.layers.batchnorm import BatchNorm
from gancompress.supernet.cost import Cost, layer_costs, network_cost
from gancompress.supernet.supernet import skeleton_of

CITYSCAPES = family_of("spade", in_channels=36, upsamplings=6)
COCO = family_of("spade", in_channels=184, upsamplings=5)


def published(widths: str) -> Arch:
    return CITYSCAPES.arch([int(width) for width in widths.split("_")], "separable")


# Counted by running the reference programs, and printed by them in G: FACTS section 4.
COUNTS = [
    (CITYSCAPES, CITYSCAPES.uniform(64), 93_048_003, "281.28"),
    (CITYSCAPES, CITYSCAPES.uniform(64, "separable"), 70_680_771, "118.6"),
    (CITYSCAPES, CITYSCAPES.uniform(48, "separable"), 39_975_315, "71.06"),
    (CITYSCAPES, published("32_32_32_48_32_24_24_32"), 20_174_275, "31.16"),
    (CITYSCAPES, published("32_40_40_32_40_24_32_24"), 21_002_811, "31.11"),
    (COCO, COCO.uniform(64), 97_480_899, "191.1"),
]


@pytest.mark.parametrize(("family", "arch", "params", "giga"), COUNTS)
def test_spade_has_the_published_parameters_and_macs(
    family: Spade, arch: Arch, params: int, giga: str
) -> None:
    size = (256, 512) if family is CITYSCAPES else (256, 256)
    image = torch.empty(1, family.in_channels, *size, device="meta")
    cost = network_cost(skeleton_of(family.build, arch), image)
    assert cost.params == params
    decimals = len(giga.partition(".")[2])
    assert f"{cost.macs_published / 1e9:.{decimals}f}" == giga
    assert cost.macs_true == cost.macs_published  # nothing is transposed


def totals(op: str) -> tuple[np.ndarray, np.ndarray]:
    """MACs of all archs of the published space with `op`, and the elements that they normalise.

    Summed from the costs of single blocks, each a function of two widths.
    """
    space = CITYSCAPES.space(SpadeOptions.presets["channels-64-gaugan"], [op])
    lists = [values for slot, values in space.choices if slot.endswith(".width")]
    before = {"up.1": 4, "up.2": 5, "up.3": 6}  # the slot that a block follows on; else the stem's
    counts: dict[tuple[str, int, int], tuple[int, int]] = {}
    for a, b in itertools.product(sorted({w for values in lists for w in values}), repeat=2):
        arch = CITYSCAPES.arch([a, b, b, b, b, a, b, a], op)
        net = skeleton_of(CITYSCAPES.build, arch)
        costs = layer_costs(net, torch.empty(1, 36, 256, 512, device="meta"))
        for part in CITYSCAPES.parts():
            mine = (c for name, c in costs.items() if f"{name}.".startswith(f"{part.name}."))
            cost = sum(mine, Cost())
            ends = (b, a) if part.name in ("up.1", "up.3", "head") else (a, b)
            found = cost.macs_published, cost.macs_published_norm - cost.macs_published
            counts[(part.name, *ends)] = found
    sums = np.zeros((2, *map(len, lists)))
    for i, stage in enumerate(("stem", *TRUNK, *UPS)):
        j = before.get(stage, 0)
        table = np.array([[counts[stage, a, b] for b in lists[i]] for a in lists[j]])
        table = table[:, 0] if i == j else table  # the stem depends on one width
        shape = [len(values) if k in (i, j) else 1 for k, values in enumerate(lists)]
        sums += np.moveaxis(table, -1, 0).reshape(2, *shape)
    return sums[0] + np.array([counts["head", w, w][0] for w in lists[7]]), sums[1]


def test_672_archs_of_the_published_space_fit_32_giga() -> None:
    macs, normed = totals("separable")
    assert macs.size == 128_000
    net = skeleton_of(CITYSCAPES.build, CITYSCAPES.uniform(64, "separable"))
    whole = network_cost(net, torch.empty(1, 36, 256, 512, device="meta"))
    assert (macs.max(), normed.max()) == (
        whole.macs_published,
        whole.macs_published_norm - whole.macs_published,
    )
    # The program that counted 672 (FACTS section 4) counts normalised elements too, and in its
    # supernet pads every batch norm to the widest, width 64. Dense norms have no other.
    batch = totals("dense")[1]
    assert (macs + normed - batch + batch.max() <= 32e9).sum() == 672
    assert (macs <= 32e9).sum() == 717  # in MACs alone


def test_spade_norm_is_batch_norm_scaled_and_shifted_by_the_labels() -> None:
    norm = SpadeNorm("dense", 3, 2, 5)
    assert isinstance(norm.norm, BatchNorm) and not norm.norm.affine and norm.norm.eps == 1e-5
    x, labels = torch.randn(2, 3, 6, 4), torch.rand(2, 2, 6, 4)
    hidden = F.conv2d(labels, norm.shared.weight, norm.shared.bias, padding=1).clamp(min=0)
    gamma, beta = (
        F.conv2d(hidden, conv.weight, conv.bias, padding=1) for conv in (norm.gamma, norm.beta)
    )
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), False, keepdim=True)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
    torch.testing.assert_close(norm.train()(x, labels), expected)


def test_separable_norms_have_depthwise_norm_pointwise_scales() -> None:
    norm = SpadeNorm("separable", 3, 2, 5)
    shapes = {name: tuple(p.shape) for name, p in norm.named_parameters()}
    assert shapes["shared.weight"] == (5, 2, 3, 3)
    for name in ("gamma", "beta"):
        assert shapes[f"{name}.depthwise.weight"] == (5, 1, 3, 3)
        assert shapes[f"{name}.pointwise.weight"] == (3, 5, 1, 1)


@pytest.mark.parametrize("is_changing", [False, True])
def test_block_adds_its_convolutions_to_what_it_was_given(is_changing: bool) -> None:
    behind = 3 if is_changing else 4
    block = SpadeBlock("dense", "dense", Widths(4, 3, behind, 2, 2), is_changing=is_changing)
    x, labels = torch.randn(2, 4, 4, 4), torch.rand(2, 2, 16, 16)
    small = labels[:, :, ::4, ::4]  # nearest: of each square the first pixel
    past = x
    if is_changing:
        assert block.norm_s is not None and block.shortcut is not None
        past = block.shortcut(block.norm_s(x, small))
    y = block.conv0(F.leaky_relu(block.norm0(x, small), 0.2))
    expected = past + block.conv1(F.leaky_relu(block.norm1(y, small), 0.2))
    torch.testing.assert_close(block(x, labels), expected)
    found = {name for name, m in block.named_modules() if m in block.convolutions()}
    assert found == {"conv0", "conv1"} | ({"shortcut"} if is_changing else set())
    names = {name for name, _ in block.named_parameters()}
    assert ("shortcut.weight" in names) == is_changing and "shortcut.bias" not in names


@pytest.mark.parametrize(
    ("upsamplings", "sizes"),
    [(5, [1, 2, 2, 4, 8, 16, 32]), (6, [1, 2, 4, 8, 16, 32, 64])],
)
def test_resolution_doubles_from_the_smallest_map_to_the_image(
    upsamplings: int, sizes: list[int]
) -> None:
    family = family_of("spade", in_channels=2, out_channels=4, upsamplings=upsamplings)
    net = skeleton_of(family.build, family.uniform(1))
    found: list[torch.Size] = []
    for block in (*net.get_submodule("body").children(), *net.get_submodule("up").children()):
        block.register_forward_hook(lambda module, inputs, output: found.append(output.shape[2:]))
    side = family.size_multiple
    out = net(torch.empty(2, 2, 2 * side, 3 * side, device="meta"))
    assert found == [(2 * size, 3 * size) for size in sizes]
    assert out.shape == (2, 4, 2 * side, 3 * side)


@pytest.mark.parametrize("upsamplings", [4, 7])
def test_spade_refuses_other_numbers_of_upsamplings(upsamplings: int) -> None:
    with pytest.raises(ArchError, match=f"spade: upsamplings {upsamplings}; 5 or 6 is allowed"):
        family_of("spade", upsamplings=upsamplings)


def test_operators_of_blocks_and_of_norms_are_chosen_apart() -> None:
    family = family_of("spade", in_channels=2)
    assert family.body == tuple(f"{stage}.norm" for stage in (*TRUNK, *UPS))
    arch = family.uniform(2, "separable").replace({"up.1.op": "separable", "up.2.norm.op": "dense"})
    with torch.device("meta"):
        net = family.build(arch)
    names = {name for name, _ in net.named_parameters()}
    assert {"up.1.conv0.depthwise.weight", "up.1.conv1.pointwise.weight"} <= names
    assert {"up.0.conv0.weight", "up.2.norm0.gamma.weight", "up.1.shortcut.weight"} <= names
    assert "up.1.norm_s.beta.pointwise.weight" in names


def test_exported_files_take_every_multiple_of_the_smallest_map(tmp_path: Path) -> None:
    family = family_of("spade", in_channels=2)
    arch = family.uniform(1)
    net: nn.Module = family.build(arch).eval()
    for name, tensor in net.named_buffers():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    x = torch.randn(1, 2, 64, 64)
    formats = [name for name in ("pt2", "onnx", "openvino") if not missing(name)]
    card = Card(family.options, 2, 3, (64, 64), family.size_multiple)
    written = write_all(
        ExportSource(net, arch, card, x),
        formats=formats,
        folder=tmp_path,
        reference=net,
        inputs=[x],
    )
    wider = torch.randn(2, 2, 64, 96)
    for one in written:
        assert one.note == "" and one.difference <= FORMATS[one.name].tolerance
        with torch.no_grad():
            expected = net(wider)
        got = FORMATS[one.name].load(one.path)(wider)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
