"""Costs against published figures, a closed form, torch's own counter and direct measurement."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.nets.families import family_of
from gancompress.supernet.cost import Cost, CostModel, layer_costs, network_cost
from gancompress.supernet.supernet import skeleton_of

RESNET = family_of("resnet")
SIDE = 256


def published(widths: str) -> Arch:
    """The separable arch that the literature writes as `c0_c1_…_c7`."""
    return RESNET.arch([int(width) for width in widths.split("_")], "separable")


def measured(arch: Arch) -> Cost:
    with torch.device("meta"):
        return network_cost(RESNET.build(arch), torch.empty(1, 3, SIDE, SIDE))


# FACTS section 2, counted by running the reference programs at 256x256; an integer where one was
# given, otherwise billions with the digits that were printed.
ROWS: list[tuple[Arch, Mapping[str, int | str]]] = [
    (
        RESNET.uniform(64, "dense"),
        {
            "params": 11_378_179,
            "macs_true": 49_551_507_456,
            "macs_published": 56_799_264_768,
            "macs_published_norm": "56.83",
        },
    ),
    (
        RESNET.uniform(96, "separable"),
        {"params": 4_418_307, "macs_published_norm": "40.23", "macs_true": "23.85"},
    ),
    (
        RESNET.uniform(64, "separable"),
        {"params": 1_987_075, "macs_published_norm": "18.37", "macs_true": "11.07"},
    ),
    (
        RESNET.uniform(48, "separable"),
        {"params": 1_130_883, "macs_published_norm": "10.60", "macs_true": "6.49"},
    ),
    (
        RESNET.uniform(32, "separable"),
        {"params": 514_307, "macs_published_norm": "4.96", "macs_true": "3.12"},
    ),
    (
        RESNET.uniform(16, "separable"),
        {
            "params": 137_347,
            "macs_published_norm": "1.421",
            "macs_published": "1.408",
            "macs_true": "0.955",
        },
    ),
    (
        published("32_32_48_32_48_48_16_16"),
        {"params": 822_051, "macs_published_norm": 4_993_843_200, "macs_true": "4.056"},
    ),
    (
        published("24_24_40_56_24_56_16_40"),
        {"params": 702_835, "macs_published_norm": "4.863", "macs_true": "3.699"},
    ),
    (
        published("16_16_32_16_32_32_16_16"),
        {"params": 356_867, "macs_published_norm": "2.546", "macs_true": "1.846"},
    ),
    (
        published("16_16_24_16_32_64_16_24"),
        {"params": 355_235, "macs_published_norm": "2.641", "macs_true": "1.939"},
    ),
    (
        published("32_32_48_32_32_48_24_24"),
        {"params": 780_819, "macs_published_norm": "5.592", "macs_true": "4.031"},
    ),
]


@pytest.mark.parametrize(("arch", "row"), ROWS, ids=[arch.compact for arch, _ in ROWS])
def test_resnet_costs_are_the_published_ones(arch: Arch, row: Mapping[str, int | str]) -> None:
    cost = measured(arch)
    for name, expected in row.items():
        found = getattr(cost, name)
        if isinstance(expected, str):
            digits = len(expected.split(".")[1])
            assert f"{found / 1e9:.{digits}f}" == expected, name
        else:
            assert found == expected, name


def closed_form(arch: Arch) -> tuple[int, int, int]:
    """MACs true, published and published+norm of a separable ResNet-9, by FACTS section 2."""
    c0, c1, c2, c3, c4, c5, c6, c7 = (arch.width(slot) for slot in RESNET.width_slots)
    h1 = SIDE * SIDE
    h2, h4, t = h1 // 4, h1 // 16, 4 * c2
    inner = [4 * c3, 4 * c4, 4 * c5]

    def macs(first: int, second: int) -> int:
        blocks = sum(3 * (9 * t + 2 * t * g + 9 * g) * h4 for g in inner)
        downs = 9 * c0 * 2 * c1 * h2 + 9 * 2 * c1 * t * h4
        ups = 9 * t * 2 * c6 * first + 9 * 2 * c6 * c7 * second
        return 147 * c0 * h1 + downs + blocks + ups + 147 * c7 * h1

    norms = sum(3 * (2 * t + 2 * g) * h4 for g in inner)
    norms += c0 * h1 + 2 * c1 * h2 + t * h4 + 2 * c6 * h2 + c7 * h1
    return macs(h4, h2), macs(h2, h1), macs(h2, h1) + norms


def test_resnet_macs_follow_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    space = RESNET.space((1, 7, 16, 24, 40, 64, 96), ["separable"])
    for arch in [space.smallest, *(space.sample(rng) for _ in range(5))]:
        cost = measured(arch)
        found = cost.macs_true, cost.macs_published, cost.macs_published_norm
        assert found == closed_form(arch), arch.compact


def test_true_macs_are_half_of_torch_s_count() -> None:
    rng = np.random.default_rng(1)
    space = RESNET.space((1, 5, 16), ["dense", "separable"])
    nets = [skeleton_of(RESNET.build, space.sample(rng)) for _ in range(4)]
    for net in [*nets, skeleton_of(lambda _: PatchDiscriminator(3, 5), space.largest)]:
        x = torch.empty(1, 3, 64, 64, device="meta")
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x)
        assert 2 * network_cost(net, x).macs_true == counter.get_total_flops()


class Layers(nn.Module):
    """One of each countable layer, with numbers that are easy to write down."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        width = arch.width("width")
        self.grouped = nn.Conv2d(4, 2 * width, (3, 1), stride=2, groups=2, bias=False)
        self.up = nn.ConvTranspose2d(2 * width, 6, 2, stride=2, groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.dense = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dense(self.norm(self.up(self.grouped(x))).movedim(1, -1))
        return out


def test_layer_costs_equal_hand_counts() -> None:
    net = skeleton_of(Layers, Arch.of("layers", {"width": 3}))
    costs = layer_costs(net, torch.empty(1, 4, 9, 8, device="meta"))
    image = 4 * 4 * 72  # bytes; the network around each layer holds it
    # grouped: (1, 4, 9, 8) -> (1, 6, 4, 4), 3x1 kernels on 2 of the 4 channels
    macs = 3 * 2 * 6 * 16
    assert costs["grouped"] == Cost(3 * 2 * 6, macs, macs, macs, image + 4 * 6 * 16, image)
    # up: -> (1, 6, 8, 8), 2x2 kernels, every input channel feeds 3 outputs
    true, held = 4 * 3 * 6 * 16, image + 4 * (96 + 384)
    assert costs["up"] == Cost(4 * 3 * 6 + 6, true, 4 * true, 4 * true, held, 4 * 96)
    # norm: saves its input, and of each channel mean and deviation
    assert costs["norm"] == Cost(12, 0, 0, 384, image + 4 * 2 * 384, 4 * (384 + 6 + 6))
    dense = 6 * 5 * 64
    assert costs["dense"] == Cost(35, dense, dense, dense, image + 4 * (6 + 5) * 64, 4 * 384)


class Reused(nn.Module):
    """A layer that runs twice, and a parameter that no layer owns."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.inner = nn.Conv2d(arch.width("width"), arch.width("width"), 1)
        self.gain = nn.Parameter(torch.ones(7))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(self.inner(x)) * self.gain.sum()
        return out


def test_a_layer_that_runs_twice_counts_twice_but_its_parameters_once() -> None:
    net = skeleton_of(Reused, Arch.of("reused", {"width": 3}))
    cost = network_cost(net, torch.empty(1, 3, 4, 4, device="meta"))
    assert cost.macs_true == 2 * 9 * 16
    assert cost.params == sum(p.numel() for p in net.parameters()) == 12 + 7


class Middle(nn.Module):
    """The middle is as wide as the narrower (or wider) neighbour, as in SPADE's blocks."""

    def __init__(self, arch: Arch, pick: Callable[[int, int], int]) -> None:
        super().__init__()
        a, b = arch.width("a"), arch.width("b")
        middle = pick(a, b)
        self.first, self.second = nn.Conv2d(3, middle, 3), nn.Conv2d(middle, middle, 3)
        self.side_a, self.side_b = nn.Conv2d(3, a, 1), nn.Conv2d(3, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out.sum() + self.side_a(x).sum() + self.side_b(x).sum()


@pytest.mark.parametrize("pick", [min, max])
def test_cost_model_is_exact_where_a_slot_matters_at_some_widths_alone(
    pick: Callable[[int, int], int],
) -> None:
    def build(arch: Arch) -> nn.Module:
        return Middle(arch, pick)

    space = SearchSpace.of("middle", {"a": (8, 6, 2), "b": (5, 3)})
    model = CostModel(build, (), (3, 8, 8))
    archs = list(space.all())
    for arch in [*archs, *reversed(archs)]:
        net = skeleton_of(build, arch)
        assert model(arch) == network_cost(net, torch.empty(1, 3, 8, 8, device="meta")), arch.key


def test_cost_model_measures_nothing_once_warm() -> None:
    built = []

    def build(arch: Arch) -> nn.Module:
        built.append(arch)
        return Layers(arch)

    space = SearchSpace.of("layers", {"width": (1, 2, 3)})
    model = CostModel(build, (), (4, 9, 8))
    cold = [model(arch) for arch in space.all()]
    count = len(built)
    assert [model(arch) for arch in space.all()] == cold and len(built) == count


def test_activation_bytes_are_the_largest_working_set_of_one_layer() -> None:
    # The last up's norm takes and gives 64 channels at full size; around it the stage was given
    # 128 at half of the side, the network the image.
    held = (64 + 64) * SIDE**2 + 128 * (SIDE // 2) ** 2 + 3 * SIDE**2
    assert measured(RESNET.uniform(64)).activation_bytes == 4 * held
    assert Cost(activation_bytes=3) + Cost(activation_bytes=5) == Cost(activation_bytes=5)


def test_cost_by_convention_is_the_named_count() -> None:
    cost = Cost(macs_true=1, macs_published=2, macs_published_norm=3)
    assert (cost.macs("true"), cost.macs("published")) == (1, 2)


def test_costs_are_counted_without_weights_or_hooks_left_behind() -> None:
    net = skeleton_of(lambda _: nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()), RESNET.uniform(1))
    layer_costs(net, torch.empty(1, 1, 2, 2, device="meta"))
    assert not any(module._forward_hooks for module in net.modules())
    with pytest.raises(RuntimeError):
        layer_costs(net, torch.empty(1, 2, 2, 2, device="meta"))
    assert not any(module._forward_hooks for module in net.modules())


def test_modules_that_answer_more_than_tensors_are_counted() -> None:
    """Attention without its weights answers a tensor and None."""
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.zeros(1, 3, 4)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
            return out

    assert network_cost(Net(), x).params == 4 * 12 + 12 + 4 * 4 + 4
