"""Generators in whatever wrapping, and files that hold none: what they are, and what to do."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreignnets import cyclegan_resnet, stargan_generator
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers import filekinds, netkinds, read_generator

State = dict[str, Tensor]
BLOCKS = 2


def resnet(seed: int = 0, **settings: Any) -> State:
    torch.manual_seed(seed)
    return dict(cyclegan_resnet(blocks=BLOCKS, **settings).state_dict())


def patch_discriminator() -> State:
    widths = [3, 8, 16, 32, 1]
    convs = [nn.Conv2d(a, b, 4) for a, b in zip(widths, widths[1:], strict=False)]
    return dict(nn.Sequential(*convs).state_dict())


def under(prefix: str, state: State) -> State:
    return {f"{prefix}.{key}": value for key, value in state.items()}


def named(**parts: State) -> State:
    return {key: t for name, state in parts.items() for key, t in under(name, state).items()}


G, D = resnet(), patch_discriminator()
# What is saved -> where in it the generator is, if no part is named.
WRAPPED: dict[str, tuple[Any, str]] = {
    "bare": (G, ""),
    "compiled": (under("_orig_mod", G), ""),
    "compiled, parallel": (under("_orig_mod.module", G), ""),
    "in its module": (under("netG", G), "netG"),
    "deep in its module": (under("model.netG.net", G), "model.netG.net"),
    "beside its discriminator": (named(generator=G, discriminator=D), "generator"),
    "Lightning": (
        {"epoch": 3, "pytorch-lightning_version": "2.1", "state_dict": named(netG=G, netD=D),
         "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}],
         "callbacks": {}, "lr_schedulers": [], "loops": {"fit_loop": {"state_dict": {}}}},
        "state_dict.netG",
    ),
    "by name": ({"netG": G, "netD": D, "epoch": 3}, "netG"),
    "nested": ({"epoch": 3, "nets": {"G": under("module", G), "D": D}}, "nets.G"),
    "in a list": ([G, D], "0"),
    "averaged over steps": ({"n_averaged": torch.tensor(3), **under("module", G)}, "module"),
}  # fmt: skip


def saved(folder: Path, held: object) -> Path:
    torch.save(held, folder / "net.pth")
    return folder / "net.pth"


@pytest.mark.parametrize("name", WRAPPED)
def test_the_one_generator_of_a_file_is_found(name: str, tmp_path: Path) -> None:
    held, place = WRAPPED[name]
    path = saved(tmp_path, held)
    found, wanted = read_generator(path, "cyclegan"), read_generator(saved(tmp_path, G), "cyclegan")
    assert found.place == place
    assert found.imported.tensors.keys() == wanted.imported.tensors.keys()
    for key, tensor in wanted.imported.tensors.items():
        assert torch.equal(tensor, found.imported.tensors[key]), key
    if place:
        assert read_generator(saved(tmp_path, held), "cyclegan", place).place == place


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_the_format_is_told_by_content_not_by_name(name: str, tmp_path: Path) -> None:
    save_file(G, tmp_path / name)
    assert read_generator(tmp_path / name, "cyclegan").place == ""
    torch.save(G, tmp_path / name)
    assert read_generator(tmp_path / name, "cyclegan").place == ""


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"G_A": G, "G_B": resnet(1)}, "holds several networks; name one of G_A, G_B with --part"),
        (named(G_A=G, D_A=D, G_B=resnet(1)), "name one of G_A, G_B with --part"),
        ({"state_dict": named(G_A=G, G_B=resnet(1))}, "of state_dict.G_A, state_dict.G_B with"),
        ({"params": G, "params_ema": resnet(1)},
         "name one of params, params_ema with --part .params_ema is a running average, by which"),
        (named(netG=resnet(norm=partial(nn.GroupNorm, 1)), netD=D), "netG is a generator whose "),
        ({"netG": stargan_generator(), "netD": D}, "holds objects other than tensors"),
        ({"netG": dict(stargan_generator().state_dict()), "netD": D},
         "part netG is read by --from stargan"),
        ({"netD": D, "opt": {}}, "netD is a discriminator|it is a discriminator"),
        ({"a": {"w": torch.ones(2)}, "b": {"w": torch.ones(2)}}, r"no --from reads this file "
         r"\(it holds a, b\): if it is a generator, bring it as a generator of your own"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_asked_for_by_name(held: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        read_generator(saved(tmp_path, held), "cyclegan")
    assert "\n" not in str(caught.value)


class Sized(nn.Module):
    """CycleGAN's ResNet with other ends: so many downs, or ups by upsampling and convolution."""

    def __init__(self, downs: int = 2, *, resized: bool = False, blurred: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.Identity()]
        layers.append(nn.ReLU())
        for i in range(downs):
            layers += [nn.Conv2d(4 * 2**i, 8 * 2**i, 3), nn.Identity(), nn.ReLU()]
            layers += [Blur()] if blurred else []
        c = 4 * 2**downs
        for _ in range(BLOCKS):
            block = nn.Module()
            pads = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.Identity(), nn.ReLU()]
            block.conv_block = nn.Sequential(*pads, nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3))
            layers.append(block)
        for i in reversed(range(downs)):
            a, b = 8 * 2**i, 4 * 2**i
            up = [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(a, b, 3)]
            layers += up if resized else [nn.ConvTranspose2d(a, b, 3)]
            layers += [nn.Identity(), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(4, 3, 7))


