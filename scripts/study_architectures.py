"""Which generators can be compressed as they are: a table of some sixty, with random weights.

    python scripts/study_architectures.py > architectures.md

Each is traced, its groups of channels proven, its widths halved: what is built runs, answers as a
supernet of full and half widths does, and has finite gradients. What ends otherwise than in a
sentence of ours is a fault, exit status 1. Architectures of `pip install spandrel` have the
arguments that the table names, smaller than usual. Weights are first ones, constant ones moved.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import GanCompressError
from gancompress.importers.opened import Opened
from gancompress.importers.tracedfile import import_generator
from gancompress.nets.families.srresnet import SRResNet
from gancompress.nets.families.traced import TracedGenerator
from gancompress.stages.understood import elastic_fraction
from gancompress.supernet.cost import network_cost
from gancompress.supernet.groupproof import known_channels, must_not_move
from gancompress.supernet.supernet import Supernet

Pad = Literal["zeros", "reflect"]
WHOLE = 0.9  # The least fraction of MACs in elastic layers of what is not called partly frozen.
HEADER = "architecture|source|parameters|MACs|import s|groups|elastic|depth chains|what happened"


class Added(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Joined(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)


class First(nn.Module):
    """The first of several images that a network answers with."""

    def __init__(self, net: nn.Module, how: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.net, self.how = net, how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.net, x)[0]  # type: ignore[no-any-return]


class HandNorm(nn.Module):  # as CartoonGAN's code has it
    def forward(self, x: Tensor) -> Tensor:
        flat = x.view(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
        return (x - flat.mean(2)[..., None, None]) / (flat.var(2) + 1e-9).sqrt()[..., None, None]


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "": nn.Identity,
    "layer": partial(nn.GroupNorm, 1), "affine": partial(nn.InstanceNorm2d, affine=True),
    "hand": lambda _: HandNorm(),
}  # fmt: skip


def conv(a: int, b: int, kernel: int = 3, stride: int = 1, norm: str = "", pad: Pad = "zeros",
         groups: int = 1, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:  # fmt: skip
    own = nn.Conv2d(a, b, kernel, stride, kernel // 2, 1, groups, padding_mode=pad)
    return nn.Sequential(own, NORMS[norm](b), act())


def resnet(c: int, blocks: int, norm: str, pad: Pad = "reflect", taken: int = 3, downs: int = 2,
           nearest: bool = False) -> nn.Module:  # fmt: skip
    """The trunk of Johnson et al. 2016, CycleGAN, StarGAN, CartoonGAN and pix2pixHD."""
    parts: list[nn.Module] = [conv(taken, c, 7, 1, norm, pad)]
    parts += [conv(c << i, c << i + 1, 3, 2, norm) for i in range(downs)]
    w = c << downs
    parts += [Added(conv(w, w, 3, 1, norm, pad), conv(w, w, 3, 1, norm, pad, act=nn.Identity))
              for _ in range(blocks)]  # fmt: skip
    for a, b in ((c << i, c << i - 1) for i in range(downs, 0, -1)):
        larger = [nn.Upsample(scale_factor=2), conv(a, b, 3, 1, norm, pad)]
        usual = [nn.ConvTranspose2d(a, b, 4, 2, 1), NORMS[norm](b), nn.ReLU()]
        parts += larger if nearest else usual
    return nn.Sequential(*parts, conv(c, 3, 7, 1, "", pad, act=nn.Tanh))


def pix2pix(widths: Sequence[int] = (64, 128, 256, 512, 512, 512)) -> nn.Module:
    """The U-Net of Isola et al. 2017, from the inside out."""
    inner: list[nn.Module] = []
    for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True):
        norm = [nn.BatchNorm2d(b)] if inner else []
        larger = nn.ConvTranspose2d(2 * b if inner else b, a, 4, 2, 1)
        inner = [Joined(nn.LeakyReLU(0.2), nn.Conv2d(a, b, 4, 2, 1), *norm, *inner, nn.ReLU(),
                        larger, nn.BatchNorm2d(a))]  # fmt: skip
    last = [nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(nn.Conv2d(3, widths[0], 4, 2, 1), *inner, *last)


def unet(widths: Sequence[int] = (32, 64, 128, 256, 512)) -> nn.Module:
    """Ronneberger et al. 2015 as is usual today: padded, batch norm, bilinear enlargement."""
    inner: list[nn.Module] = []
    for a, b in zip((3, *widths)[-2::-1], widths[::-1], strict=True):
        below = Joined(nn.MaxPool2d(2), *inner, nn.Upsample(scale_factor=2, mode="bilinear"))
        rest = [below, conv(3 * b, b, norm="batch"), conv(b, b, norm="batch")] if inner else []
        inner = [conv(a, b, norm="batch"), conv(b, b, norm="batch"), *rest]
    return nn.Sequential(*inner, nn.Conv2d(widths[0], 3, 1))


class StyleGAN2(nn.Module):
    """Modulated convolutions (Karras et al. 2020); the style from a vector or an image of noise."""

    def __init__(self, c: int = 64, is_image: bool = True) -> None:
        super().__init__()
        self.is_image, self.start = is_image, nn.Parameter(torch.randn(1, c, 8, 8))
        self.mapping, self.rgb = nn.Linear(3 if is_image else c, c), nn.Conv2d(c, 3, 1)
        self.scales = nn.ModuleList(nn.Linear(c, c) for _ in range(3))
        self.weights = nn.ParameterList(torch.randn(c, c, 3, 3) / c for _ in range(3))

    def forward(self, z: Tensor) -> Tensor:
        style = F.relu(self.mapping(z.mean((2, 3)) if self.is_image else z))
        x = self.start.expand(z.shape[0], -1, -1, -1)
        for scale, weight in zip(self.scales, self.weights, strict=True):
            n, c, h, w = x.shape
            kernel = weight * scale(style).view(n, 1, c, 1, 1)
            kernel = kernel * (kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
            x = F.conv2d(x.reshape(1, n * c, h, w), kernel.view(-1, c, 3, 3), padding=1, groups=n)
            x = F.interpolate(F.leaky_relu(x.view(n, c, h, w), 0.2), scale_factor=2.0)
        return self.rgb(x)  # type: ignore[no-any-return]


def inverted(a: int, b: int, norm: str, act: type[nn.Module]) -> nn.Module:
    """MobileNet v2's inverted residual (Sandler et al. 2018)."""
    w = 2 * b
    parts = (conv(a, w, 1, 1, norm, act=act), conv(w, w, 3, 1, norm, groups=w, act=act),
             conv(w, b, 1, 1, norm, act=nn.Identity))  # fmt: skip
    return (Added if a == b else nn.Sequential)(*parts)


