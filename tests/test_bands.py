"""Split convolutions against a slow reference, torch's own layers and the papers' words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bandreference import (
    FORMS,
    SPLITS,
    Form,
    answered,
    block,
    ceil_laws,
    doubled,
    filled_dense,
    halved,
    random_bands,
    slow,
)
from torch import nn

from gancompress.errors import ArchError
from gancompress.nets.layers.bands import BandConv, BandNorm, band_conv, band_norm
from gancompress.nets.layers.features import ONE, Bands, bands_of, merged
from gancompress.nets.layers.norms import InstanceNorm
from gancompress.nets.layers.plain import PlainConv

THREE = Bands(0.5, 0.25)
ORDINARY = Form()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_and_size_equals_the_slow_reference(name, split):
    form = FORMS[name]
    net = form.build(8, 12, split, split)
    checked = 0
    with torch.no_grad():
        for height in range(1, 65):
            width = 65 - height  # every size, and an even one beside every odd one
            x = random_bands(split.channels(8), height, width)
            if min(answered(form, height), answered(form, width)) < 1:
                continue  # no answer from an ordinary convolution either
            y, expected = net(x), slow(net, form, x)
            torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
            laws = ceil_laws(*y[0].shape[-2:], split.count)
            assert [tuple(band.shape[-2:]) for band in y] == laws
            checked += 1
    assert checked == (62 if name == "strided_even" else 64)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("name", ["ordinary", "strided", "pooled", "upsampled"])
def test_reflection_and_groups_equal_the_slow_reference(name, groups, split):
    form = replace(FORMS[name], padding_mode="reflect", groups=groups)
    net = form.build(8, 8, split, split)
    for height, width in [(9, 16), (12, 15), (13, 10)]:
        x = random_bands(split.channels(8), height, width)
        torch.testing.assert_close(net(x), slow(net, form, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_transposed_groups_equal_the_slow_reference(groups):
    form = replace(FORMS["transposed_even"], groups=groups)
    net = form.build(8, 8, THREE, THREE, bias=False)
    x = random_bands(THREE.channels(8), 7, 10)
    torch.testing.assert_close(net(x), slow(net, form, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (ONE, Bands(0.5)),
        (Bands(0.5), ONE),
        (Bands(0.5), THREE),
        (THREE, Bands(0.75)),
        (Bands(0.75), ONE),
        (Bands(0.25), Bands(0.75)),
        (ONE, Bands(1.0)),
        (Bands(1.0), ONE),
    ],
    ids=lambda bands: str(bands),
)
@pytest.mark.parametrize("name", ["ordinary", "strided_even", "pooled", "transposed"])
def test_layers_between_different_splits_equal_the_slow_reference(name, a, b):
    net = FORMS[name].build(8, 8, a, b)
    for side in (16, 13):
        x = random_bands(a.channels(8), side, side)
        y = bands_of(net(x if len(x) > 1 else x[0]))
        full = tuple(band for band in y if band.shape[1])
        assert tuple(band.shape[1] for band in y) == b.channels(8)
        torch.testing.assert_close(full, slow(net, FORMS[name], x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["ordinary", "wide", "strided", "upsampled"])
def test_order_is_pool_convolve_and_convolve_enlarge(name):
    form = FORMS[name]
    x = random_bands((4, 4), 16, 16)
    to_coarse, to_fine = form.build(4, 4, ONE, Bands(1.0)), form.build(4, 4, Bands(1.0), ONE)
    for net, bands in ((to_coarse, x[:1]), (to_fine, (x[0][:, :0], x[1]))):
        y = bands_of(net(bands if len(bands) > 1 else bands[0]))[-1]
        torch.testing.assert_close(y, slow(net, form, bands)[0], atol=1e-5, rtol=1e-5)
        assert (y - slow(net, form, bands, swapped=True)[0]).abs().max() > 0.05


def test_order_by_hand_on_four_pixels():
    kernel = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    down = BandConv(1, 1, 2, bands_out=Bands(1.0), bias=False, padding=1, stride=2)
    up = BandConv(1, 1, 2, bands_in=Bands(1.0), bias=False, padding=1)
    for net in (down, up):
        (conv,) = net.edges.values()
        conv.load_state_dict({"weight": kernel})
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    # Means: 3, 4.5 / 7.5, 9. A kernel of stride 2 with one row of zeros around sees a corner each.
    assert down(x)[1].tolist() == [[[[4 * 3.0]]]]
    # One pixel of 2 gives 8 6 / 4 2, each twice in both directions, cropped to 3 + 2 - 1 rows.
    low = torch.tensor([[[[2.0]]]])
    y = up((x[:, :0, :2, :2], low))
    assert y[0, 0].tolist() == [[8.0, 8.0, 6.0], [8.0, 8.0, 6.0], [4.0, 4.0, 2.0]]


@pytest.mark.parametrize("name", FORMS)
def test_high_and_low_bands_do_not_see_each_other(name):
    x = random_bands(THREE.channels(8), 16, 16)
    net = FORMS[name].build(8, 12, THREE, THREE)
    before = net(x)
    high, middle, low = (tuple(b + (i == n) for i, b in enumerate(x)) for n in range(3))
    for changed, same in ((high, 2), (low, 0)):
        after = net(changed)
        for band in range(3):
            assert torch.equal(after[band], before[band]) == (band == same)
    assert not any(torch.equal(a, b) for a, b in zip(net(middle), before, strict=True))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    "name", ["ordinary", "wide", "strided", "strided_even", "transposed", "transposed_even"]
)
def test_undivided_conv_equals_torchs_to_the_bit(name, groups):
    form = replace(FORMS[name], groups=groups)
    dense, net = form.dense(4, 8), form.build(4, 8, ONE, ONE)
    net.edges["0_0"].load_state_dict(dense.state_dict())
    for side in (15, 16):
        x = torch.randn(2, 4, side, side)
        y = net(x)
        assert isinstance(y, torch.Tensor)
        assert torch.equal(y, dense(x))


def test_band_conv_gives_plain_layers_for_undivided_features():
    assert type(band_conv(4, 8, 3)) is PlainConv
    assert type(band_conv(4, 8, 3, transposed=True)) is nn.ConvTranspose2d
    assert type(band_conv(4, 8, 3, stride=2, form="pool")) is BandConv
    assert type(band_conv(4, 8, 3, bands_out=Bands(0.5))) is BandConv
    assert sorted(band_conv(4, 8, 3).state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize("split", [*SPLITS, Bands(0.375, 0.125)], ids=str)
@pytest.mark.parametrize("name", [name for name in FORMS if not name.startswith("transposed")])
def test_edges_of_a_dense_kernel_answer_as_it_does_on_constants(name, split):
    form = FORMS[name]
    net, dense = form.build(16, 16, split, split), form.dense(16, 16)
    dense.load_state_dict(filled_dense(net, dense))  # 0 where there is no path
    levels = torch.randn(1, 16, 1, 1)
    bands = [
        part.expand(-1, -1, *law)
        for part, law in zip(
            levels.split(split.channels(16), 1), ceil_laws(64, 64, split.count), strict=True
        )
    ]
    y = merged(net(tuple(bands)))
    expected = dense(levels.expand(-1, -1, 64, 64))
    centres = [z[..., z.shape[-1] // 2, z.shape[-1] // 2] for z in (y, expected)]
    torch.testing.assert_close(*centres, atol=1.5e-5, rtol=0)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("form", [ORDINARY, FORMS["transposed"]], ids=["conv", "transposed"])
@pytest.mark.parametrize("depthwise", [False, True])
def test_views_tile_the_dense_kernel(split, form, depthwise):
    form = replace(form, groups=8 if depthwise else 1)
    c_out = 8 if depthwise else 16
    net, dense = form.build(8, c_out, split, split), form.dense(8, c_out)
    state = net.state_dict()
    assert set(net.views()) == set(state)
    seen = {name: torch.zeros_like(tensor) for name, tensor in dense.state_dict().items()}
    for name, view in net.views().items():
        part = block(seen[view.name], view, state[name].shape)
        assert part.shape == state[name].shape
        part += 1
    assert seen["bias"].eq(1).all()
    free = torch.ones_like(seen["weight"])
    if split.beta and not depthwise:
        (high_in, _, low_in), (high, _, low) = split.channels(8), split.channels(c_out)
        rows = free.transpose(0, 1) if form.transposed else free  # (out, in, k, k)
        rows[:high, 8 - low_in :] = 0
        rows[c_out - low :, :high_in] = 0
    assert torch.equal(seen["weight"], free)


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 8])
def test_dense_kernel_filled_from_edges_gives_them_back(split, transposed, groups):
    form = Form(transposed=transposed, groups=groups)
    net = form.build(8, 8, split, split)
    full = filled_dense(net, form.dense(8, 8))
    for name, view in net.views().items():
        tensor = net.state_dict()[name]
        assert torch.equal(block(full[view.name], view, tensor.shape), tensor)


def test_views_of_other_groups_are_none():
    assert Form(groups=2).build(8, 8, Bands(0.5), Bands(0.5)).views() == {}


@pytest.mark.parametrize("name", ["ordinary", "pooled", "strided_even", "transposed", "upsampled"])
def test_gradients_equal_finite_differences(name):
    net = FORMS[name].build(4, 4, THREE, THREE).double()
    x = random_bands(THREE.channels(4), 5, 6, torch.float64)
    inputs = tuple(band.requires_grad_() for band in x)
    assert torch.autograd.gradcheck(lambda *bands: net(bands), inputs, fast_mode=True)
    sum(band.square().sum() for band in net(inputs)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_output_band_without_incoming_edge_is_refused():
    with pytest.raises(ArchError, match=r"0 to 0.5\+0.25; band 2 of the output has no inc"):
        BandConv(8, 8, 3, bands_in=ONE, bands_out=THREE)


def test_depthwise_conv_between_splits_is_refused():
    with pytest.raises(ArchError, match="8 groups; they do not divide 8 and 4 channels"):
        BandConv(8, 8, 3, bands_out=Bands(0.5), groups=8)


def test_groups_that_do_not_divide_a_band_are_refused():
    with pytest.raises(ArchError, match="4 groups; they do not divide 6 and 6 channels"):
        BandConv(8, 8, 3, bands_in=Bands(0.25), bands_out=Bands(0.25), groups=4)


def test_bias_is_one_vector_per_band_of_the_output():
    net = BandConv(8, 16, 3, bands_in=THREE, bands_out=THREE)
    biases = [conv.bias for conv in net.edges.values() if conv.bias is not None]
    assert [len(bias) for bias in biases] == list(THREE.channels(16))
    x = tuple(torch.zeros_like(band) for band in random_bands(THREE.channels(8), 8, 8))
    for y, bias in zip(net(x), biases, strict=True):
        assert torch.equal(y, bias[:, None, None].expand_as(y))


def test_input_is_left_as_it_was():
    x = random_bands(THREE.channels(8), 9, 9)
    copies = tuple(band.clone() for band in x)
    BandConv(8, 8, 1, bands_in=THREE, bands_out=THREE)(x)
    assert all(torch.equal(a, b) for a, b in zip(x, copies, strict=True))


def test_band_norm_norms_every_band_by_itself():
    x = random_bands(THREE.channels(8), 9, 12)
    norm = BandNorm(8, THREE, "affine")
    for part in norm.bands:
        nn.init.normal_(part.weight)
        nn.init.normal_(part.bias)
    expected = tuple(part(band) for part, band in zip(norm.bands, x, strict=True))
    torch.testing.assert_close(norm(x), expected)
    starts = [view.starts for view in norm.views().values()]
    assert starts == [(0,), (0,), (2,), (2,), (6,), (6,)]
    assert type(band_norm(8, ONE)) is InstanceNorm
    assert not BandNorm(8, THREE).views()
    assert halved(doubled(x[0], 18, 24)).equal(x[0])  # of the reference, too