class Blur(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filt", torch.ones(1, 1, 3, 3))


def ones(*keys: str) -> State:
    return {key: torch.ones(2, 2, 3, 3) for key in keys}


# A network -> what it is said to be; one case for each of netkinds.KINDS, in its order.
NETWORKS: list[tuple[State, str]] = [
    (named(model1_1=D, model1_2=D), "pix2pixHD's local enhancer"),
    (dict(Sized(blurred=True).state_dict()), "a generator that blurs where it changes the size"),
    (dict(Sized(4).state_dict()), "a ResNet generator of 4 downs and ups, where ours have 2"),
    (dict(Sized(resized=True).state_dict()), "whose ups are an upsampling and a convolution, wh"),
    (
        ones("model.1.weight", "model.1.bias", "model.10.block.1.weight"),
        "a ResNet generator of PyTorch-GAN's",
    ),
    (D, "a discriminator: its last convolution"),
    (resnet(norm=partial(nn.GroupNorm, 1)), r"have weights and no running statistics, model.2 for"),
    ({"fc.weight": torch.ones(2, 3), **ones("conv_img.weight")}, "SPADE's generator with a style"),
    (ones("conv_first.weight", "body.0.rdb1.conv1.weight"), "a network of BasicSR's"),
    (ones("style.1.weight", "convs.0.conv.weight"), "StyleGAN's generator"),
    (ones("model.diffusion_model.out.weight"), "a diffusion model"),
    (ones("quant_conv.weight"), "an autoencoder of latent diffusion"),
    (ones("layer1.0.conv1.weight", "fc.weight"), "a classifier"),
]


@pytest.mark.parametrize(("state", "said"), NETWORKS)
def test_networks_that_no_layout_reads_are_told(state: State, said: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"; it is .*{said}.*: bring it as a generator of"):
        read_generator(saved(tmp_path, state), "cyclegan")


def test_every_kind_of_network_has_a_case_and_ours_are_none() -> None:
    first = [next(what for what, holds in netkinds.KINDS if holds(one)) for one, _ in NETWORKS]
    assert first == [what for what, _ in netkinds.KINDS]
    for mine in (resnet(), resnet(norm=nn.BatchNorm2d), dict(stargan_generator().state_dict())):
        assert netkinds.kind_of(mine) is None


def test_affine_instance_norm_is_told_like_group_norm(tmp_path: Path) -> None:
    state = resnet(norm=partial(nn.InstanceNorm2d, affine=True))
    with pytest.raises(CheckpointError, match="group norm or affine instance norm, which look"):
        read_generator(saved(tmp_path, state), "cyclegan")


def test_the_program_that_wrote_a_file_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, dict(stargan_generator().state_dict()))
    with pytest.raises(CheckpointError, match=r"main.0.weight\); it is read by --from stargan$"):
        read_generator(path, "cyclegan")
    path = saved(tmp_path, G)
    with pytest.raises(CheckpointError, match="it is read by --from cyclegan or gan-compression$"):
        read_generator(path, "spade")


