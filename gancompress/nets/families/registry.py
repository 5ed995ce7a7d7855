"""Generator families and discriminators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gancompress.nets.families.family import Family
from gancompress.nets.families.lsgan import LSGAN
from gancompress.nets.families.munit import Munit
from gancompress.nets.families.own import OwnGenerator
from gancompress.nets.families.progan import ProGAN
from gancompress.nets.families.resnet import ResNet
from gancompress.nets.families.spade import Spade
from gancompress.nets.families.srresnet import SRResNet
from gancompress.nets.families.unet import UNet

# A family turns an arch into a network; adding one is a file and a line here.
FAMILIES: dict[str, Callable[..., Family]] = {
    "resnet": ResNet,
    "stargan": partial(ResNet, blocks=6, norm="affine", name="stargan"),
    "spade": Spade,
    "unet": UNet,
    "munit": Munit,
    "progan": ProGAN,
    "lsgan": LSGAN,
    "srresnet": SRResNet,
    "own": OwnGenerator,
}

__all__ = ["FAMILIES", "Family", "ResNet"]
