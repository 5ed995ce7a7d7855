"""What a network is that none of our layouts reads, told by its keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Tensors = Mapping[str, Tensor]
Blocks = tuple[int, int]  # the place of the first residual block, and how many there are

_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")
_FIRST = 10  # the place of the first block behind two downs, see `sequential`


def _blocks(tensors: Tensors) -> Blocks | None:
    """The residual blocks of a ResNet in the manner of CycleGAN, if it is one."""
    places = {int(match[1]) for key in tensors if (match := _BLOCK.match(key))}
    return (min(places), len(places)) if places else None


def _has(*patterns: str) -> Callable[[Tensors], bool]:
    """Whether every pattern is somewhere in a key."""
    compiled = [re.compile(pattern) for pattern in patterns]
    return lambda tensors: all(any(p.search(key) for key in tensors) for p in compiled)


def _has_other_downs(tensors: Tensors) -> bool:
    found = _blocks(tensors)
    return found is not None and found[0] != _FIRST and (found[0] - 4) % 3 == 0


def _enlarges_by_convolution(tensors: Tensors) -> bool:
    """Behind the blocks is no weight: a layer without any enlarges, then comes a convolution."""
    found = _blocks(tensors)
    if found is None or found[0] != _FIRST:
        return False
    after = sum(found)
    later = any(f"model.{after + step}.weight" in tensors for step in (1, 2))
    return f"model.{after}.weight" not in tensors and later


def _has_weighed_norms(tensors: Tensors) -> bool:
    """Norms with weights but without running statistics, in a ResNet or U-Net of CycleGAN's."""
    if not any(key.startswith("model.") for key in tensors):
        return False
    norms = [key for key, t in tensors.items() if key.endswith(".weight") and t.dim() == 1]
    running = (key.removesuffix("weight") + "running_mean" in tensors for key in norms)
    return bool(norms) and not any(running)


def _is_patch_discriminator(tensors: Tensors) -> bool:
    convs = [t for t in tensors.values() if t.dim() == 4]
    return 2 < len(convs) < 9 and all(t.shape[2:] == (4, 4) for t in convs) and len(convs[-1]) == 1


# What it is, and how that is told. The first that holds counts: a ResNet may be several at once.
KINDS: tuple[tuple[str, Callable[[Tensors], bool]], ...] = (
    ("pix2pixHD's local enhancer", _has(r"^model1_1\.")),
    (
        "a generator that blurs where it changes the size (antialiasing), such as CUT's",
        _has(r"\.filt$"),
    ),
    (
        "a ResNet generator of {downs} downs and ups, where ours have 2 (pix2pixHD's have 4)",
        _has_other_downs,
    ),
    (
        "a ResNet generator whose ups are an upsampling and a convolution, where ours are "
        "transposed convolutions",
        _enlarges_by_convolution,
    ),
    (
        "a ResNet generator of PyTorch-GAN's, whose ups are an upsampling and a convolution",
        _has(r"^model\.\d+\.block\.\d"),
    ),
    (
        "a discriminator: its last convolution makes one channel of 4x4 kernels",
        _is_patch_discriminator,
    ),
    (
        "a generator whose norms have weights and no running statistics, {norm} for one (group "
        "norm or affine instance norm, which look the same in a file), where ours are instance "
        "norm without weights, or batch norm",
        _has_weighed_norms,
    ),
    (
        "SPADE's generator with a style encoder",
        lambda tensors: "fc.weight" in tensors and tensors["fc.weight"].dim() == 2
        and "conv_img.weight" in tensors,
    ),
    ("a network of BasicSR's (ESRGAN, SRResNet)", _has(r"^conv_first\.", r"^body\.0\.")),
    ("StyleGAN's generator", _has(r"^(mapping|style)\.", r"^(synthesis|convs|conv1)\.")),
    ("a diffusion model", _has(r"(^|\.)(diffusion_model|time_embed|time_embedding)\.")),
    ("an autoencoder of latent diffusion", _has(r"(^|\.)quant_conv\.")),
    ("a classifier (torchvision's ResNet)", _has(r"^layer1\.0\.conv1\.", r"^fc\.weight")),
)  # fmt: skip


def kind_of(tensors: Tensors) -> str | None:
    """What the network is, for messages; None if that cannot be told."""
    for what, holds in KINDS:
        if holds(tensors):
            return what.format(**_shown(tensors))
    return None


def _shown(tensors: Tensors) -> dict[str, Any]:
    """What the texts of KINDS name."""
    first, _ = _blocks(tensors) or (0, 0)
    norms = (key for key, t in tensors.items() if key.endswith(".weight") and t.dim() == 1)
    return {"downs": (first - 4) // 3, "norm": next(norms, "").removesuffix(".weight")}
