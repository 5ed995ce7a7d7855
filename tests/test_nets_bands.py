"""Generators with operators and splits by stage: published totals, and what is refused by name."""

import itertools

import numpy as np
import pytest
import torch

import conformance
from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families import family_of
from gancompress.nets.families.choices import BAND_CHANNELS, check_size
from gancompress.nets.families.resnet import ResNet, ResNetGenerator
from gancompress.nets.layers.bands import BandConv
from gancompress.nets.layers.features import ONE, Bands
from gancompress.supernet.cost import network_cost

RESNET = family_of("resnet")
SMALL = family_of("resnet", blocks=3)
SPLITS = (ONE, Bands(0.5), Bands(0.25, 0.25))

# Generator parameters at alpha .125 by beta, three colours: FACTS section 12.
RAFD = {0.0: 8_439_936, 0.125: 6_889_600, 0.25: 5_851_264, 0.5: 5_310_592}


def stargan(labels: int) -> ResNet:
    family = family_of("stargan", in_channels=3 + labels)
    assert isinstance(family, ResNet)
    return family


def params(family: ResNet, arch: Arch) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in family.build(arch).parameters())


@pytest.mark.parametrize(("beta", "expected"), RAFD.items())
def test_stargan_parameters_are_the_published_ones(beta: float, expected: int) -> None:
    split = Bands(0.125, beta)
    assert params(stargan(8), stargan(8).uniform(64, bands=split)) == expected
    # Three label channels fewer: of the 7x7 stem's kernel, all of whose bands the image reaches.
    fewer = 7 * 7 * 3 * 64
    assert params(stargan(5), stargan(5).uniform(64, bands=split)) == expected - fewer


def test_stargan_multiply_accumulates_are_the_published_ones() -> None:
    family = stargan(5)
    expected = {ONE: 9_960_423_424, Bands(0.125): 8_255_930_368}  # FACTS section 12
    for split, macs in expected.items():
        with torch.device("meta"):
            net = family.build(family.uniform(64, bands=split))
            assert network_cost(net, torch.empty(1, 8, 128, 128)).macs_true == macs


def test_layout_is_that_of_the_multi_octave_stargan() -> None:
    trunk = Bands(0.125, 0.25)
    found = stargan(5).layout(trunk)
    assert list(found) == list(stargan(5).stages[:-1])
    # conv7 (0 to alpha), ..., convT4 (alpha to alpha + beta, beta to 0): FACTS section 12
    assert found["stem"] == Bands(0.125) and found["up.1"] == Bands(0.375)
    assert {split for stage, split in found.items() if stage not in ("stem", "up.1")} == {trunk}
    assert set(stargan(5).layout(ONE).values()) == {ONE}
    arch = stargan(5).uniform(64, bands=trunk)
    assert {s: Bands.parse(arch.op(f"{s}.bands")) for s in found} == found


def test_stages_have_width_operator_and_bands_and_the_head_an_operator_alone() -> None:
    for family in (RESNET, stargan(5)):
        slots = list(family.uniform(8).values)
        kinds = {s: {k for k in ("width", "op", "bands") if f"{s}.{k}" in slots}
                 for s in family.stages}  # fmt: skip
        assert kinds.pop("head") == {"op"}
        assert set(map(frozenset, kinds.values())) == {frozenset({"width", "op", "bands"})}
        assert len(slots) == 3 * len(kinds) + 1
        space = family.space((8, 4), ("dense", "separable"))
        assert [slot for slot, _ in space.choices] == slots and space.largest in space


def test_operator_of_an_arch_is_the_trunk_s() -> None:
    arch = RESNET.uniform(8, "separable")
    ops = {stage: arch.op(f"{stage}.op") for stage in RESNET.stages}
    assert {stage for stage, op in ops.items() if op == "separable"} == set(RESNET.body)