def _zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")


def _traced(path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.ones(1, 3, 2, 2)), path)


def _exported(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Conv2d(3, 3, 1), (torch.ones(1, 3, 2, 2),)), path)


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _picture(path: Path) -> None:
    Image.new("RGB", (4, 4)).save(path, format="PNG")


def _arrays(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, w=np.ones(3))


# How a file comes to be -> what it is said to be; one case for each of filekinds.KINDS, in order.
FILES: list[tuple[Callable[[Path], None], str]] = [
    (_bytes(b""), "empty; copy or download it again"),
    (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 12\n"),
     "a git-lfs pointer, which stands for the weights and does not hold them; give `git lfs pull`"),
    (_bytes(b"\n<!DOCTYPE html><html><title>Sign in</title>"), "a web page, .*; download the file"),
    (_traced, "a TorchScript program, which is code and never run here; if you trust its maker"),
    (_exported, "a program of torch.export; save the network's"),
    (_arrays, "NumPy arrays; save the network's"),
    (lambda path: _zipped(path, "metadata.json", "model.weights.h5"), "a Keras file; PyTorch's"),
    (lambda path: _zipped(path, "a.txt", "b/c.pth", "d", "e"),
     "a zip archive of a.txt, b/c.pth, d, …, none of which torch.save wrote; unpack it"),
    (_bytes(b"PK\x03\x04" + bytes(40)), "truncated, a zip archive without its end; copy or"),
    (_bytes(b"\x1f\x8b\x08" + bytes(40)), r"an archive \(gzip\); unpack it"),
    (_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.0.0:\xff"), "an ONNX graph, whose weights"),
    (_picture, "a picture; give the generator's weights"),
    (_bytes(b"Access denied\nTry again"), "text, 'Access denied'; give the generator's weights"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("case", range(len(FILES)))
def test_files_that_are_no_checkpoint_are_told(case: int, suffix: str, tmp_path: Path) -> None:
    make, said = FILES[case]
    path = tmp_path / f"net.{suffix}"
    make(path)
    with pytest.raises(CheckpointError, match=rf"net.{suffix}: {said}") as caught:
        read_generator(path, "cyclegan")
    assert "\n" not in str(caught.value) and "--from" not in str(caught.value)
    file = filekinds.File(f".{suffix}", path.read_bytes()[: filekinds.HEAD], ())
    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    file = filekinds.File(file.suffix, file.head, tuple(names))
    assert next(i for i, (_, holds, _) in enumerate(filekinds.KINDS) if holds(file)) == case


def test_every_kind_of_file_has_a_case() -> None:
    assert len(FILES) == len(filekinds.KINDS)


def test_random_bytes_are_refused_in_one_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    heads = (b"", b"PK\x03\x04", b"\x80\x02", b"\x08\x07\x12", b"\x89HDF", b"{", b"\x50\x00")
    for turn in range(70):
        path = tmp_path / f"{turn}.{('pth', 'safetensors', 'ckpt')[turn % 3]}"
        path.write_bytes(heads[turn % 7] + rng.bytes(int(rng.integers(0, 700))))
        with pytest.raises(CheckpointError) as caught:
            read_generator(path, "munit")
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_pickles_without_tensors_say_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "net.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(CheckpointError, match="net.pkl: "):
        read_generator(tmp_path / "net.pkl", "cyclegan")
    empty: Mapping[str, object] = {"epoch": 3, "lr": 0.1}
    with pytest.raises(CheckpointError, match="holds 'epoch', a int, where tensors alone"):
        read_generator(saved(tmp_path, empty), "cyclegan")