def mobile(norm: str, pad: Pad, act: type[nn.Module], c: int = 32) -> nn.Module:
    """A generator of inverted residuals; with layer norms it is AnimeGANv2's."""
    larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(
        conv(3, c, 7, 1, norm, pad, 1, act), conv(c, 2 * c, 3, 2, norm, pad, 1, act),
        conv(2 * c, 4 * c, 3, 2, norm, pad, 1, act), inverted(4 * c, 8 * c, norm, act),
        *(inverted(8 * c, 8 * c, norm, act) for _ in range(4)), larger,
        conv(8 * c, 4 * c, 3, 1, norm, pad, 1, act), larger, conv(4 * c, c, 3, 1, norm, act=act),
        conv(c, 3, 7, act=nn.Tanh),
    )  # fmt: skip


SR = SRResNet(blocks=16, scale=4, skip=False)  # our own
OWN: dict[str, Callable[[], nn.Module]] = {
    "pix2pix U-Net": pix2pix, "U-Net, bilinear": unet,
    "pix2pixHD global, ngf 16": partial(resnet, 16, 9, "instance", downs=4),
    "CycleGAN ResNet-9": partial(resnet, 64, 9, "instance"),
    "Johnson's style transfer": partial(resnet, 32, 5, "affine", nearest=True),
    "StarGAN with label planes": partial(resnet, 64, 6, "affine", "zeros", 8),
    "CartoonGAN": partial(resnet, 64, 8, "hand"), "SRResNet": lambda: SR.build(SR.uniform(64)),
    "AnimeGANv2": partial(mobile, "layer", "reflect", nn.LeakyReLU),
    "MobileNet generator": partial(mobile, "batch", "zeros", nn.ReLU6),
    "StyleGAN2 of noise": StyleGAN2, "StyleGAN2 of a vector": partial(StyleGAN2, is_image=False),
}  # fmt: skip
# spandrel.architectures.FOLDER[:CLASS] and arguments; @ and the side of its input if it is not 64.
FEW = "embed_dim=32 depths=[2,2] num_heads=[2,2] window_size=8 upscale=4 upsampler='pixelshuffle'"
SPANDREL = """
ESRGAN num_blocks=4; Compact; SwiftSRGAN; RealCUGAN:UpCunet2x; RealCUGAN:UpCunet2x_fast; DCTLSA;
RealCUGAN:UpCunet3x; RealCUGAN:UpCunet4x; SPAN num_in_ch=3 num_out_ch=3; PLKSR n_blocks=6; DITN;
PLKSR:RealPLKSR n_blocks=6; PLKSR:RealPLKSR n_blocks=6 dysample=True; MoSR n_block=6; HVICIDNet;
RCAN n_resgroups=3 n_resblocks=4; SAFMN dim=36; SAFMNBCIE dim=36 num_layers=2 n_blocks=2; HAT FEW;
OmniSR num_feat=32; DnCNN in_nc=3 out_nc=3; FBCNN nb=2; DRUNet in_nc=4 out_nc=3 nb=2; SwinIR FEW;
MoESR n_blocks=3 n_block=2; NAFNet width=32 enc_blk_nums=[1,1,2] dec_blk_nums=[1,1,1]; Swin2SR FEW;
MMRealSR num_in_ch=3 num_out_ch=3 num_block=3 num_feats=[32,32,64,64]; DRCT FEW gc=16; LaMa in_nc=4;
KBNet:KBNet_s width=32 middle_blk_num=2 enc_blk_nums=[1,1,1,1] dec_blk_nums=[1,1,1,1]; MixDehazeNet;
KBNet:KBNet_l num_blocks=[1,1,1,1] num_refinement_blocks=1; SCUNet config=[2,2,2,2,2,2,2];
FFTformer dim=32 num_blocks=[1,1,2] num_refinement_blocks=1; RetinexFormer stage=1; IPT@48
num_layers=2; GFPGAN out_size=64 narrow=0.25; RestoreFormer ch=32 n_embed=64; CRAFT depths=[1,1];
ATD FEW category_size=64; GRL embed_dim=32 depths=[2] num_heads_window=[2] num_heads_stripe=[2];
DAT embed_dim=32 depth=[2] num_heads=[2]; RGT embed_dim=32 depth=[2] num_heads=[2]; SeemoRe
num_layers=2; FDAT num_groups=1; Uformer@128 img_size=128 embed_dim=16 depths=[1,1,1,1,1,1,1,1,1];
AuraSR dim=16 image_size=64 input_image_size=32 style_network={"dim_in":32,"dim_out":128,"depth":2}
"""
TAKEN = {"DRUNet": 4, "LaMa": 4, "StarGAN with label planes": 8}  # channels where they are not 3
CALLED: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "GFPGAN": lambda net, x: net(x, randomize_noise=False),
    "LaMa": lambda net, x: [net(x[:, :3], x[:, 3:])],
    **dict.fromkeys(["FBCNN", "MMRealSR", "RestoreFormer"], lambda net, x: net(x)),
}


