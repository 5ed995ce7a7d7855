"""`import-teacher --check`: accepts the program's own answer, refuses that of a network alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import test_foreign_munit
import test_foreign_spade
import torch
from foreignnets import cyclegan_resnet, randomised, stargan_generator
from PIL import Image
from test_foreign_unet import FORM, published, trained
from test_importing import call, overrides, saved
from torch import Tensor, nn

from gancompress.errors import CheckpointError, DataError
from gancompress.importers import LAYOUTS, Imported
from gancompress.nets.families import family_of
from gancompress.stages.importcheck import LEVELS, AnswerDifference, Pair, _array, agreement, check
from gancompress.supernet.weights import unpack

SIDE = 32
TRACKED = partial(nn.InstanceNorm2d, track_running_stats=True)
ZERO, REFLECTED, REPLICATED = nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d


class Nothing(nn.Identity):
    """In the place of a norm."""


def picture(folder: Path, side: int = SIDE) -> Path:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    small.resize((side, side), Image.Resampling.BICUBIC).save(folder / "real_A.png")
    return folder / "real_A.png"


@torch.no_grad()
def answered(net: nn.Module, picture: Path, *, cut: bool = True) -> Path:
    """What the program saves: floats times 255, cut off or rounded to 8 bits."""
    x = torch.from_numpy(np.asarray(Image.open(picture)).copy()).permute(2, 0, 1)[None]
    y = (net(x / 127.5 - 1)[0].permute(1, 2, 0).numpy() + 1) / 2 * 255
    path = picture.with_name("fake_B.png")
    Image.fromarray((y if cut else y.round()).astype(np.uint8)).save(path)
    return path


def strong(net: nn.Module, seed: int = 0) -> nn.Module:
    """With weights large enough that what is around a convolution shows in the answer."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, (2 / module.weight[0].numel()) ** 0.5)
    return randomised(net).eval()


def read(net: nn.Module, layout: str = "cyclegan") -> tuple[nn.Module, Imported]:
    found = LAYOUTS[layout](net.state_dict(), "theirs.pth")
    ours = family_of(found.family, **found.options).build(found.arch).eval()
    unpack(ours, found.tensors, "theirs.pth")
    return ours, found


def checked(theirs: nn.Module, folder: Path, layout: str = "cyclegan") -> AnswerDifference:
    """Of ours, which is read from the file of `theirs`, with what `theirs` answers as it is now."""
    ours, found = read(theirs, layout)
    given = picture(folder)
    return check(ours, Pair(given, answered(theirs, given)), found, 4)


resnet = partial(cyclegan_resnet, blocks=2)
batch = partial(resnet, norm=nn.BatchNorm2d)


@pytest.mark.parametrize("made", [resnet, batch, partial(resnet, norm=TRACKED)])
@pytest.mark.parametrize("cut", [True, False])
def test_own_answer_is_accepted_rounded_or_cut_off(
    made: Callable[[], nn.Module], cut: bool, tmp_path: Path
) -> None:
    theirs = strong(made())
    if made is not batch:
        theirs.train()  # which matters where statistics are tracked
    ours, found = read(theirs)
    given = picture(tmp_path)
    held = check(ours, Pair(given, answered(theirs, given, cut=cut)), found, 4)
    assert held.holds and held.largest <= 1.01 and held.allowed == LEVELS


@pytest.mark.parametrize(
    ("theirs", "is_training", "cause"),
    [
        (resnet(pads=(ZERO, ZERO)), False, "zero padding:"),
        (resnet(pads=(REPLICATED, REPLICATED)), False, "replicated edges:"),
        (resnet(pads=(REFLECTED, REPLICATED)), False, "replicated edges in the blocks alone:"),
        (resnet(norm=Nothing, bias=True), False, "no norm:"),
        (batch(), True, "batch norm by the statistics of each batch (training mode):"),
        (resnet(norm=TRACKED), False, "the running statistics of its instance norms"),
    ],
    ids=["zero", "replicated", "replicated blocks", "no norm", "batch in training", "tracked"],
)
def test_network_whose_file_looks_the_same_is_refused_by_name(
    theirs: nn.Module, is_training: bool, cause: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        checked(strong(theirs).train(is_training), tmp_path)
    said = str(refusal.value)
    assert f"The program's answer is that with {cause}" in said
    assert "1.25 is allowed" in said and " or with " not in said.split("is that")[1].split(":")[0]


def test_unet_in_the_mode_of_pix2pix_test_is_refused_and_in_evaluation_accepted(
    tmp_path: Path,
) -> None:
    theirs = trained(published(*FORM)).eval()
    assert checked(theirs, tmp_path).holds
    with pytest.raises(CheckpointError, match=r"statistics of each batch .*--eval in pix2pix"):
        checked(theirs.train(), tmp_path)


def test_stargan_is_checked_on_planes_in_floats(tmp_path: Path) -> None:
    theirs = strong(stargan_generator(labels=2, blocks=1)).train()
    ours, found = read(theirs, "stargan")
    x = torch.rand(5, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pair = Pair(tmp_path / "in.npy", tmp_path / "out.npy")
    np.save(pair.input, x.numpy())
    for mode in (True, False):
        with torch.no_grad():
            np.save(pair.answer, theirs.train(mode)(x[None])[0].numpy())
        if mode:
            assert check(ours, pair, found, 4).largest < 1e-4
        else:
            with pytest.raises(CheckpointError, match=r"running statistics .*\(evaluation mode\)"):
                check(ours, pair, found, 4)
    with pytest.raises(DataError, match=r"a picture; this generator takes 5 channels, .*\.npy"):
        check(ours, Pair(picture(tmp_path), pair.answer), found, 4)


def test_unknown_difference_lists_what_was_assumed(tmp_path: Path) -> None:
    ours, found = read(strong(resnet()))
    other = picture(tmp_path)
    answer = answered(strong(resnet(), seed=1), other)
    with pytest.raises(CheckpointError, match=r"Assumed were: reflection padding .*dropout") as no:
        check(ours, Pair(other, answer), found, 4)
    assert all(text in str(no.value) for text in found.assumed)


def plane(value: float) -> Tensor:
    return torch.full((1, 1, 4, 4), value)


def test_levels_are_those_of_eight_bits(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 100, np.uint8)).save(path := tmp_path / "a.png")
    at = agreement(plane(100.9 / 127.5 - 1), path)
    assert at.holds and at.largest == pytest.approx(0.9, abs=1e-4)
    assert not agreement(plane(101.3 / 127.5 - 1), path).holds
    assert not agreement(plane(float("nan")), path).holds
    with pytest.raises(DataError, match=r"a.png: is \(1, 4, 4\); .* answers \(1, 8, 4\)"):
        agreement(torch.zeros(1, 1, 8, 4), path)
    with pytest.raises(DataError, match="loses more than rounding does"):
        agreement(plane(0), tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 30, 32), np.float32), "in.npy: is 30x32; sides that are multiples of 4"),
        (np.zeros((2, 32, 32), np.float32), "in.npy: has 2 channels; the generator takes 3"),
        (np.zeros((3, 32, 32), np.int64), r"in.npy: holds int64 of shape \(3, 32, 32\); floats"),
        (np.zeros((3, 4, 4), np.float32), "in.npy: this network cannot run on it .*of the size"),
        (np.zeros((32, 32)), r"in.npy: holds float64 of shape \(32, 32\); floats"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], said: str, tmp_path: Path
) -> None:
    ours, found = read(resnet())
    np.save(tmp_path / "in.npy", array)
    with pytest.raises(DataError, match=said):
        check(ours, Pair(tmp_path / "in.npy", tmp_path / "out.png"), found, 4)


