"""The U-Net of pix2pix: counts by hand, its form, what its stages are.

What only the slow tests prove: that its exports in all formats answer alike, not ONNX alone.
"""

from pathlib import Path

import pytest
import torch
from smallexports import check_alike_at_any_size, every_format, source_of
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.export.card import ExportSource
from gancompress.nets.families import family_of
from gancompress.nets.families.options import UNetOptions
from gancompress.nets.families.unet import Up
from gancompress.supernet.cost import CostModel, network_cost
from gancompress.supernet.supernet import skeleton_of

UNET = family_of("unet")
SMALL = family_of("unet", levels=3)


def channels(levels: int, n: int) -> list[int]:
    """After each down: n, 2n, 4n, 8n, 8n, …"""
    return [n * min(2**i, 8) for i in range(levels)]


def counts(levels: int, n: int, side: int, norm: str) -> tuple[int, int, int]:
    """Parameters, true MACs and published MACs of a dense U-Net, by hand.

    4x4 kernels; a down of c to d channels does 16 c d MACs for each pixel that it makes, an up
    16 c d for each pixel that it is given, published for each that it makes: four times as many.
    """
    downs = channels(levels, n)
    params = macs = published = 0
    bias = norm != "batch"
    before = 3
    for i, c in enumerate(downs):
        is_normed = 0 < i < levels - 1
        params += 16 * before * c + c * bias + 2 * c * (is_normed and norm == "batch")
        macs += 16 * before * c * (side >> (i + 1)) ** 2
        before = c
    published = macs
    below = 0
    for i in reversed(range(levels)):  # what up i is given has the size that down i made
        made = downs[i - 1] if i else 3
        params += 16 * (downs[i] + below) * made + made * (bias or not i)
        params += 2 * made * (norm == "batch" and i > 0)
        work = 16 * (downs[i] + below) * made * (side >> (i + 1)) ** 2
        macs, published, below = macs + work, published + 4 * work, made
    return params, macs, published


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("levels", "n"), [(8, 64), (8, 10), (5, 64), (3, 7)])
def test_unet_costs_are_those_counted_by_hand(norm: str, levels: int, n: int) -> None:
    family = family_of("unet", levels=levels, norm=norm)
    x = torch.empty(1, 3, 256, 256, device="meta")
    cost = network_cost(skeleton_of(family.build, family.uniform(n)), x)
    found = cost.params, cost.macs_true, cost.macs_published
    assert found == counts(levels, n, 256, norm)


def test_unet_256_has_the_published_counts() -> None:
    # FACTS section 3: 54.41 M parameters, 18.14 G published, 6.05 G true.
    expected = 54_413_955, 6_048_186_368, 18_140_364_800
    assert counts(8, 64, 256, "batch") == expected
    cost = CostModel(UNET.build, UNET.parts(), (3, 256, 256))(UNET.uniform(64))
    assert (cost.params, cost.macs_true, cost.macs_published) == expected


def test_separable_unet_is_a_tenth_of_the_dense_one() -> None:
    model = CostModel(UNET.build, UNET.parts(), (3, 256, 256))
    dense, separable = (model(UNET.uniform(64, op)) for op in ("dense", "separable"))
    assert separable.macs_true < 0.1 * dense.macs_true
    assert separable.params < 0.22 * dense.params  # the innermost two are half of what is left


