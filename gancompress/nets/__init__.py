"""Generator families and discriminators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gancompress.nets.family import Family
from gancompress.nets.lsgan import LSGAN
from gancompress.nets.munit import Munit
from gancompress.nets.own import OwnGenerator
from gancompress.nets.progan import ProGAN
from gancompress.nets.resnet import ResNet
from gancompress.nets.spade import Spade
from gancompress.nets.srresnet import SRResNet
from gancompress.nets.unet import UNet

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