@pytest.mark.parametrize("name", conformance.THOROUGH)
@pytest.mark.parametrize("side", [64, 68])  # 68: the trunk is 17 wide, its bands 9 and 5
def test_any_mixture_of_splits_on_neighbouring_stages_runs(name: str, side: int) -> None:
    family = family_of(name, blocks=3)
    rng = np.random.default_rng(0)
    every = dict.fromkeys(family.stages[:-1], SPLITS)
    widths = {s: [32 // family.channels(s.removesuffix(".width"))[s]] for s in family.width_slots}
    space = family.space(widths, dict.fromkeys(family.stages, ("dense", "separable")), every)
    assert space.size == 3 ** len(every) * 2 ** len(family.stages)
    x = torch.randn(1, 3, side, side)
    met = set()
    for _ in range(14):
        arch = space.sample(rng)
        bands = [arch[f"{stage}.bands"] for stage in every]
        met |= set(itertools.pairwise(bands))
        with torch.no_grad():
            out = family.build(arch)(x)
        assert out.shape == (1, 3, side, side) and torch.isfinite(out).all(), arch.key
    assert len(met) == 9  # among them undivided next to three bands


def test_three_bands_meet_undivided_features_by_their_middle() -> None:
    split = "0.25+0.25"
    net = SMALL.build(SMALL.uniform(32).replace({"down.0.bands": split, "up.1.bands": split}))
    assert isinstance(net, ResNetGenerator)
    edges = {}
    for name in ("down.1", "up.1"):
        conv = net.get_submodule(f"{name}.conv")
        assert isinstance(conv, BandConv)
        edges[name] = sorted(conv.edges)
    # The finer neighbour has folded middle and low band into one, of half of the channels.
    assert edges == {"down.1": ["0_0", "1_0"], "up.1": ["0_0", "0_1", "1_0", "1_1", "1_2"]}
    assert net.get_parameter("down.1.conv.edges.1_0.weight").shape[:2] == (128, 32)
    assert net.head_bands == Bands(0.5)


def test_a_residual_block_between_other_splits_answers_in_its_own() -> None:
    arch = SMALL.uniform(8).replace({"body.1.bands": "0.5", "body.2.bands": "0.25+0.25"})
    net, shapes = SMALL.build(arch), []
    for block in net.body:  # type: ignore[union-attr]
        block.register_forward_hook(lambda m, i, out: shapes.append(out))
    net(torch.randn(1, 3, 32, 32))
    assert shapes[0].shape == (1, 32, 8, 8)
    assert [tuple(b.shape) for b in shapes[1]] == [(1, 16, 8, 8), (1, 16, 4, 4)]
    assert [tuple(b.shape) for b in shapes[2]] == [(1, 16, 8, 8), (1, 8, 4, 4), (1, 8, 2, 2)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"body.0.bands": "0+0.25"}, "bands: beta 0.25 without alpha; the low band is reached thr"),
        (
            {"body.0.bands": "0.75+0.5"},
            "bands: alpha 0.75, beta 0.5; fractions from 0 on, together a",
        ),
        ({"body.0.bands": "half"}, "bands: 'half'; ALPHA or ALPHA+BETA is needed, such as 0.5+0."),
        (
            {"body.1.bands": "0.3"},
            "arch: body.1.bands=0.3 with body.1.width=16; 64 channels do not split into whole ones",
        ),
        (
            {"stem.bands": "0.25"},
            "arch: stem.bands=0.25 with stem.width=16; 16 channels split into 12 + 4; a band has "
            "at least 8",
        ),
        (
            {"body.2.bands": "0.5", "down.1.width": 3},
            "arch: body.2.bands=0.5 with down.1.width=3; 12 channels split into 6 + 6; a band has "
            "at least 8",
        ),
        ({"up.0.op": "octave"}, "arch: up.0.op='octave'; one of dense, separable"),
        ({"up.0.op": 3}, "arch: slot 'up.0.op' is 3, an operator was expected"),
        (
            {"head.bands": "0.5"},
            "arch: no slot 'head.bands'; the slots of this arch are stem.wid",
        ),
    ],
)
def test_arch_written_by_hand_is_refused_by_name(changes: dict[str, str], text: str) -> None:
    with pytest.raises(ArchError) as caught:
        RESNET.build(RESNET.uniform(16).replace(changes))
    assert str(caught.value).startswith(text)


def test_arch_with_a_slot_that_the_family_lacks_is_refused() -> None:
    for slot in ("head.bands", "body.3.op"):
        arch = Arch.of("resnet", {**RESNET.uniform(16).values, slot: "0"})
        with pytest.raises(ArchError, match=f"arch: {slot}: unknown slot; resnet has stem.width, "):
            RESNET.build(arch)


def test_illegal_splits_are_left_out_of_the_space_and_never_drawn() -> None:
    splits = {"body": SPLITS, "down.0": (ONE, Bands(1 / 3)), "stem": (ONE, Bands(0.5))}
    space = SMALL.space((24, 16, 9, 3), ("separable",), splits)
    rng = np.random.default_rng(0)
    arch = space.largest
    for turn in range(300):
        drawn = space.sample(rng)
        arch = space.mutate(space.crossover(arch, drawn, rng), rng, 0.3)
        for legal in (drawn, arch):
            assert legal in space
            for stage in ("stem", "down.0", *SMALL.body):
                split = Bands.parse(legal.op(f"{stage}.bands"))
                for slot, per_unit in SMALL.channels(stage).items():
                    channels = per_unit * legal.width(slot)
                    assert split == ONE or split.is_whole(channels)
                    assert split == ONE or min(split.channels(channels)) >= BAND_CHANNELS
        if turn < 20:
            with torch.device("meta"):
                SMALL.build(arch)