@pytest.mark.parametrize("op", ["dense", "separable"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_unet_maps_any_channels_at_any_multiple_of_its_own(op: str, norm: str) -> None:
    family = family_of("unet", in_channels=2, out_channels=5, levels=3, norm=norm)
    assert family.size_multiple == 8
    out = family.build(family.uniform(2, op))(torch.randn(3, 2, 16, 24))
    assert out.shape == (3, 5, 16, 24) and out.abs().max() <= 1


@pytest.mark.parametrize("op", ["dense", "separable"])
@pytest.mark.parametrize("training", [False, True])
def test_smallest_images_of_unet_have_an_innermost_pixel_that_counts(
    op: str, training: bool
) -> None:
    net = SMALL.build(SMALL.uniform(4, op)).train(training)
    x = torch.randn(2, 3, 8, 8)
    before = net(x)
    with torch.no_grad():
        net.down[2].conv.weight.mul_(-1)
    assert net.down[2](torch.randn(1, 8, 2, 2)).shape == (1, 16, 1, 1)
    assert not torch.allclose(net(x), before)


def test_two_convolutions_of_an_up_are_the_one_of_the_concatenation() -> None:
    up = SMALL.build(SMALL.uniform(2)).up[1]
    assert isinstance(up, Up) and isinstance(up.skip, nn.ConvTranspose2d)
    below, skipped = torch.randn(2, 2, 4, 6, 6).unbind()
    together = torch.cat((up.skip.weight, up.below.weight))
    expected = F.conv_transpose2d(
        F.relu(torch.cat((skipped, below), 1)), together, stride=2, padding=1
    )
    torch.testing.assert_close(up(below, skipped), up.norm(expected))


def test_unet_stages_are_those_with_an_operator() -> None:
    assert SMALL.stages == ("down.0", "down.1", "up.1", "head")
    assert SMALL.body == ("down.1", "up.1")
    assert SMALL.width_slots == tuple(f"{s}.width" for s in ("down.0", "down.1", "down.2",
                                                             "up.0", "up.1"))  # fmt: skip
    arch = SMALL.uniform(4)
    assert "down.2.op" not in arch.values and "up.0.op" not in arch.values
    with pytest.raises(ArchError, match="arch: down.2.op: unknown slot; unet has down.0.width"):
        SMALL.build(Arch.of("unet", {**arch.values, "down.2.op": "separable"}))


def test_unet_units_double_up_to_eight() -> None:
    assert [UNET.unit(f"down.{i}") for i in range(8)] == [1, 2, 4, 8, 8, 8, 8, 8]
    assert [UNET.unit(f"up.{i}") for i in range(7)] == [8, 8, 8, 8, 4, 2, 1]


def test_unet_taps_are_the_ups_of_full_depth() -> None:
    assert UNET.distilled_layers() == ("up.0", "up.1", "up.2", "up.3")
    assert SMALL.distilled_layers() == ("up.0", "up.1")


def test_unet_drops_out_in_the_three_ups_of_full_depth_behind_the_innermost() -> None:
    with torch.device("meta"):
        net = family_of("unet", dropout=0.5).build(UNET.uniform(1))
    assert [up.dropout.p for up in net.up] == [0, 0.5, 0.5, 0.5, 0, 0, 0]
    assert net.head.dropout.p == 0


def test_unet_batch_norms_follow_all_but_the_ends() -> None:
    net = SMALL.build(SMALL.uniform(4))
    norms = [name for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == ["down.1.norm", "up.0.norm", "up.1.norm"]
    assert [n for n, _ in net.named_parameters() if n.endswith("conv.bias")] == []
    assert [n for n, _ in net.named_parameters() if n.endswith("below.bias")] == ["head.below.bias"]


def test_unet_is_rebuilt_from_its_options() -> None:
    made = family_of("unet", in_channels=2, out_channels=4, levels=5, dropout=0.3, norm="instance")
    assert made.name == "unet" and family_of("unet", **made.options) == made


def test_recipes_default_to_the_unet_s_own_options() -> None:
    written = UNetOptions(levels=6)
    assert written.size_multiple == family_of("unet", levels=6).size_multiple == 64
    assert family_of("unet", **written.model_dump(exclude={"name"})) == family_of("unet", levels=6)


def test_unet_s_skips_reach_the_image() -> None:
    """Each down is seen by its up: cut off from all below, the image still depends on it."""
    net = family_of("unet", levels=4).build(family_of("unet", levels=4).uniform(2)).eval()
    x = torch.randn(1, 3, 16, 16)
    for i, stage in enumerate(net.down[:-1]):
        cut = stage.register_forward_hook(lambda m, given, out: out * 2)
        below = net.down[i + 1].register_forward_hook(_constant)
        changed: Tensor = net(x)
        cut.remove()
        assert not torch.allclose(net(x), changed), i
        below.remove()


def _constant(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return torch.ones_like(out)


@pytest.fixture(scope="module")
def exported() -> ExportSource:
    return source_of(SMALL)


@every_format
def test_exported_unet_answers_alike_at_any_size(
    name: str, exported: ExportSource, tmp_path: Path
) -> None:
    check_alike_at_any_size(name, exported, tmp_path)
