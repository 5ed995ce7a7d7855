"""Generator families and discriminators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gancompress.nets.family import Family
from gancompress.nets.resnet import ResNet

# A family turns an arch into a network; adding one is a file and a line here.
FAMILIES: dict[str, Callable[..., Family]] = {
    "resnet": ResNet,
    "stargan": partial(ResNet, blocks=6, name="stargan"),
}

__all__ = ["FAMILIES", "Family", "ResNet"]