def of_spandrel(name: str, arguments: Sequence[str]) -> nn.Module:
    folder, _, made = name.partition(":")
    make = getattr(importlib.import_module(f"spandrel.architectures.{folder}"), made or folder)
    pairs = [argument.split("=") for argument in arguments]
    net: nn.Module = make(**{key: ast.literal_eval(value) for key, value in pairs})
    return First(net, CALLED[name]) if name in CALLED else net


def frozen(family: TracedGenerator) -> str:
    """The reason of most MACs in layers that keep their size, operators without their names."""
    taken, macs, ids = family.taken, Counter[str](), family.taken.found.identities
    for node in taken.program.graph.nodes:
        if taken.found.macs.get(node.name) and not taken.is_elastic(node):
            axes = [own for ref in node.refs() for own in taken.found.all_axes(ref)]
            reasons = [why for own in axes if (why := ids.reason(ids.root(int(own[0]))))]
            reasons.sort(key=lambda why: why.endswith("put"))  # of the input, of the output
            why = (*reasons, f"what {node.op} takes has no channels")[0]
            macs[re.sub(r" \(\w+\)", "", why)] += taken.found.macs[node.name]
    return (macs.most_common(1) or [("nothing", 0)])[0][0]


def halved(family: TracedGenerator, tensors: dict[str, Tensor], shape: Sequence[int]) -> float:
    """The fraction of the full MACs that half widths have, once they have been tried."""
    (full := family.build(family.traced_arch).eval()).load_state_dict(tensors)
    widths = [family.full_width(slot) for slot in family.width_slots]
    choices = {slot: [w, w // 2] for slot, w in zip(family.width_slots, widths, strict=True)}
    space, channels = family.space(choices, ["dense"]), known_channels(family.layouts())
    must_not_move(family, channels, family.traced_arch, shape)
    supernet = Supernet(family.build, space, channels).eval()
    supernet.fill(tensors, family.traced_arch)
    net = supernet.extract(arch := family.arch([w // 2 for w in widths]))
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, answer = full(x), net(x)
        assert answer.shape == wanted.shape, f"{answer.shape}, not {wanted.shape}"
        for own, y in ((family.traced_arch, wanted), (arch, answer)):  # but for rounding
            gap = (supernet(own, x) - y).abs().max() / (y.max() - y.min())
            assert gap <= 1e-6, f"the supernet answers otherwise by {gap:.1g} of the range"
    net.train()(x).square().mean().backward()
    grads = [p.grad.isfinite().all() for p in net.parameters() if p.grad is not None]
    assert grads and all(grads), "no finite gradients"
    costs = [network_cost(one.eval(), x[:1]).macs_true for one in (net, full)]
    return costs[0] / costs[1]


def studied(name: str, source: str, make: Callable[[], nn.Module], side: int = 64) -> list[str]:
    """The row of one architecture."""
    torch.manual_seed(0)  # torch draws first weights from this alone
    net, taken = make().eval(), TAKEN.get(name, 3)
    for key, tensor in net.state_dict().items():
        if tensor.is_floating_point() and len(tensor.unique()) == 1 and "mask" not in key:
            tensor.add_(torch.rand_like(tensor), alpha=0.2)
    row = [name, source, f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"]
    start = time.perf_counter()
    try:
        family = (found := import_generator(Opened(net, name), name, size=(side, side),
                                            channels=taken)).family  # fmt: skip
    except GanCompressError as error:
        return [*row, "", f"{time.perf_counter() - start:.0f}", "", "", "", f"refused: {error}"]
    macs, elastic = sum(family.taken.found.macs.values()), elastic_fraction(family)
    row += [f"{macs / 1e9:.2f} G at {side}x{side}", f"{time.perf_counter() - start:.0f}",
            str(len(family.groups)), f"{elastic:.0%}",
            ", ".join(str(len(chain)) for chain in family.taken.chains.values())]  # fmt: skip
    if not family.groups:
        return [*row, f"frozen: {frozen(family)}"]
    left = halved(family, found.tensors, (taken, side, side))
    why = f"; {fixed}" if (fixed := family.taken.program.facts.fixed_by) else ""
    why += "" if elastic >= WHOLE else f"; partly frozen: {frozen(family)}"
    return [*row, f"compressed, {left:.0%} of MACs at half widths{why}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="architectures; default all")
    only = parser.parse_args(arguments).only
    torch.set_num_threads(1)
    entries = [(name, "here", make, 64) for name, make in OWN.items()]
    if importlib.util.find_spec("spandrel"):
        for entry in SPANDREL.split(";"):
            place, *rest = entry.replace("FEW", FEW).split()
            name, _, side_text = place.partition("@")
            about, made = " ".join(["spandrel", *rest]), partial(of_spandrel, name, rest)
            entries.append((name, about, made, int(side_text or 64)))
    else:
        print("spandrel is missing, so its architectures are left out", file=sys.stderr)
    print(HEADER, re.sub("[^|]+", "---", HEADER), sep="\n")
    faults = 0
    for name, source, make, side in [e for e in entries if not only or e[0] in only]:
        try:
            row = studied(name, source, make, side)
        except Exception as error:
            traceback.print_exc(limit=-4)
            row = [name, source, *[""] * 6, f"FAULT: {type(error).__name__}: {error}"]
        faults += row[-1].startswith("FAULT") or "report this" in row[-1]
        print("|".join(" ".join(cell.replace("|", "/").split()) for cell in row), flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