def test_command_keeps_what_it_checked_and_writes_nothing_where_it_refuses(tmp_path: Path) -> None:
    theirs = strong(cyclegan_resnet(blocks=3))
    path, given = saved(tmp_path, theirs), picture(tmp_path)
    alike = cyclegan_resnet(blocks=3, pads=(ZERO, ZERO))
    alike.load_state_dict(theirs.state_dict())
    wrong = answered(alike.eval(), given)
    command = ("import-teacher", str(path), "edges2shoes", "--from", "cyclegan",
               *overrides(tmp_path), "--check", str(given), str(wrong))  # fmt: skip
    code, out = call(*command)
    assert code == 2 and "is that with zero padding: " in out and not (tmp_path / "run").exists()
    answered(theirs, given)  # over the wrong one
    code, out = call(*command, "--dry-run")
    assert code == 0 and "would write" in out and not (tmp_path / "run").exists()
    code, out = call(*command)
    assert code == 0 and "(1.25 is allowed)" in out and "assumed" not in out
    record = (tmp_path / "run" / "teacher" / "stage.json").read_text()
    assert '"checked"' in record and '"fake_B.png"' in record


def test_without_a_check_what_was_assumed_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, cyclegan_resnet(blocks=3))
    code, out = call("import-teacher", str(path), "edges2shoes", "--from", "cyclegan",
                     "--dry-run", *overrides(tmp_path))  # fmt: skip
    assert code == 0 and "not in the file, so assumed: reflection padding (replicated edges" in out
    assert "instance norm by each image's own statistics (no norm would look the same)" in out
    assert "--check IN OUT" in out


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (resnet(norm=Nothing), r"model.1 has neither a bias nor a norm behind it \(norm none\)"),
        (
            published(*FORM, norm=nn.Identity, bias=False),
            r"has no bias, and no norm .*\(norm none\)",
        ),
    ],
    ids=["resnet", "unet"],
)
def test_networks_that_the_file_tells_are_without_norm_are_refused(
    net: nn.Module, said: str
) -> None:
    with pytest.raises(CheckpointError, match=f"{said}; .*bring the network as a generator of"):
        LAYOUTS["cyclegan"](net.state_dict(), "theirs.pth")


def test_zero_padding_that_the_file_tells_is_refused() -> None:
    """Without a layer that pads, a block's convolutions come one place earlier."""
    state = {
        key.replace("conv_block.1.", "conv_block.0.").replace("conv_block.5.", "conv_block.3."): t
        for key, t in resnet().state_dict().items()
    }
    with pytest.raises(CheckpointError, match=r"model.10.conv_block begins with .*zero padding"):
        LAYOUTS["cyclegan"](state, "theirs.pth")


def test_every_layout_says_what_it_assumes() -> None:
    nets = {
        "cyclegan": resnet(),
        "gan-compression": resnet(separable=True),
        "munit": test_foreign_munit.Foreign(buffers=False),
        "spade": test_foreign_spade.Generator((2,) * 8),
        "stargan": stargan_generator(blocks=1),
    }
    assert set(nets) == set(LAYOUTS)
    for layout, net in nets.items():
        assumed = LAYOUTS[layout](net.state_dict(), "theirs.pth").assumed
        for what in ("padding", " norm ", "-1 to 1"):
            assert any(what in text for text in assumed), f"{layout}: nothing on {what}"


def test_damaged_arrays_and_pipes_are_refused_by_name(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'shape': (2, 2"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
    )
    os.mkfifo(tmp_path / "b.npy")
    for name in ("a.npy", "b.npy"):
        with pytest.raises(DataError, match=rf"{name}: cannot be read \(.*\); give an \.npy file"):
            _array(tmp_path / name)
