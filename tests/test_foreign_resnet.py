"""ResNets of CycleGAN, GAN Compression and StarGAN: ours give their outputs; what is refused."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from foreignnets import cyclegan_resnet, randomised, read_tensors, stargan_generator
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers import LAYOUTS, Imported
from gancompress.nets.families import family_of
from gancompress.supernet.weights import unpack

UNEQUAL = (8, 12, 6, 10, 4, 8, 6, 16)


def imported(tmp_path: Path, state: Mapping[str, Tensor], layout: str = "cyclegan") -> Imported:
    path = tmp_path / "latest_net_G.pth"
    torch.save(dict(state), path)
    return LAYOUTS[layout](read_tensors(path), "latest_net_G.pth")


@torch.no_grad()
def difference(found: Imported, theirs: nn.Module) -> float:
    """The largest between their output and ours, on one input."""
    ours = family_of(found.family, **found.options).build(found.arch).eval()
    unpack(ours, found.tensors, "test")
    x = torch.rand(2, found.options["in_channels"], 32, 32) * 2 - 1
    return float((ours(x) - theirs(x)).abs().max())


def test_there_are_as_many_layouts_as_these_tests_know() -> None:
    assert {"cyclegan", "gan-compression", "stargan"} <= set(LAYOUTS)
    assert all((layout.__doc__ or "").strip() for layout in LAYOUTS.values())


@pytest.mark.parametrize("blocks", [1, 2, 6, 9])
@pytest.mark.parametrize("dropout", [False, True])
def test_cyclegan_resnet_gives_its_own_output(blocks: int, dropout: bool, tmp_path: Path) -> None:
    theirs = cyclegan_resnet(blocks=blocks, dropout=dropout, channels=(1, 3)).eval()
    found = imported(tmp_path, theirs.state_dict())
    assert difference(found, theirs) < 1e-5
    wanted = {"in_channels": 1, "out_channels": 3, "blocks": blocks, "norm": "instance"}
    assert found.options == wanted
    assert found.found == (
        f"a CycleGAN ResNet: 1 to 3 channels, {blocks} dense residual blocks, instance norm, "
        f"widths {found.arch.compact}"
    )
    assert {found.arch.width(slot) for slot, v in found.arch.slots if isinstance(v, int)} == {8}


@pytest.mark.parametrize("separable", [False, True])
def test_batch_norm_generator_gives_its_own_output(separable: bool, tmp_path: Path) -> None:
    theirs = randomised(cyclegan_resnet(blocks=3, norm=nn.BatchNorm2d, separable=separable)).eval()
    state = theirs.state_dict()
    found = imported(tmp_path, state, "gan-compression")
    assert found.options["norm"] == "batch" and difference(found, theirs) < 1e-5
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert difference(imported(tmp_path, old, "gan-compression"), theirs) < 1e-5


@pytest.mark.parametrize(("separable", "dropout"), [(True, True), (True, False), (False, True)])
def test_compressed_resnet_of_unequal_widths_gives_its_own_output(
    separable: bool, dropout: bool, tmp_path: Path
) -> None:
    theirs = cyclegan_resnet(UNEQUAL, dropout=dropout, separable=separable).eval()
    found = imported(tmp_path, theirs.state_dict(), "gan-compression")
    assert found.arch.compact == "8_12_6_10_4_8_6_16"
    assert found.arch.op("body.1.op") == ("separable" if separable else "dense")
    assert difference(found, theirs) < 1e-5


@pytest.mark.parametrize("blocks", [2, 6])
def test_stargan_generator_gives_the_output_of_its_training_mode(
    blocks: int, tmp_path: Path
) -> None:
    """Its program never leaves it: the running statistics in the file have no effect."""
    theirs = randomised(stargan_generator(labels=5, blocks=blocks))
    found = imported(tmp_path, theirs.state_dict(), "stargan")
    assert found.family == "stargan" and found.options["in_channels"] == 8
    assert difference(found, theirs.train()) < 1e-5


def test_statistics_of_instance_norms_and_prefixes_of_data_parallel_have_no_effect(
    tmp_path: Path,
) -> None:
    tracked = partial(nn.InstanceNorm2d, track_running_stats=True)
    theirs = randomised(cyclegan_resnet(blocks=2, norm=tracked))
    state = nn.DataParallel(nn.DataParallel(theirs)).state_dict()
    assert "module.module.model.2.running_mean" in state
    assert difference(imported(tmp_path, state), theirs.train()) < 1e-5


@pytest.mark.parametrize(
    "normed", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm]
)
def test_spectral_norms_are_folded_to_their_own_output(
    normed: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    """Up 0 and up 1 are square and transposed: there the axes cannot be told by their lengths."""
    theirs = cyclegan_resnet((8, 8, 4, 4, 4, 4, 8, 16), blocks=1)
    for module in list(theirs.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            normed(module)
    for _ in range(3):
        theirs(torch.rand(1, 3, 32, 32))
    found = imported(tmp_path, theirs.state_dict())
    assert difference(found, theirs.eval()) < 1e-5


def changed(state: Mapping[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    """`state` with tensors, by keys with __ for the stops, replaced, added or taken out."""
    by_key = {key.replace("__", "."): value for key, value in changes.items()}
    return {k: v for k, v in {**state, **by_key}.items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__1__weight": None}, r"key model.1.weight of a CycleGAN ResNet is missing"),
        ({"model__7__bias": None}, r"key model.7.bias of a CycleGAN ResNet is missing"),
        ({"model__11__conv_block__5__weight": None}, r"model.11.conv_block.5.weight of .* missing"),
        ({"model__99__weight": torch.ones(1)}, r"key model.99.weight is not of a CycleGAN ResNet"),
        ({"model__1__weight": torch.ones(8, 3, 5, 5)},
         r"key model.1.weight is \(8, 3, 5, 5\); .* has \(any, any, 7, 7\) here"),
        ({"model__4__weight": torch.ones(17, 8, 3, 3), "model__4__bias": torch.ones(17)},
         r"key model.4.weight is \(17, 8, 3, 3\); multiples of 2 channels"),
        ({"model__10__conv_block__1__weight": torch.ones(16, 32, 3, 3),
          "model__10__conv_block__1__bias": torch.ones(16),
          "model__10__conv_block__5__weight": torch.ones(32, 16, 3, 3),
          "model__11__conv_block__1__weight": torch.ones(12, 32, 3, 3),
          "model__11__conv_block__1__bias": torch.ones(12),
          "model__11__conv_block__5__weight": torch.ones(32, 12, 3, 3)},
         r"key model.11.conv_block.1.weight is .*; 3 as body.0.width, .* third .* have 4"),
        ({"model__10__conv_block__1__conv__0__weight": torch.ones(1)},
         r"model.10.conv_block.1.conv.0.weight is not of a CycleGAN ResNet$"),
    ],
)  # fmt: skip
def test_the_first_key_that_does_not_fit_is_named(
    changes: dict[str, Tensor | None], said: str, tmp_path: Path
) -> None:
    state = cyclegan_resnet(blocks=4).state_dict()
    with pytest.raises(CheckpointError, match=f"latest_net_G.pth: .*{said}"):
        imported(tmp_path, changed(state, **changes))


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("cyclegan", r"key model.1.weight .* missing \(the file begins with main.0.weight\)"),
        ("gan-compression", "key model.1.weight of a GAN Compression ResNet is missing"),
    ],
)
def test_another_programs_generator_is_refused(layout: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=said):
        imported(tmp_path, stargan_generator().state_dict(), layout)


def test_separable_blocks_are_not_cyclegans(tmp_path: Path) -> None:
    state = cyclegan_resnet(separable=True, blocks=3).state_dict()
    with pytest.raises(CheckpointError, match="model.10.conv_block.1.weight of .* is missing"):
        imported(tmp_path, state)


def test_affine_instance_norms_with_biases_are_no_batch_norms(tmp_path: Path) -> None:
    affine = partial(nn.InstanceNorm2d, affine=True, track_running_stats=True)
    with pytest.raises(CheckpointError, match="key model.1.bias is not of"):
        imported(tmp_path, cyclegan_resnet(blocks=3, norm=affine).state_dict())