def test_space_refuses_what_the_network_would() -> None:
    """An arch is in the space of all splits if and only if it can be built."""
    splits = dict.fromkeys(SMALL.stages[:-1], SPLITS)
    space = SMALL.space((32, 20, 10, 4), ("dense",), splits)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        values = {s: v[int(rng.integers(len(v)))] for s, v in space.choices}
        if rng.random() < 0.5:  # mostly undivided, or nearly all would be refused
            values |= {s: "0" for s in values if s.endswith("bands") and rng.random() < 0.8}
        arch = Arch.of("resnet", values)
        try:
            with torch.device("meta"):
                SMALL.build(arch)
            found.append(True)
        except ArchError:
            found.append(False)
        assert (arch in space) is found[-1], arch.key
    assert 40 < sum(found) < 360


@pytest.mark.parametrize(
    ("ops", "named"),
    [
        (("dense", "separable"), {"body.0", "body.1", "body.2"}),
        ({"body": ("dense", "separable")}, {"body.0", "body.1", "body.2"}),
        ({"body.1": ("dense", "separable")}, {"body.1"}),
        ({"down": ("dense", "separable"), "head": ("dense", "separable")},
         {"down.0", "down.1", "head"}),
    ],
)  # fmt: skip
def test_operators_are_chosen_by_list_stage_or_prefix(ops: object, named: set[str]) -> None:
    space = RESNET.space((8,), ops)  # type: ignore[arg-type]
    assert {s.removesuffix(".op") for s, v in space.choices if "separable" in v} == named
    assert space.size == 2 ** len(named)


def test_bands_are_chosen_by_list_stage_or_prefix_and_a_stage_s_own_list_counts() -> None:
    def chosen(bands: object) -> dict[str, tuple[object, ...]]:
        space = RESNET.space((32,), ("dense",), bands)  # type: ignore[arg-type]
        return {s: v for s, v in space.choices if s.endswith(".bands") and v != ("0",)}

    half, both = (Bands(0.5),), (ONE, Bands(0.5))
    assert chosen(()) == chosen((ONE,)) == {}
    assert chosen(half) == chosen({"body": half})
    assert set(chosen(half)) == {"body.0.bands", "body.1.bands", "body.2.bands"}
    assert chosen({"body.1": both, "body": half, "up": both}) == {
        "body.0.bands": ("0.5",),
        "body.1.bands": ("0", "0.5"),
        "body.2.bands": ("0.5",),
        "up.0.bands": ("0", "0.5"),
        "up.1.bands": ("0", "0.5"),
    }


@pytest.mark.parametrize(
    ("ops", "bands", "text"),
    [
        ({"neck": ("dense",)}, (), "space.ops: no stage 'neck'; one of stem, down.0, "),
        ({"bod": ("dense",)}, (), "space.ops: no stage 'bod'; one of stem"),
        ({"body.3": ("dense",)}, (), "space.ops: no stage 'body.3'; one of"),
        ({"stem": ("octave",)}, (), "space: operator 'octave'; one of dense, separable"),
        (("dense",), {"head": (ONE,)}, "space.bands: no stage 'head'; one of stem, down.0, "),
        (
            ("dense",),
            {"stem": (ONE, Bands(0.5, 0.25))},
            r"space: stem.bands=0.5\+0.25; no width of stem.width allows it: 16 channels split "
            r"into 4 \+ 8 \+ 4; a band has at least 8",
        ),
        (("dense",), (Bands(0.3),), "space: body.0.bands=0.3; no width of body.0.width allows it"),
    ],
)
def test_space_refuses_unknown_stages_and_splits_of_no_width(
    ops: object, bands: object, text: str
) -> None:
    with pytest.raises(ArchError, match=f"^{text}"):
        RESNET.space((16, 8), ops, bands)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stage", "split", "least"),
    [
        ("stem", Bands(0.5), 14),  # kernels of 7 at full size
        ("stem", Bands(0.25, 0.25), 28),
        ("up.1", Bands(0.5), 14),
        ("down.0", Bands(0.5), 12),  # of 3 at half size
        ("body", Bands(0.5), 24),
        ("body", Bands(0.25, 0.25), 48),
    ],
)
def test_images_smaller_than_a_kernel_on_the_coarsest_band_are_refused(
    stage: str, split: Bands, least: int
) -> None:
    space = RESNET.space((32,), ("dense",), {stage: (ONE, split)})
    check_size(RESNET, space, (least, least))
    check_size(RESNET, RESNET.space((32,), ("dense",)), (4, 4))
    text = f"at 64x{least - 1} its coarsest band is smaller than the kernel, images of {least} pix"
    with pytest.raises(ArchError, match=rf"^space: {stage}.*bands={str(split)[:3]}.*; {text}"):
        check_size(RESNET, space, (64, least - 1))
    side = -(-least // 4) * 4
    arch = RESNET.uniform(32).replace(dict(space.smallest.slots))
    with torch.no_grad():
        assert RESNET.build(arch)(torch.randn(1, 3, side, side)).shape[-1] == side
